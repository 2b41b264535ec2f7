"""What a file is by its bytes, whatever its name and its sender say, and what to say before it is opened, or sent.

The table is short on purpose: what somebody could be tricked into starting, and what people send each other. Nothing is
decoded here: bytes are compared, so a hostile file can at most be called by a wrong name.
"""

from __future__ import annotations

import os
import re
import stat
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from p2pchat.received.names import split

HEAD_BYTES = 4_096
TAIL_BYTES = 65_536
"""How much of the beginning and of the end of a file is looked at."""


class Family(Enum):
    """What is to be expected of a file that is opened."""

    PROGRAM = auto()
    SHORTCUT = auto()
    MACROS = auto()
    PAGE = auto()
    ARCHIVE = auto()
    DISK = auto()
    PICTURE = auto()
    SOUND = auto()
    VIDEO = auto()
    DOCUMENT = auto()
    TEXT = auto()
    OTHER = auto()


_RISKS = {
    Family.PROGRAM: "It can do with your files whatever you can do.",
    Family.SHORTCUT: "It can start any program, under any name and with any icon.",
    Family.MACROS: "It may contain macros, which are programs.",
    Family.PAGE: "It can load things from elsewhere, which shows that you opened it, and look like any web site.",
    Family.ARCHIVE: "What is in it has not been looked at, and may be a program.",
    Family.DISK: "It is a whole disk, and what is on it may be programs.",
}


class FileKind(NamedTuple):
    """What a file is. what: with its article, as `a PNG picture`."""

    what: str
    family: Family


class _Sign(NamedTuple):
    """Bytes by which a kind is known. offset: where they are in the file."""

    magic: bytes
    kind: FileKind
    offset: int = 0


def _sign(magic: bytes, what: str, family: Family, offset: int = 0) -> _Sign:
    return _Sign(magic, FileKind(what, family), offset)


_SIGNS = (
    _sign(b"\x7fELF", "a program (ELF)", Family.PROGRAM),
    _sign(b"\xcf\xfa\xed\xfe", "a program for macOS", Family.PROGRAM),
    _sign(b"\xce\xfa\xed\xfe", "a program for macOS", Family.PROGRAM),
    _sign(b"\xfe\xed\xfa\xcf", "a program for macOS", Family.PROGRAM),
    _sign(b"\xfe\xed\xfa\xce", "a program for macOS", Family.PROGRAM),
    _sign(b"\xca\xfe\xba\xbe", "a program (Java or macOS)", Family.PROGRAM),
    _sign(b"dex\n0", "a program for Android", Family.PROGRAM),
    _sign(b"\x00asm", "a program (WebAssembly)", Family.PROGRAM),
    _sign(b"!<arch>\ndebian", "a Debian package", Family.PROGRAM),
    _sign(b"\xed\xab\xee\xdb", "an RPM package", Family.PROGRAM),
    _sign(b"L\x00\x00\x00\x01\x14\x02\x00", "a shortcut of Windows", Family.SHORTCUT),
    _sign(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", Family.MACROS),
    _sign(b"\x1f\x8b", "a gzip archive", Family.ARCHIVE),
    _sign(b"1AY&SY", "a bzip2 archive", Family.ARCHIVE, 4),
    _sign(b"\xfd7zXZ\x00", "an xz archive", Family.ARCHIVE),
    _sign(b"\x28\xb5\x2f\xfd", "a Zstandard archive", Family.ARCHIVE),
    _sign(b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", Family.ARCHIVE),
    _sign(b"Rar!\x1a\x07", "a RAR archive", Family.ARCHIVE),
    _sign(b"MSCF\x00", "a cabinet archive", Family.ARCHIVE),
    _sign(b"!<arch>\n", "an archive", Family.ARCHIVE),
    _sign(b"ustar", "a tar archive", Family.ARCHIVE, 257),
    _sign(b"QFI\xfb", "an image of a disk", Family.DISK),
    _sign(b"vhdxfile", "an image of a disk", Family.DISK),
    _sign(b"conectix", "an image of a disk", Family.DISK),
    _sign(b"\x89PNG\r\n\x1a\n", "a PNG picture", Family.PICTURE),
    _sign(b"\xff\xd8\xff", "a JPEG picture", Family.PICTURE),
    _sign(b"GIF8", "a GIF picture", Family.PICTURE),
    _sign(b"II*\x00", "a TIFF picture", Family.PICTURE),
    _sign(b"MM\x00*", "a TIFF picture", Family.PICTURE),
    _sign(b"FUJIFILMCCD-RAW", "a raw photo", Family.PICTURE),
    _sign(b"IIRO", "a raw photo", Family.PICTURE),
    _sign(b"IIRS", "a raw photo", Family.PICTURE),
    _sign(b"MMOR", "a raw photo", Family.PICTURE),
    _sign(b"IIU\x00", "a raw photo", Family.PICTURE),
    _sign(b"\x00\x00\x01\x00", "an icon", Family.PICTURE),
    _sign(b"8BPS", "a Photoshop picture", Family.PICTURE),
    _sign(b"\xff\x0a", "a JPEG XL picture", Family.PICTURE),
    _sign(b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture", Family.PICTURE),
    _sign(b"OggS", "an Ogg recording", Family.SOUND),
    _sign(b"fLaC", "a FLAC recording", Family.SOUND),
    _sign(b"ID3\x03", "an MP3 recording", Family.SOUND),
    _sign(b"ID3\x04", "an MP3 recording", Family.SOUND),
    _sign(b"\xff\xfb", "an MP3 recording", Family.SOUND),
    _sign(b"\xff\xf3", "an MP3 recording", Family.SOUND),
    _sign(b"MThd\x00", "a MIDI file", Family.SOUND),
    _sign(b"\x1aE\xdf\xa3", "a Matroska or WebM video", Family.VIDEO),
    _sign(b"FLV\x01", "a Flash video", Family.VIDEO),
    _sign(b"\x00\x00\x01\xba", "an MPEG video", Family.VIDEO),
    _sign(b"%PDF-", "a PDF document", Family.DOCUMENT),
    _sign(b"{\\rtf", "an RTF document", Family.DOCUMENT),
    _sign(b"SQLite format 3\x00", "a SQLite database", Family.OTHER),
    _sign(b"OTTO\x00", "a font", Family.OTHER),
    _sign(b"\x00\x01\x00\x00\x00", "a font", Family.OTHER),
    _sign(b"wOF", "a font", Family.OTHER),
)
_WRITTEN = (
    _sign(b"#!", "a script", Family.PROGRAM),
    _sign(b"%!ps", "a PostScript program", Family.PROGRAM),
    _sign(b"[desktop entry]", "a starter of a desktop", Family.SHORTCUT),
    _sign(b"[internetshortcut]", "a shortcut to an address", Family.SHORTCUT),
    _sign(b"-----begin ", "a key or a signature", Family.TEXT),
)
"""Texts, in small letters."""
_RIFF = {
    b"WEBP": FileKind("a WebP picture", Family.PICTURE),
    b"WAVE": FileKind("a WAV recording", Family.SOUND),
    b"AVI ": FileKind("an AVI video", Family.VIDEO),
}
_FTYP = {
    b"avif": FileKind("an AVIF picture", Family.PICTURE),
    b"avis": FileKind("an AVIF picture", Family.PICTURE),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc"), FileKind("a HEIC picture", Family.PICTURE)),
    b"mif1": FileKind("a HEIF picture", Family.PICTURE),
    b"msf1": FileKind("a HEIF picture", Family.PICTURE),
    b"crx ": FileKind("a raw photo", Family.PICTURE),
    b"qt  ": FileKind("a QuickTime video", Family.VIDEO),
    b"M4A ": FileKind("an M4A recording", Family.SOUND),
}
_WINDOWS = FileKind("a program for Windows", Family.PROGRAM)
_QUICKTIME = FileKind("a QuickTime video", Family.VIDEO)
_STREAM = FileKind("an MPEG video", Family.VIDEO)
_MP4 = FileKind("an MP4 video", Family.VIDEO)
_BMP = FileKind("a BMP picture", Family.PICTURE)
_EMPTY = FileKind("an empty file", Family.TEXT)
_TEXT = FileKind("a text", Family.TEXT)
_XML = FileKind("an XML file", Family.TEXT)
_PAGE = FileKind("a web page", Family.PAGE)
_SVG = FileKind("an SVG picture, which is a page", Family.PAGE)
_DMG = FileKind("an image of a disk", Family.DISK)
_UNKNOWN = FileKind("a file of an unknown kind", Family.OTHER)
_JAR = FileKind("a program (Java)", Family.PROGRAM)
_APK = FileKind("a program for Android", Family.PROGRAM)
_ZIP = FileKind("a ZIP archive", Family.ARCHIVE)
_OFFICE = FileKind("an Office document", Family.DOCUMENT)
_OFFICE_MACROS = FileKind("an Office document with macros", Family.MACROS)
_OPEN_DOCUMENT = FileKind("an OpenDocument file", Family.DOCUMENT)
_EBOOK = FileKind("an e-book", Family.DOCUMENT)

_SILENT = frozenset({"an icon", "a BMP picture", "a GIF picture", "a Flash video"})
"""Pictures and videos in which no camera writes where they were taken."""

# Texts and archives that a system starts or obeys because of their names.
_BY_EXTENSION: dict[str, FileKind] = {
    extension: FileKind(what, family)
    for extensions, what, family in (
        ("bat cmd ps1 psm1 vbs vbe js jse mjs wsf wsh hta reg", "a script for Windows", Family.PROGRAM),
        ("exe scr com pif msi msp cpl dll xll appx msix gadget", "a program for Windows", Family.PROGRAM),
        ("sh bash zsh fish csh ksh py pyw pl rb lua php run", "a script", Family.PROGRAM),
        ("command terminal workflow scpt applescript pkg mpkg", "a program for macOS", Family.PROGRAM),
        ("appimage flatpakref snap deb rpm", "a program or a package", Family.PROGRAM),
        ("jar jnlp", "a program (Java)", Family.PROGRAM),
        ("apk xapk", "a program for Android", Family.PROGRAM),
        (
            "desktop service lnk url webloc website library-ms settingcontent-ms",
            "a shortcut",
            Family.SHORTCUT,
        ),
        ("docm dotm xlsm xltm xlam pptm potm ppam ppsm sldm", "an Office document with macros", Family.MACROS),
        ("html htm xhtml xht mht mhtml shtml svg svgz", "a web page", Family.PAGE),
        ("iso img vhd vhdx dmg udf", "an image of a disk", Family.DISK),
    )
    for extension in extensions.split()
}
# What people take a file for by its name.
_LOOKS: dict[str, Family] = {
    extension: family
    for extensions, family in (
        ("png jpg jpeg gif webp bmp tif tiff heic heif avif jxl ico", Family.PICTURE),
        ("mp3 ogg oga opus flac wav m4a aac mid midi", Family.SOUND),
        ("mp4 m4v mov mkv webm avi mpg mpeg", Family.VIDEO),
        ("pdf docx xlsx pptx odt ods odp rtf epub", Family.DOCUMENT),
        ("doc xls ppt", Family.MACROS),
        ("zip tar gz tgz bz2 xz zst 7z rar", Family.ARCHIVE),
        ("txt md log csv json xml", Family.TEXT),
    )
    for extension in extensions.split()
}


def kind_of(head: bytes, tail: bytes, name: str) -> FileKind:
    """Return what a file is. head, tail: its first `HEAD_BYTES` and its last `TAIL_BYTES`. name: a safe one; it decides
    where a system would start the file because of it, whatever else its bytes also are.
    """
    found = _by_bytes(head, tail)
    named = _BY_EXTENSION.get(_extension(name))
    return found if named is None or found.family in (Family.PROGRAM, named.family) else named


def kind_of_file(path: Path, *, follow: bool = False) -> FileKind:
    """Return what a file on the disk is. A symlink is followed only if that is wanted, and only a regular file is read.
    Raises OSError.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return _UNKNOWN
        return kind_of(*ends(descriptor, found.st_size), path.name)
    finally:
        os.close(descriptor)


def ends(descriptor: int, size: int) -> tuple[bytes, bytes]:
    """Return the beginning and the end of an open file of `size` bytes, for `kind_of`. Raises OSError."""
    return os.pread(descriptor, HEAD_BYTES, 0), os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))


def question(kind: FileKind, name: str) -> str:
    """Return a sentence that says what a file is, to be asked before it is opened."""
    return f"This is {kind.what}, {'although it is called' if _lies(kind, name) else 'called'} {name}."


def warning(kind: FileKind, name: str) -> str:
    """Return what to say before a file is opened: what it is, if that is not what its name says, and what it can do.
    Empty if there is nothing to say.
    """
    risk = _RISKS.get(kind.family, "")
    return f"{question(kind, name)} {risk}".rstrip() if risk or _lies(kind, name) else ""


def may_tell(kind: FileKind) -> str:
    """Return what to say before one's own file is sent as it is: that it may say where and with what it was taken.
    Empty for a kind that does not.
    """
    if kind.family not in (Family.PICTURE, Family.VIDEO) or kind.what in _SILENT:
        return ""
    return f"This is {kind.what}: it is sent as it is, with whatever it says about place, time and camera."


def _lies(kind: FileKind, name: str) -> bool:
    looks = _LOOKS.get(_extension(name))
    if looks is None or kind in (_EMPTY, _UNKNOWN):
        return False
    return looks is not kind.family and not {looks, kind.family} <= {Family.SOUND, Family.VIDEO}


def _extension(name: str) -> str:
    return split(name)[1].rpartition(".")[2].casefold()


def _by_bytes(head: bytes, tail: bytes) -> FileKind:
    if not head:
        return _EMPTY
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], _UNKNOWN)
    if head[4:8] == b"ftyp":
        return _FTYP.get(head[8:12], _MP4)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip") and head[:2] in (b"\0\0", b"\0\x01"):
        return _QUICKTIME
    if any(head[start] == head[start + step] == head[start + 2 * step] == 0x47 for start, step in _packets(head)):
        return _STREAM
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return _zipped(head, tail)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return _BMP
    if head[:2] == b"MZ" and b"\0" in head[:64]:
        return _WINDOWS
    for sign in _SIGNS:
        if head.startswith(sign.magic, sign.offset):
            return sign.kind
    return _DMG if tail[-512:-508] == b"koly" else _written(head)


def _packets(head: bytes) -> list[tuple[int, int]]:
    """Return where the packets of an MPEG stream would begin, and their size, as cameras and as others write them."""
    return [(start, step) for start, step in ((0, 188), (4, 192)) if len(head) > start + 2 * step]


def _zipped(head: bytes, tail: bytes) -> FileKind:
    # Names of what is inside stand in clear: at the beginning the first one, and at the end all of them.
    inside = head + tail
    if b"vbaProject.bin" in inside:
        return _OFFICE_MACROS
    if b"AndroidManifest.xml" in inside:
        return _APK
    if b"META-INF/MANIFEST.MF" in inside:
        return _JAR
    if b"mimetypeapplication/vnd.oasis.opendocument" in head:
        return _OPEN_DOCUMENT
    if b"mimetypeapplication/epub" in head:
        return _EBOOK
    return _OFFICE if b"[Content_Types].xml" in inside else _ZIP


def _written(head: bytes) -> FileKind:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "ignore").encode("utf-8", "ignore")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for sign in _WRITTEN:
        if text.startswith(sign.magic):
            return sign.kind
    if text.startswith(b"<"):
        if re.search(rb"<([a-z]{1,20}:)?svg[\s>]", text):
            return _SVG
        if re.search(rb"<(!doctype html|html|head|script|body|iframe|meta)[\s>]", text):
            return _PAGE
        if text.startswith(b"<?xml"):
            return _XML
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # the last letter may be cut
            return _UNKNOWN
    return _UNKNOWN if b"\0" in head else _TEXT
