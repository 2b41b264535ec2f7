"""Names of files that others sent, made safe for a disk, a shell and a reader.

The sender chooses a name, so it may be a path, an option, a device, or a text that is shown in another order than it is
stored. What comes out of `safe_name` is one component of a path, can be typed, and shows its real extension.
"""

from __future__ import annotations

import re
import unicodedata

from p2pchat.sanitize import clean_line

MAX_NAME_BYTES = 255
"""The most bytes of a name on the file systems of Linux."""
UNNAMED = "file"
_MAX_EXTENSION_BYTES = 32
"""The longest ending that is kept whole when a name is cut."""

# What Windows and its file systems refuse; colons also name streams there.
_FORBIDDEN = re.compile(r'[<>:"|?*\ufffd]')
_SPACES = re.compile(r"\s+")
# Letters and signs by their category, but drawn as nothing: they would pad a name until its extension is out of sight.
_BLANKS = dict.fromkeys(map(ord, "\u115f\u1160\u2800\u3164\uffa0"), " ")
_JOINERS = "\u200c\u200d"
"""Persian and emoji need them, so they stay inside a name, but not in its extension."""
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_AT_START = " .-~" + _JOINERS
"""Hidden files, options, home folders."""
_AT_END = " ." + _JOINERS
"""Windows drops them, so that another name would be meant."""


def safe_name(name: str) -> str:
    """Return a name of at most `MAX_NAME_BYTES` bytes for a file that its sender calls `name`; `UNNAMED` if nothing of
    it is left. A name that is safe stays as it is.
    """
    base = re.split(r"[/\\]", name)[-1]
    base = unicodedata.normalize("NFC", clean_line(base)).translate(_BLANKS)
    base = _SPACES.sub(" ", "".join(map(_visible, base)))
    base = _FORBIDDEN.sub("_", base).lstrip(_AT_START).rstrip(_AT_END)
    return _within(_no_device(_plain_extension(base)), MAX_NAME_BYTES) or UNNAMED


def numbered(name: str, number: int, max_bytes: int = MAX_NAME_BYTES) -> str:
    """Return a safe name with a number in it: `name (1).ext` for 1; for 0 the name itself. It is cut to `max_bytes`."""
    if number == 0:
        return _within(name, max_bytes)
    stem, extension = split(name)
    mark = f" ({number}){extension}"
    return _cut(stem, max_bytes - len(mark.encode())) + mark


def split(name: str) -> tuple[str, str]:
    """Return a safe name as what is before its extension, and the extension with its dot, or an empty one."""
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or not extension or len(extension.encode()) >= _MAX_EXTENSION_BYTES:
        return name, ""
    double = re.search(r"\.tar$", stem, re.IGNORECASE)
    if double and double.start() > 0:
        stem, extension = stem[: double.start()], f"{double.group()[1:]}.{extension}"
    return stem, f".{extension}"


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cf":
        return char if char in _JOINERS else ""
    return "_" if category in ("Co", "Cn") else char


def _plain_extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem + dot + extension.replace("\u200c", "").replace("\u200d", "") if dot else name


def _no_device(name: str) -> str:
    return f"_{name}" if _DEVICES.match(name) else name


def _within(name: str, max_bytes: int) -> str:
    """Return the name, or its beginning and its extension in so many bytes."""
    if len(name.encode()) <= max_bytes:
        return name
    stem, extension = split(name)
    return _cut(stem, max_bytes - len(extension.encode())) + extension


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore").rstrip(_AT_END)
