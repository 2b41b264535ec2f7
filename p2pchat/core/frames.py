"""Frames: the units on a stream between two nodes, u32 length || u8 type || body.

The length counts type and body. Each type has fixed sizes; a frame of another size ends the stream before any of it is
stored. The parser holds at most one unfinished frame, and the frames beyond the limit of a call.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Container, Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from p2pchat.core.envelope import BUCKETS, ID_BYTES
from p2pchat.core.ids import EnvelopeId
from p2pchat.core.punch import PUNCH_BYTES
from p2pchat.errors import CannotOpen


class FrameType(IntEnum):
    """The types of frames between two nodes (docs/protocol/direct.md)."""

    HELLO = 0
    ENVELOPE = 1
    ACKS = 2
    REFUSED = 3
    PING = 4
    PONG = 5
    RENEW = 6
    BUNDLE = 7
    INITIAL = 8
    GONE = 9
    REQUEST = 10
    FULL = 11
    PUNCH = 12


class GoneReason(IntEnum):
    """Why an invite cannot be used: the one byte of a GONE frame."""

    USED = 1
    EXPIRED = 2


# Names of the module: looking a member up in its class at every frame costs several times as much.
HELLO, ENVELOPE, ACKS, REFUSED, PING, PONG, RENEW, BUNDLE, INITIAL, GONE, REQUEST, FULL, PUNCH = FrameType
USED, EXPIRED = GoneReason
MAX_ACKS = 256
WRITE = 60_000
"""Frames are joined into writes of this size: one Noise message, one Yamux frame."""

Sizes = Mapping[int, Container[int]]
"""The sizes that the bodies of each type of frame may have, on one protocol, from one side."""

BETWEEN_NODES: Sizes = {
    HELLO: frozenset({16}),
    ENVELOPE: frozenset(BUCKETS),
    ACKS: frozenset(range(ID_BYTES, ID_BYTES * MAX_ACKS + 1, ID_BYTES)),
    REFUSED: frozenset({ID_BYTES}),
    PING: frozenset({0}),
    PONG: frozenset({0}),
    RENEW: frozenset({0}),
    BUNDLE: frozenset(BUCKETS),
    INITIAL: frozenset(BUCKETS),
    GONE: frozenset({1}),
    REQUEST: frozenset(BUCKETS),
    FULL: frozenset({0}),
    PUNCH: frozenset({PUNCH_BYTES}),
}
_HEAD = 5
_FRAME_HEAD = struct.Struct(">IB")
_LONGEST = BUCKETS[-1] + 64  # the longest header before a blob, with a reserve


class Frame(NamedTuple):
    """One frame, without its length."""

    type: int
    body: bytes


class FrameParser:
    """Parses the bytes of a stream into frames. After `CannotOpen` the stream cannot be used any more."""

    def __init__(self, sizes: Sizes = BETWEEN_NODES) -> None:
        self._sizes = sizes
        self._rest = bytearray()

    def feed(self, data: bytes, at_most: int = sys.maxsize) -> list[Frame]:
        """Return the frames completed by `data`, or the first `at_most` of them: the next call, with b"" perhaps, gives
        more. Raises CannotOpen for unknown types and wrong sizes.
        """
        rest = self._rest
        rest += data
        frames: list[Frame] = []
        start = 0
        size = len(rest)
        while size - start >= _HEAD and len(frames) < at_most:
            length, kind = _FRAME_HEAD.unpack_from(rest, start)
            sizes = self._sizes.get(kind)
            if sizes is None or not 1 <= length <= _LONGEST or length - 1 not in sizes:
                raise CannotOpen
            end = start + 4 + length
            if size < end:
                break
            frames.append(Frame(kind, bytes(rest[start + _HEAD : end])))
            start = end
        del rest[:start]
        return frames


def pack(frame: Frame) -> bytes:
    """Return the bytes of one frame."""
    return _FRAME_HEAD.pack(len(frame.body) + 1, frame.type) + frame.body


def head(kind: int, body_bytes: int) -> bytes:
    """Return what comes before the body of a frame of type `kind`, which has so many bytes."""
    return _FRAME_HEAD.pack(body_bytes + 1, kind)


def acks(ids: Iterable[EnvelopeId]) -> list[Frame]:
    """Make ack frames for any number of envelope ids."""
    every = list(ids)
    return [Frame(ACKS, b"".join(every[start : start + MAX_ACKS])) for start in range(0, len(every), MAX_ACKS)]


def acked_ids(frame: Frame) -> list[EnvelopeId]:
    """Return the ids in an ack frame."""
    return [EnvelopeId(frame.body[start : start + ID_BYTES]) for start in range(0, len(frame.body), ID_BYTES)]
