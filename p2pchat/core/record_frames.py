"""The frames by which a relay is given presence records and asked for them (docs/protocol/presence.md).

A record is named by the 32-byte public key that signs it, and fills a fixed number of bytes, so that nobody who watches
the connection can tell a record from none.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from p2pchat.core.primitives import KEY_BYTES
from p2pchat.errors import CannotOpen

MAX_RECORD_BYTES = 1_536
"""The longest IPNS record that a relay keeps for its clients; ours have some 1,200 bytes."""

_PUT = struct.Struct(f">I{KEY_BYTES}sH{MAX_RECORD_BYTES}s")
_GET = struct.Struct(f">I{KEY_BYTES}s")
_RECORD = struct.Struct(f">IH{MAX_RECORD_BYTES}s")
PUT_BYTES, GET_BYTES, ANSWER_BYTES = _PUT.size, _GET.size, _RECORD.size


class RecordPut(NamedTuple):
    """A record to be kept under the public key that signs it."""

    number: int
    public: bytes
    record: bytes


class RecordGet(NamedTuple):
    """A request for the record of a public key."""

    number: int
    public: bytes


class RecordAnswer(NamedTuple):
    """The answer to a `RecordGet`: the record, or b"" if there is none."""

    number: int
    record: bytes


def encode_put(put: RecordPut) -> bytes:
    """Encode a PUT_RECORD, frame type 13. The record has at most `MAX_RECORD_BYTES`."""
    return _PUT.pack(put.number, put.public, len(put.record), put.record)


def decode_put(body: bytes) -> RecordPut:
    """Decode a PUT_RECORD. Raises CannotOpen, as all that decode frames here."""
    if len(body) != _PUT.size:
        raise CannotOpen
    number, public, length, padded = _PUT.unpack(body)
    return RecordPut(number, public, _unpadded(padded, length))


def encode_get(get: RecordGet) -> bytes:
    """Encode a GET_RECORD, frame type 14."""
    return _GET.pack(*get)


def decode_get(body: bytes) -> RecordGet:
    """Decode a GET_RECORD. Raises CannotOpen."""
    if len(body) != _GET.size:
        raise CannotOpen
    return RecordGet(*_GET.unpack(body))


def encode_answer(answer: RecordAnswer) -> bytes:
    """Encode a RECORD, frame type 15."""
    return _RECORD.pack(answer.number, len(answer.record), answer.record)


def decode_answer(body: bytes) -> RecordAnswer:
    """Decode a RECORD. Raises CannotOpen."""
    if len(body) != _RECORD.size:
        raise CannotOpen
    number, length, padded = _RECORD.unpack(body)
    return RecordAnswer(number, _unpadded(padded, length))


def _unpadded(padded: bytes, length: int) -> bytes:
    if length > MAX_RECORD_BYTES or any(padded[length:]):
        raise CannotOpen
    return bytes(padded[:length])
