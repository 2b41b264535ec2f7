"""Frames over a stream: read with a deadline, written in joined pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import trio

from p2pchat.core.frames import BETWEEN_NODES, WRITE, Frame, FrameParser, Sizes, pack
from p2pchat.errors import LinkLost
from p2pchat.net.ports import Stream

READ_BYTES = 131_072
MAX_FRAMES = 64
"""Frames of one stream that are parsed before others get a turn."""
DEADLINE = 10.0
"""Seconds that one step of a dialogue may take before the stream is closed."""


class FrameReader:
    """Reads whole frames from a stream. Raises `CannotOpen` for bytes that are not frames, `LinkLost` at the stream's
    end.

    sizes: the frame sizes that the other side may send. moved: when the last byte came, in seconds of trio's clock.
    """

    def __init__(self, stream: Stream, sizes: Sizes = BETWEEN_NODES) -> None:
        self._stream = stream
        self._parser = FrameParser(sizes)
        self._waiting: deque[Frame] = deque()
        self.moved = trio.current_time()
        self._more = False  # whether the parser may have whole frames that were not taken

    async def read_some(self) -> list[Frame]:
        """Return the frames that have arrived, at least one but not too many at once."""
        while not self._waiting:
            if self._more:
                await trio.lowlevel.checkpoint()
                data = b""
            elif not (data := await self._stream.read(READ_BYTES)):
                raise LinkLost
            else:
                self.moved = trio.current_time()
            frames = self._parser.feed(data, MAX_FRAMES)
            self._more = len(frames) == MAX_FRAMES
            self._waiting.extend(frames)
        frames = list(self._waiting)
        self._waiting.clear()
        return frames

    async def read_one(self, deadline: float = DEADLINE) -> Frame:
        """Return the next frame. Raises LinkLost if it takes longer than `deadline` seconds."""
        with trio.move_on_after(deadline):
            while not self._waiting:
                self._waiting.extend(await self.read_some())
            return self._waiting.popleft()
        raise LinkLost


async def write_frames(stream: Stream, frames: Iterable[Frame], at_most: int = WRITE) -> None:
    """Write frames in order, joined into pieces of at most `at_most` bytes (a larger frame goes alone): what is written
    together can be decrypted only once all of it has come.
    """
    piece = bytearray()
    for frame in frames:
        packed = pack(frame)
        if piece and len(piece) + len(packed) > at_most:
            await stream.write(bytes(piece))
            piece.clear()
        piece += packed
    if piece:
        await stream.write(bytes(piece))
