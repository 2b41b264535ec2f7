"""The sender's side of a stream for files: requests are answered in order, one part at a time, behind messages.

However much a recipient asks for, and however slowly it reads, no more than two parts of an answer are in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import trio

from p2pchat.core.file_frames import BLOB, GET, MAX_SERVED, NONE, NUMBER_BYTES, Get, decode_get, encode_none
from p2pchat.core.files import BlobPlace
from p2pchat.core.frames import WRITE, Frame, pack
from p2pchat.core.ids import ContactId
from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.frames import FrameReader
from p2pchat.net.ports import Stream
from p2pchat.ports import BlobRange, Blobs, FileCallbacks

PART_BLOBS = 8
"""Blobs that are asked of the engine at once: 512 KiB."""
SLOW_WRITE_SECONDS = 0.1
"""Seconds that a write may take; after one that takes longer, half as much is written at once, so that a message does
not wait long behind it."""
MIN_WRITE = 4_000
"""Bytes that are written at once however long a write takes."""
NOTHING_UNITS = 1_000
"""Units of work for looking up what is not there."""


class _Part(NamedTuple):
    """Part of the answer to a request. asked: for how many blobs of it."""

    number: int
    asked: int
    answer: Blobs


class FileServing:
    """What one contact asks for on one stream, after the hellos. until_written: waits while messages are written.
    charge: takes units of work (`admission.budget`) from whoever asks.
    """

    def __init__(
        self,
        stream: Stream,
        reader: FrameReader,
        contact: ContactId,
        callbacks: FileCallbacks,
        until_written: Callable[[], Awaitable[None]],
        charge: Callable[[float], None],
    ) -> None:
        self._stream = stream
        self._reader = reader
        self._contact = contact
        self._callbacks = callbacks
        self._until_written = until_written
        self._charge = charge
        self._gets: deque[Get] = deque()
        self._asked = 0
        self._wake = Wakeup()
        self._write_bytes = WRITE

    async def run(self) -> None:
        """BlobAnswer until the stream ends, or the other side asks for what it may not."""
        send, receive = trio.open_memory_channel[_Part](0)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, nursery.cancel_scope)
                nursery.start_soon(self._prepare, send)
                async for part in receive:
                    await self._write(part)
        except* LinkLost:
            pass

    async def _read(self, ended: trio.CancelScope) -> None:
        try:
            while True:
                for frame in await self._reader.read_some():
                    if frame.type != GET:
                        raise CannotOpen
                    get = decode_get(frame.body)
                    self._asked += get.count
                    if self._asked > MAX_SERVED:
                        raise CannotOpen
                    self._gets.append(get)
                self._wake.set()
        except (LinkLost, CannotOpen):
            ended.cancel()

    async def _prepare(self, send: trio.MemorySendChannel[_Part]) -> None:
        """Get the parts of the answers from the engine, one ahead of what is written."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._gets:
                get = self._gets.popleft()
                for start in range(0, get.count, PART_BLOBS):
                    count = min(PART_BLOBS, get.count - start)
                    first = BlobPlace(get.first.level, get.first.number + start)
                    answer = await self._callbacks.blobs(self._contact, BlobRange(get.file, first, count))
                    missing = answer.missing is not None
                    await send.send(_Part(get.number, get.count - start if missing else count, answer))
                    if missing:
                        break

    async def _write(self, part: _Part) -> None:
        """Write a part of an answer, in pieces between which messages go. Raises LinkLost."""
        if not part.answer.blobs:
            self._charge(NOTHING_UNITS)  # what carries blobs pays for itself
        pieces = _Pieces(part)
        while piece := pieces.take(self._write_bytes):
            await self._until_written()
            began = trio.current_time()
            await self._stream.write(piece)
            if trio.current_time() - began > SLOW_WRITE_SECONDS:
                self._write_bytes = max(MIN_WRITE, self._write_bytes // 2)
            else:
                self._write_bytes = min(WRITE, 2 * self._write_bytes)
        self._asked -= part.asked


class _Pieces:
    """The frames of a part of an answer, to be taken in pieces of any size."""

    def __init__(self, part: _Part) -> None:
        self._buffers = deque(_buffers(part))

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; fewer at the end, and then none."""
        taken: list[memoryview] = []
        while size and self._buffers:
            buffer = self._buffers.popleft()
            taken.append(buffer[:size])
            if len(buffer) > size:
                self._buffers.appendleft(buffer[size:])
            size -= len(taken[-1])
        return b"".join(taken)


def _buffers(part: _Part) -> Iterator[memoryview]:
    for blob in part.answer.blobs:
        head = (1 + NUMBER_BYTES + len(blob)).to_bytes(4, "big") + bytes([BLOB]) + part.number.to_bytes(4, "big")
        yield memoryview(head)
        yield memoryview(blob)
    if part.answer.missing is not None:
        yield memoryview(pack(Frame(NONE, encode_none(part.number, part.answer.missing))))
