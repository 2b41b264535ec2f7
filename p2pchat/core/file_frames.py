"""The frames by which the recipient of a file asks its sender for blobs (docs/protocol/files.md)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from p2pchat.core.files import BLOB_BYTES, FILE_ID_BYTES, BlobPlace
from p2pchat.core.frames import HELLO, Sizes
from p2pchat.core.ids import FileId
from p2pchat.errors import CannotOpen


class FileFrame(IntEnum):
    """The types of frames on a stream for files, besides the hello."""

    GET = 32
    BLOB = 33
    NONE = 34


GET, BLOB, NONE = FileFrame
MAX_IN_GET = 16
"""Blobs that one GET may ask for."""
MAX_ASKED = 32
"""Blobs that a recipient may have asked for and not been answered,"""
MAX_SERVED = 64
"""and with more of which the sender ends the stream."""
NUMBER_BYTES = 4
_GET = struct.Struct(f">I{FILE_ID_BYTES}sBQB")
_NONE = struct.Struct(">IB")
GET_BYTES, NONE_BYTES = _GET.size, _NONE.size
FROM_RECIPIENT: Sizes = {HELLO: frozenset({16}), GET: frozenset({GET_BYTES})}
FROM_SENDER: Sizes = {
    HELLO: frozenset({16}),
    BLOB: frozenset({NUMBER_BYTES + BLOB_BYTES}),
    NONE: frozenset({NONE_BYTES}),
}


@dataclass(frozen=True, slots=True)
class Get:
    """A request for `count` blobs of one file, from `first` on, within their level."""

    number: int
    file: FileId
    first: BlobPlace
    count: int


def encode_get(get: Get) -> bytes:
    """Encode the body of a GET."""
    return _GET.pack(get.number, get.file, get.first.level, get.first.number, get.count)


def decode_get(body: bytes) -> Get:
    """Decode the body of a GET. Raises CannotOpen."""
    if len(body) != _GET.size:
        raise CannotOpen
    number, file, level, first, count = _GET.unpack(body)
    if not 1 <= count <= MAX_IN_GET or first + count > 1 << 64:
        raise CannotOpen
    return Get(number, FileId(file), BlobPlace(level, first), count)


def encode_none(number: int, reason: int) -> bytes:
    """Encode the body of a NONE. number: of the request that it answers."""
    return _NONE.pack(number, reason)


def decode_none(body: bytes) -> tuple[int, int]:
    """Decode the body of a NONE: the number of the request, and the reason. Raises CannotOpen."""
    if len(body) != _NONE.size:
        raise CannotOpen
    number, reason = _NONE.unpack(body)
    return number, reason
