"""The part of an address that names a pluggable transport: a program which carries the connection in disguise, such as
obfs4, and what it has to be told for it (docs/protocol/encoding.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

MAX_NAME = 16
MAX_ARGUMENTS = 110
"""Characters of all arguments as an address has them; those of obfs4 are 86 to 92."""
NO_ARGUMENTS = "-"
NAME = re.compile(r"[a-z][a-z0-9_]{0,15}")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,32}")
_WRITTEN = re.compile(r"(?:[A-Za-z0-9._~+=,:@-]|%[0-9A-F]{2})*")
_PRINTABLE = re.compile(r"[ -~]*")
_SAFE = "+=,:@"  # besides letters, digits and ._~-
_ESCAPED = re.compile(r"[\\;=]")
_MAX_USERNAME = 255


@dataclass(frozen=True, slots=True)
class PluggableTransport:
    """A transport by its name, and the arguments for a connection with one server: keys and values, in order."""

    name: str
    arguments: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """Return the arguments as an address has them."""
        pairs = [f"{key}={quote(value, safe=_SAFE)}" for key, value in self.arguments]
        return ";".join(pairs) or NO_ARGUMENTS

    def packed(self) -> bytes:
        """Return the name and the arguments, each with its length before it."""
        return b"".join(bytes([len(word)]) + word.encode("ascii") for word in (self.name, self.text()))

    def login(self) -> tuple[str, str]:
        """Return the user name and password by which a SOCKS proxy of the transport is told the arguments, "" and ""
        without any (pt-spec, "Pluggable Transport Client Per-Connection Arguments").
        """
        if not self.arguments:
            return "", ""
        pairs = [f"{_escaped(key)}={_escaped(value)}" for key, value in self.arguments]
        said = ";".join(pairs)
        return said[:_MAX_USERNAME], said[_MAX_USERNAME:] or "\0"


def words_of(packed: bytes) -> tuple[str, bytes]:
    """Return the name and the arguments at the beginning of hostile bytes, "/" between them and both unchecked, and
    what comes after them.
    """
    words = []
    for _ in range(2):
        end = 1 + (packed[0] if packed else 0)
        words.append(packed[1:end].decode("ascii", "replace"))
        packed = packed[end:]
    return "/".join(words), packed


def _escaped(text: str) -> str:
    return _ESCAPED.sub(r"\\\g<0>", text)


def read_transport(name: str, written: str) -> PluggableTransport:
    """Return the transport with this name and these arguments. Raises ValueError for any other spelling of them."""
    if not NAME.fullmatch(name) or len(written) > MAX_ARGUMENTS:
        raise ValueError
    pairs = [] if written == NO_ARGUMENTS else [pair.partition("=") for pair in written.split(";")]
    arguments = []
    for key, separator, value in pairs:
        if not _KEY.fullmatch(key) or not separator or not _WRITTEN.fullmatch(value):
            raise ValueError
        arguments.append((key, unquote_to_bytes(value).decode("latin-1")))
    return make_transport(name, arguments, written)


def make_transport(name: str, arguments: list[tuple[str, str]], written: str = "") -> PluggableTransport:
    """Return the transport with these arguments. written: the one spelling that they may have; "" for any. Raises
    ValueError where an address cannot have them.
    """
    transport = PluggableTransport(name, tuple(arguments))
    text = transport.text()
    fits = NAME.fullmatch(name) and len(text) <= MAX_ARGUMENTS and len(dict(arguments)) == len(arguments)
    if not fits or not all(_KEY.fullmatch(key) and _PRINTABLE.fullmatch(value) for key, value in arguments):
        raise ValueError
    if written and text != written:
        raise ValueError
    return transport
