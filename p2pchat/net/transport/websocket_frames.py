"""WebSocket frames (RFC 6455, §5) without I/O: bytes in, pieces of binary messages and control frames out.

It implements only what a byte pipe needs: text frames, extensions and reserved opcodes are errors. Data is passed on as
it arrives, whatever length its frame announces, and nothing is buffered but a frame's head and a control frame.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_CONTROL = 125
"""Bytes of a control frame."""
_FINAL, _RESERVED, _OPCODE, _MASKED = 0x80, 0x70, 0x0F, 0x80


class BadFrame(ValueError):
    """The other side sent an invalid frame, or one that we do not accept."""


class FramePiece(NamedTuple):
    """A piece of binary data (opcode `BINARY`, perhaps empty) or one whole control frame."""

    opcode: int
    data: bytes


class Decoder:
    """Parses the frames of one side. masked: whether that side has to mask, as clients do.

    After BadFrame it cannot be used any more.
    """

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._buffer = bytearray()
        self._left = 0  # bytes of the data frame that are still missing
        self._mask = b""  # rotated so that it begins with the next byte
        self._unfinished = False  # whether a message is unfinished, so that a continuation has to follow

    def feed(self, data: bytes) -> None:
        """Add received bytes, split anywhere."""
        self._buffer += data

    def next(self) -> FramePiece | None:
        """Return the next piece of a frame, or None if more bytes are needed. Raises BadFrame."""
        if self._left:
            return self._piece() if self._buffer else None
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode, final, length = first & _OPCODE, bool(first & _FINAL), second & ~_MASKED & 0xFF
        self._check(first, opcode, final, length, bool(second & _MASKED))
        start, wide = 2, {126: 2, 127: 8}.get(length, 0)
        if len(buffer) < start + wide + 4 * self._masked:
            return None
        if wide:
            length = int.from_bytes(buffer[2 : 2 + wide], "big")
            start += wide
            if length < (126 if wide == 2 else 1 << 16) or length >> 63:
                raise BadFrame("a length that is not the shortest one, or none")
        mask = bytes(buffer[start : start + 4]) if self._masked else b""
        start += len(mask)
        if opcode >= CLOSE:
            if len(buffer) < start + length:
                return None
            data = _masked(bytes(buffer[start : start + length]), mask)
            del buffer[: start + length]
            if opcode == CLOSE and length == 1:
                raise BadFrame("half a reason to close")
            return FramePiece(opcode, data)
        del buffer[:start]
        self._left, self._mask, self._unfinished = length, mask, not final
        return self._piece() if buffer or not length else None

    def _check(self, first: int, opcode: int, final: bool, length: int, masked: bool) -> None:
        if first & _RESERVED or masked != self._masked:
            raise BadFrame("a reserved bit, or a wrong mask")
        if opcode in (CLOSE, PING, PONG):
            if not final or length > MAX_CONTROL:
                raise BadFrame("a control frame that is in pieces or too long")
        elif opcode != (CONTINUATION if self._unfinished else BINARY):
            raise BadFrame("not the frame that may come now")
        elif not final and not length:
            raise BadFrame("a frame that says nothing")

    def _piece(self) -> FramePiece:
        size = min(self._left, len(self._buffer))
        with memoryview(self._buffer) as view:
            piece = _masked(bytes(view[:size]), self._mask)
        del self._buffer[:size]
        self._left -= size
        turn = size % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        return FramePiece(BINARY, piece)


def encode(opcode: int, data: bytes, mask: bytes = b"") -> bytes:
    """Return one final frame (RFC 6455, section 5.2). mask: 4 bytes, from a client; none from a server."""
    size = len(data)
    if size < 126:
        length = bytes((size,))
    elif size < 1 << 16:
        length = struct.pack(">BH", 126, size)
    else:
        length = struct.pack(">BQ", 127, size)
    if mask:
        length = bytes((length[0] | _MASKED,)) + length[1:]
    return bytes((_FINAL | opcode,)) + length + mask + _masked(data, mask)


def _masked(data: bytes, mask: bytes) -> bytes:
    """Return `data` with the mask applied or removed."""
    size = len(data)
    if not mask or not size:
        return data
    long = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(long, "little")).to_bytes(size, "little")
