"""Reads what the sender of a file says: all that has come in one turn, and each blob is copied once.

(`net.frames.FrameReader` is for small frames: it copies everything three times.)
"""

from __future__ import annotations

import struct
from collections import deque
from typing import NamedTuple

import trio

from p2pchat.core.file_frames import BLOB, FROM_SENDER, NONE, NUMBER_BYTES
from p2pchat.core.frames import HELLO, Frame
from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.net.frames import DEADLINE
from p2pchat.net.ports import Stream

READ_BYTES = 1 << 19
"""Bytes that are taken from the stream at once; no more than its window come before they are read."""
_HELLO = struct.Struct(">IB16s")
_HEAD = struct.Struct(">IBI")
"""Of an answer: its length, its type, and the number of the request."""


class BlobAnswer(NamedTuple):
    """One frame of the sender's: its type, `BLOB` or `NONE`, the number of the request, and the blob or the reason."""

    type: int
    number: int
    rest: bytes


class AnswerReader:
    """Reads the hello of a sender, and then its answers. Raises CannotOpen for anything else, before it waits for the
    body, and LinkLost at the end. Cancelled, it loses nothing. moved, began: when the
    last byte came, and the first one of the last answer, in seconds of trio's clock.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._pieces: deque[memoryview] = deque()  # what has come and was not taken
        self._held = 0  # bytes of that
        self._head: tuple[int, int, int] | None = None  # of an answer whose rest is coming: type, request, length
        self.moved = self.began = trio.current_time()

    async def hello(self) -> Frame:
        """Return the first frame. Raises LinkLost if it takes longer than other steps of a dialogue may."""
        with trio.move_on_after(DEADLINE):
            said = await self._exactly(_HELLO.size)
            length, kind, tag = _HELLO.unpack(said)
            if (length, kind) != (1 + len(tag), HELLO):
                raise CannotOpen
            return Frame(HELLO, tag)
        raise LinkLost

    async def next(self) -> BlobAnswer:
        """Return the next answer."""
        if self._head is None:
            length, kind, number = _HEAD.unpack(await self._exactly(_HEAD.size))
            if kind not in (BLOB, NONE) or length - 1 not in FROM_SENDER[kind]:
                raise CannotOpen
            self._head = kind, number, length - 1 - NUMBER_BYTES
            self.began = self.moved
        kind, number, size = self._head
        rest = await self._exactly(size)
        self._head = None
        return BlobAnswer(kind, number, rest)

    async def _exactly(self, size: int) -> bytes:
        while self._held < size:
            came = await self._stream.read(READ_BYTES)
            if not came:
                raise LinkLost
            self.moved = trio.current_time()
            self._pieces.append(memoryview(came))
            self._held += len(came)
        self._held -= size
        taken: list[memoryview] = []
        while size:
            piece = self._pieces.popleft()
            taken.append(piece[:size])
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
            size -= len(taken[-1])
        return b"".join(taken)
