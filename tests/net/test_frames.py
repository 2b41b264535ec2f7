"""Frames over a stream: whole ones, in time, of the right size, or none."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from p2pchat.core.delivery import Route
from p2pchat.core.frames import ENVELOPE, HELLO, PING, WRITE, Frame, pack
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.net.frames import DEADLINE, FrameReader, write_frames
from tests.conftest import run

HELLO_FRAME = Frame(HELLO, bytes(16))
PING_FRAME = Frame(PING, b"")


class Pieces:
    """A stream whose other side writes these pieces, one every `every` seconds, and then ends or stays silent."""

    peer, route, inbound, short = PeerKey(bytes(32)), Route.DIRECT, True, None

    def __init__(self, *pieces: bytes, every: float = 0, ends: bool = True) -> None:
        self._pieces = list(pieces)
        self._every = every
        self._ends = ends
        self.written: list[bytes] = []

    async def read(self, at_most: int) -> bytes:
        await trio.sleep(self._every)
        if self._pieces:
            return self._pieces.pop(0)
        if not self._ends:
            await trio.sleep_forever()
        return b""

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def prove(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    def sever(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self._pieces.clear()


def letter_by_letter(*frames: Frame) -> list[bytes]:
    return [bytes((byte,)) for byte in b"".join(map(pack, frames))]


def test_frames_come_whole_however_they_were_cut() -> None:
    async def main() -> None:
        frames = [HELLO_FRAME, PING_FRAME, Frame(ENVELOPE, bytes(4096))]
        reader = FrameReader(Pieces(*letter_by_letter(*frames)))
        assert [await reader.read_one() for _ in frames] == frames
        assert await FrameReader(Pieces(b"".join(map(pack, frames)))).read_some() == frames

    run(main, MockClock(autojump_threshold=0))


def test_one_and_some_share_what_was_read() -> None:
    async def main() -> None:
        reader = FrameReader(Pieces(pack(HELLO_FRAME) + pack(PING_FRAME) + pack(PING_FRAME)[:3], pack(PING_FRAME)[3:]))
        assert await reader.read_one() == HELLO_FRAME
        assert await reader.read_some() == [PING_FRAME]
        assert await reader.read_some() == [PING_FRAME]

    run(main, MockClock(autojump_threshold=0))


@pytest.mark.parametrize("cut", [1, 4, 5, 20])
def test_the_end_in_the_middle_is_a_lost_link(cut: int) -> None:
    async def main() -> None:
        with pytest.raises(LinkLost):
            await FrameReader(Pieces(pack(HELLO_FRAME)[:cut])).read_one()

    run(main, MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("pieces", "every"),
    [([], 0.0), ([pack(HELLO_FRAME)[:7]], 0.0), (letter_by_letter(HELLO_FRAME), 1.0)],
    ids=["silent", "half", "a letter a second"],
)
def test_the_slow_are_left_after_the_deadline(pieces: list[bytes], every: float) -> None:
    async def main() -> None:
        began = trio.current_time()
        with pytest.raises(LinkLost):
            await FrameReader(Pieces(*pieces, every=every, ends=False)).read_one()
        assert trio.current_time() - began == DEADLINE

    run(main, MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param((65_538).to_bytes(4, "big") + bytes((ENVELOPE,)), id="oversize"),
        pytest.param((2**32 - 1).to_bytes(4, "big") + bytes((HELLO,)), id="huge"),
        pytest.param((17).to_bytes(4, "big") + b"\x63" + bytes(16), id="unknown type"),
        pytest.param((16).to_bytes(4, "big") + bytes((HELLO,)) + bytes(15), id="short hello"),
        pytest.param(bytes(5), id="no type"),
        pytest.param((4096).to_bytes(4, "big") + bytes((ENVELOPE,)), id="between two sizes"),
        pytest.param((2).to_bytes(4, "big") + bytes((PING, 0)), id="a ping with a body"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
    ],
)
def test_what_is_no_frame_is_refused_by_its_head(data: bytes) -> None:
    async def main() -> None:
        for stream in (Pieces(data, ends=False), Pieces(*(bytes((byte,)) for byte in data), ends=False)):
            with pytest.raises(CannotOpen):
                await FrameReader(stream).read_one()

    run(main, MockClock(autojump_threshold=0))


def test_writes_are_joined_up_to_their_size() -> None:
    async def main() -> None:
        stream = Pieces()
        frames = [Frame(ENVELOPE, bytes(4096))] * 40 + [Frame(ENVELOPE, bytes(65_536)), PING_FRAME, HELLO_FRAME]
        await write_frames(stream, frames)
        assert b"".join(stream.written) == b"".join(map(pack, frames))
        sizes = [len(piece) for piece in stream.written]
        assert all(size <= WRITE or size == 65_541 for size in sizes)
        assert len(sizes) == 5  # 14 + 14 + 12 small ones, the large one alone, the last two

    run(main)
