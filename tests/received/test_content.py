"""What a file is, by its bytes, and what is said before it is opened (attack 37)."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from p2pchat.received import content
from p2pchat.received.content import Family, kind_of, kind_of_file, question, warning


def zipped(*names: str, padding: int = 0) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, os.urandom(padding) if padding else "application/vnd.oasis.opendocument.text")
    return made.getvalue()


def tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return made.getvalue()


def kind(data: bytes, name: str = "x") -> content.FileKind:
    return kind_of(data[: content.HEAD_BYTES], data[-content.TAIL_BYTES :], name)


@pytest.mark.parametrize(
    ("data", "what", "family"),
    [
        (b"FUJIFILMCCD-RAW 0201", "a raw photo", Family.PICTURE),
        (b"\0\0\0\x18ftypcrx ", "a raw photo", Family.PICTURE),
        (b"\0\0\0\x18ftypqt  ", "a QuickTime video", Family.VIDEO),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "a QuickTime video", Family.VIDEO),
        (3 * (b"G" + bytes(187)), "an MPEG video", Family.VIDEO),
        (3 * (bytes(4) + b"G" + bytes(187)), "an MPEG video", Family.VIDEO),
        (b"\x7fELF\x02", "a program (ELF)", Family.PROGRAM),
        (b"MZ\x90\0", "a program for Windows", Family.PROGRAM),
        (b"\xcf\xfa\xed\xfe", "a program for macOS", Family.PROGRAM),
        (b"\xca\xfe\xba\xbe", "a program (Java or macOS)", Family.PROGRAM),
        (b"dex\n035\0", "a program for Android", Family.PROGRAM),
        (b"#!/bin/sh\n", "a script", Family.PROGRAM),
        (b"\xef\xbb\xbf\n #!/bin/sh\n", "a script", Family.PROGRAM),
        (b"%!PS-Adobe", "a PostScript program", Family.PROGRAM),
        (b"!<arch>\ndebian-binary", "a Debian package", Family.PROGRAM),
        (zipped("META-INF/MANIFEST.MF"), "a program (Java)", Family.PROGRAM),
        (zipped("a", "AndroidManifest.xml"), "a program for Android", Family.PROGRAM),
        (b"\n[Desktop Entry]\nExec=sh", "a starter of a desktop", Family.SHORTCUT),
        (b"[InternetShortcut]\r\n", "a shortcut to an address", Family.SHORTCUT),
        (b"L\0\0\0\x01\x14\x02\0", "a shortcut of Windows", Family.SHORTCUT),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", Family.MACROS),
        (zipped("[Content_Types].xml", "word/document.xml"), "an Office document", Family.DOCUMENT),
        (
            zipped("[Content_Types].xml", "a", "word/vbaProject.bin", padding=5_000),
            "an Office document with macros",
            Family.MACROS,
        ),
        (zipped("mimetype"), "an OpenDocument file", Family.DOCUMENT),
        (zipped("a.txt"), "a ZIP archive", Family.ARCHIVE),
        (b"\x1f\x8b\x08", "a gzip archive", Family.ARCHIVE),
        (b"BZh91AY&SY", "a bzip2 archive", Family.ARCHIVE),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", Family.ARCHIVE),
        (tar(), "a tar archive", Family.ARCHIVE),
        (bytes(100) + b"koly" + bytes(508), "an image of a disk", Family.DISK),
        (b"<!DOCTYPE html>", "a web page", Family.PAGE),
        (b" \n<!-- x --><script >", "a web page", Family.PAGE),
        ("\ufeff<html >".encode("utf-16-le"), "a web page", Family.PAGE),
        (b"<?xml version='1.0'?><svg xmlns=", "an SVG picture, which is a page", Family.PAGE),
        (b"<s:svg xmlns:s=", "an SVG picture, which is a page", Family.PAGE),
        (b"<?xml version='1.0'?><a/>", "an XML file", Family.TEXT),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture", Family.PICTURE),
        (b"\xff\xd8\xff\xe0", "a JPEG picture", Family.PICTURE),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture", Family.PICTURE),
        (b"\0\0\0\x20ftypavif", "an AVIF picture", Family.PICTURE),
        (b"OggS\0", "an Ogg recording", Family.SOUND),
        (b"RIFF\0\0\0\0WAVEfmt ", "a WAV recording", Family.SOUND),
        (b"\0\0\0\x20ftypisom", "an MP4 video", Family.VIDEO),
        (b"\x1aE\xdf\xa3", "a Matroska or WebM video", Family.VIDEO),
        (b"%PDF-1.7", "a PDF document", Family.DOCUMENT),
        (b"-----BEGIN PGP MESSAGE-----", "a key or a signature", Family.TEXT),
        (b"", "an empty file", Family.TEXT),
        (b"MZ is how this text begins", "a text", Family.TEXT),
        ("ä".encode() * 2_048 + b"a", "a text", Family.TEXT),
        (b"a\0b", "a file of an unknown kind", Family.OTHER),
        (b"\xc3\x28 and more", "a file of an unknown kind", Family.OTHER),
    ],
)
def test_a_file_is_known_by_its_bytes(data: bytes, what: str, family: Family) -> None:
    assert kind(data) == (what, family)


@pytest.mark.parametrize(
    ("name", "data", "family"),
    [
        ("x.bat", b"echo", Family.PROGRAM),
        ("x.HTA", b"\xff\xd8\xff\xe0", Family.PROGRAM),
        ("x.jar", b"GIF89a", Family.PROGRAM),
        ("x.msi", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Family.PROGRAM),
        ("x.desktop", b"# hello", Family.SHORTCUT),
        ("x.docm", zipped("[Content_Types].xml"), Family.MACROS),
        ("x.iso", bytes(64), Family.DISK),
        ("x.svg", b"<?xml version='1.0'?>", Family.PAGE),
        ("x.svg", b"\x7fELF", Family.PROGRAM),
    ],
)
def test_a_name_that_a_system_obeys_counts_too(name: str, data: bytes, family: Family) -> None:
    assert kind(data, name).family is family
    assert warning(kind(data, name), name)


@pytest.mark.parametrize(
    ("name", "data", "begins"),
    [
        ("photo.jpg", b"\x7fELF", "This is a program (ELF), although it is called photo.jpg. It can do"),
        ("photo.jpg.exe", b"MZ\0", "This is a program for Windows, called photo.jpg.exe. It can do"),
        ("letter.pdf", b"PK\x03\x04", "This is a ZIP archive, although it is called letter.pdf. What is in it"),
        ("letter.pdf", b"<html>", "This is a web page, although it is called letter.pdf. It can load"),
        ("photo.png", b"%PDF-1.7", "This is a PDF document, although it is called photo.png."),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "This is an old Office document, called old.doc. It may"),
    ],
)
def test_what_is_not_what_it_seems_gets_a_warning(name: str, data: bytes, begins: str) -> None:
    assert warning(kind(data, name), name).startswith(begins)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("photo.jpeg", b"\xff\xd8\xff\xe0"),
        ("a.txt", b"hello"),
        ("a.txt", b"caf\xe9 and more"),
        ("a.txt", b""),
        ("a.pdf", b"%PDF-1.7"),
        ("a.m4a", b"\0\0\0\x20ftypisom"),
        ("a.webm", b"\x1aE\xdf\xa3"),
        ("no extension", b"\x89PNG\r\n\x1a\n"),
    ],
)
def test_what_is_what_it_seems_gets_none(name: str, data: bytes) -> None:
    assert warning(kind(data, name), name) == ""
    assert question(kind(data, name), name).endswith(f", called {name}.")


def test_a_saved_file_is_looked_at_without_following_anything(tmp_path: Path) -> None:
    real = tmp_path / "x.txt"
    real.write_bytes(b"#!/bin/sh\n" + bytes(200_000))
    assert kind_of_file(real).family is Family.PROGRAM
    link = tmp_path / "y.txt"
    link.symlink_to(real)
    with pytest.raises(OSError, match="symbolic links"):
        kind_of_file(link)
    os.mkfifo(tmp_path / "pipe")
    assert kind_of_file(tmp_path / "pipe").family is Family.OTHER


@pytest.mark.parametrize(
    ("head", "tells"),
    [
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"II*\0", "a TIFF picture"),
        (b"IIU\0", "a raw photo"),
        (b"\0\0\0\x18ftypmp42", "an MP4 video"),
        (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"GIF89a", ""),
        (b"%PDF-1.7", ""),
        (b"plain words", ""),
    ],
)
def test_what_may_say_where_it_was_taken(head: bytes, tells: str) -> None:
    assert content.may_tell(kind(head)).startswith(f"This is {tells}: " if tells else "")
    assert bool(content.may_tell(kind(head))) == bool(tells)


def test_a_symlink_is_followed_only_for_ones_own(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    (tmp_path / "b").symlink_to(tmp_path / "a.tif")
    assert kind_of_file(tmp_path / "b", follow=True).what == "a TIFF picture"
    with pytest.raises(OSError, match="symbolic"):
        kind_of_file(tmp_path / "b")
