"""The muxer, frame by frame: what it makes of a peer's bytes however they are cut, what it keeps, and whom it wakes."""

from __future__ import annotations

import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError, MuxedStreamReset
from libp2p.stream_muxer.yamux import yamux
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.net.admission.budget import Account
from p2pchat.net.admission.limits import WINDOW
from p2pchat.net.libp2p.yamux import WINDOW_TIMEOUT, GuardedYamux
from tests.conftest import run

DATA, UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


def frame(kind: int, flags: int, stream: int, body: bytes | int = b"", version: int = 0) -> bytes:
    length, more = (body, b"") if isinstance(body, int) else (len(body), body)
    return struct.pack(yamux.YAMUX_HEADER_FORMAT, version, kind, flags, stream, length) + more


class Wire:
    """Where the muxer's connection would be."""

    abandoned = False
    wide = False

    def __init__(self) -> None:
        self.account = Account()
        self.moved = 0.0

    def widen(self) -> None:
        self.wide = True

    def abandon(self) -> None:
        self.abandoned = True


class Peer:
    """The other end, as a secured connection: messages to the muxer, and what it wrote."""

    is_initiator = False

    def __init__(self) -> None:
        self.wire = Wire()
        self.written: list[bytes] = []
        self._send, self._receive = trio.open_memory_channel[bytes](1000)

    def says(self, *messages: bytes) -> None:
        for message in messages:
            self._send.send_nowait(message)

    async def message(self) -> bytes:
        return await self._receive.receive()

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written.append(data)

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def muxer_in_memory(unread: int = 10**6) -> AsyncIterator[tuple[Peer, GuardedYamux]]:
    """The muxer of the side that was dialled: the other end's streams have odd numbers."""
    peer = Peer()
    muxed = GuardedYamux(peer, ID(b"x"), unread)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxed.start)
        yield peer, muxed
        nursery.cancel_scope.cancel()


async def accepted(muxed: GuardedYamux) -> yamux.YamuxStream:
    stream = await muxed.accept_stream()
    assert isinstance(stream, yamux.YamuxStream)
    return stream


# --- in -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 11, 12, 13, 20, 1000])
def test_messages_may_cut_frames_anywhere(size: int) -> None:
    said = frame(UPDATE, SYN, 1) + frame(DATA, 0, 1, b"hello ") + frame(PING, SYN, 0, 7) + frame(DATA, FIN, 1, b"you")

    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(*(said[start : start + size] for start in range(0, len(said), size)))
            stream = await accepted(muxed)
            got = b""
            while len(got) < 9:
                got += await muxed.take(stream, 100)
            assert got == b"hello you"
            with pytest.raises(MuxedStreamEOF):
                await muxed.take(stream, 100)
            assert peer.written == [frame(UPDATE, ACK, 1), frame(PING, ACK, 0, 7)]

    run(main)


@pytest.mark.parametrize(
    "said",
    [
        frame(PING, SYN, 0, 1, version=1),
        frame(GO_AWAY + 1, 0, 1),
        frame(UPDATE, SYN, 0),
        frame(UPDATE, SYN, 2),  # a number of ours
        frame(UPDATE, SYN, 1) * 2,
        frame(DATA, SYN, 1, WINDOW + 1),
        frame(GO_AWAY, 0, 0, 0),
        b"",
    ],
    ids=["version", "type", "none", "ours", "taken", "long", "away", "end"],
)
def test_what_makes_no_sense_ends_the_connection(said: bytes) -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(said)
            await muxed.event_closed.wait()
            assert not muxed.alive
            assert (muxed.streams, muxed.stream_buffers, muxed.stream_events) == ({}, {}, {})

    run(main)


def test_a_streams_unread_bytes_have_a_limit_for_all_of_them_together() -> None:
    async def main() -> None:
        async with muxer_in_memory(unread=300) as (peer, muxed):
            peer.says(*(frame(DATA, SYN, number, bytes(100)) for number in (1, 3, 5)))
            streams = [await accepted(muxed) for _ in range(3)]
            await wait_all_tasks_blocked()
            assert muxed.alive
            await muxed.take(streams[0], 50)
            peer.says(frame(DATA, 0, 3, bytes(50)), frame(DATA, 0, 3, bytes(1)))
            await muxed.event_closed.wait()

    run(main)


def test_what_comes_for_a_stream_that_is_gone_is_dropped() -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(frame(UPDATE, SYN, 1), frame(UPDATE, SYN, 3))
            one, two = await accepted(muxed), await accepted(muxed)
            await one.close()
            await muxed.forget(one)
            peer.says(frame(DATA, 0, 1, b"late"), frame(UPDATE, 0, 1, 5), frame(DATA, 0, 3, b"here"))
            assert await muxed.take(two, 100) == b"here"
            assert set(muxed.streams) == set(muxed.stream_buffers) == set(muxed.stream_events) == {3}

    run(main)


def test_a_reset_drops_what_was_not_read_and_says_so() -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(frame(DATA, SYN, 1, b"unread"), frame(UPDATE, RST, 1))
            stream = await accepted(muxed)
            await wait_all_tasks_blocked()
            assert muxed.stream_buffers == {}
            with pytest.raises(MuxedStreamReset):
                await muxed.take(stream, 100)
            peer.says(frame(UPDATE, SYN | RST, 3), frame(UPDATE, SYN, 5))
            assert (await accepted(muxed)).stream_id == 5

    run(main)


def test_a_message_that_was_read_is_kept_by_nobody() -> None:
    """As shipped, every connection keeps its last frame until the next one comes."""
    message = frame(DATA, SYN, 1, bytes(60_000))
    before = sys.getrefcount(message)

    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(message)
            assert len(await muxed.take(await accepted(muxed), 10**6)) == 60_000
            await wait_all_tasks_blocked()
            assert sys.getrefcount(message) == before
            assert muxed.stream_buffers == {1: bytearray()}

    run(main)


# --- windows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [0, 1, 60, WINDOW // 2, WINDOW - 1])
@pytest.mark.parametrize("more", [0, 1])
def test_what_was_granted_may_come_in_one_frame_and_not_a_byte_more(read: int, more: int) -> None:
    """js-libp2p sends all it may at once. Reads are of both kinds: libp2p's, which negotiate, and ours."""

    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(frame(UPDATE, SYN, 1), frame(DATA, 0, 1, bytes(read)))
            stream = await accepted(muxed)
            left = read
            while left:
                left -= len(await (stream.read(min(left, 7)) if left < 60 else muxed.take(stream, left - 40)))
            grants = [struct.unpack(yamux.YAMUX_HEADER_FORMAT, one)[4] for one in peer.written[1:]]
            granted = WINDOW - read + sum(grants)
            assert granted == stream.recv_window
            assert granted > WINDOW // 2
            peer.says(frame(DATA, 0, 1, bytes(granted + more)), frame(UPDATE, SYN, 3))
            if more:
                await muxed.event_closed.wait()
            else:
                assert (await accepted(muxed)).stream_id == 3
                assert len(await muxed.take(stream, WINDOW)) == granted

    run(main)


def test_windows_have_one_account_however_often_they_are_used_up() -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(frame(UPDATE, SYN, 1))
            stream = await accepted(muxed)
            for _ in range(5):
                peer.says(frame(DATA, 0, 1, bytes(stream.recv_window)))
                await wait_all_tasks_blocked()
                assert stream.recv_window == 0
                while muxed.stream_buffers[1]:
                    await stream.read(50_000)
                assert stream.recv_window + stream._pending_recv_release == WINDOW
            assert muxed.alive

    run(main)


def test_a_stream_of_ours_has_the_same_window() -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            stream = await muxed.open_stream()
            assert peer.written == [frame(UPDATE, SYN, stream.stream_id)]
            peer.says(frame(DATA, 0, stream.stream_id, bytes(60)), frame(DATA, 0, stream.stream_id, bytes(WINDOW - 60)))
            assert len(await stream.read(60)) == 60
            await wait_all_tasks_blocked()
            assert len(await stream.read()) == WINDOW - 60
            peer.says(frame(DATA, 0, stream.stream_id, bytes(WINDOW + 1)))
            await muxed.event_closed.wait()
            with pytest.raises(MuxedStreamError):
                await muxed.open_stream()
            assert muxed.stream_backlog_semaphore.value == 255

    run(main)


def test_a_wider_window_is_granted_and_more_of_the_connection_read_at_once() -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            stream = await muxed.open_stream()
            assert not peer.wire.wide
            await stream.widen(WINDOW + 100)
            assert peer.wire.wide
            assert peer.written[-1] == frame(UPDATE, 0, stream.stream_id, 100)
            peer.says(frame(DATA, 0, stream.stream_id, bytes(WINDOW + 100)))
            assert len(await stream.read(WINDOW + 100)) == WINDOW + 100

    run(main)


def test_a_stream_that_is_given_up_before_it_begins_leaves_nothing() -> None:
    async def main() -> None:
        async with muxer_in_memory() as (_, muxed):
            free = muxed.stream_backlog_semaphore.value
            async with muxed._write_lock, trio.open_nursery() as nursery:
                nursery.start_soon(muxed.open_stream)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            assert not muxed.streams
            assert muxed.stream_backlog_semaphore.value == free

    run(main)


# --- out ----------------------------------------------------------------------------------------------------------


def test_a_write_goes_on_when_the_other_end_makes_room() -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed), trio.open_nursery() as nursery:
            peer.says(frame(UPDATE, SYN, 1))
            stream = await accepted(muxed)
            nursery.start_soon(muxed.put, stream, bytes(WINDOW + 10))
            await wait_all_tasks_blocked()
            sent = [len(one) - 12 for one in peer.written[1:]]
            assert sent == [60_000] * (WINDOW // 60_000), "there is no frame for the rest of a window"
            peer.says(frame(UPDATE, 0, 1, 9))
            await wait_all_tasks_blocked()
            assert len(peer.written[1:]) == len(sent)
            peer.says(frame(UPDATE, 0, 1, 1))
            await wait_all_tasks_blocked()
            assert len(peer.written[-1]) - 12 == WINDOW + 10 - sum(sent)
            assert muxed._room == {}

    run(main)


@pytest.mark.parametrize("end", [frame(UPDATE, RST, 1), frame(GO_AWAY, 0, 0, 0), b""], ids=["reset", "away", "end"])
def test_a_write_that_waits_for_room_is_woken_by_the_end(end: bytes) -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed), trio.open_nursery() as nursery:
            peer.says(frame(UPDATE, SYN, 1))
            stream = await accepted(muxed)
            over: list[bool] = []

            async def write() -> None:
                with pytest.raises(MuxedStreamError):
                    await muxed.put(stream, bytes(WINDOW + 1))
                over.append(True)

            nursery.start_soon(write)
            await wait_all_tasks_blocked()
            assert not over
            peer.says(end)
            await wait_all_tasks_blocked()
            assert over

    run(main, MockClock())


def test_a_write_waits_for_room_so_long() -> None:
    clock = MockClock(autojump_threshold=0)

    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            peer.says(frame(UPDATE, SYN, 1))
            stream = await accepted(muxed)
            began = trio.current_time()
            with pytest.raises(MuxedStreamError):
                await muxed.put(stream, bytes(WINDOW + 1))
            assert trio.current_time() - began == WINDOW_TIMEOUT

    run(main, clock)


class _SmallSocket(Peer):
    """A connection whose socket takes ten bytes without waiting."""

    class _Wire(Wire):
        def __init__(self, written: list[bytes]) -> None:
            super().__init__()
            self._written = written

        async def write(self, data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            self._written.append(data)

    def __init__(self) -> None:
        super().__init__()
        self.wire = self._Wire(self.written)

    def write_now(self, data: bytes) -> bytes:
        self.written.append(data[:10])
        return data[10:]


def test_what_a_socket_does_not_take_at_once_goes_before_all_else() -> None:
    async def main() -> None:
        peer = _SmallSocket()
        muxed = GuardedYamux(peer, ID(b"x"), 10**6)  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            muxed.run_task = nursery.start_soon
            nursery.start_soon(muxed.start)
            peer.says(frame(UPDATE, SYN, 1, 0))
            stream = await accepted(muxed)
            peer.written.clear()
            assert muxed.put_now(stream, b"first")
            assert not muxed.put_now(stream, b"between")  # half of a frame is out
            await muxed.put(stream, b"second")
            assert b"".join(peer.written) == frame(DATA, 0, 1, b"first") + frame(DATA, 0, 1, b"second")
            await wait_all_tasks_blocked()
            assert muxed.put_now(stream, b"third")
            await wait_all_tasks_blocked()
            assert b"".join(peer.written).endswith(frame(DATA, 0, 1, b"third"))
            stream.send_window = 2
            assert not muxed.put_now(stream, b"too much")
            nursery.cancel_scope.cancel()

    run(main)


def test_bytes_of_whatever_show_that_a_connection_works_as_well_as_the_answer_to_a_ping() -> None:
    async def main() -> None:
        for moves, answers in ((0, False), (5, False), (5, True), (60, False)):
            async with muxer_in_memory() as (peer, muxed), trio.open_nursery() as nursery:
                nursery.start_soon(muxed.prove, 3)
                began = trio.current_time()
                for _ in range(moves):  # pieces of a large message that is on its way
                    await trio.sleep(2.9)
                    peer.wire.moved = trio.current_time()
                    assert muxed.alive == (trio.current_time() < began + 30), "none takes so long"
                if answers:
                    peer.says(frame(PING, ACK, 0, 0))
                await trio.sleep(4)
                assert (muxed.alive, muxed.silent) == (answers, not answers)

    run(main, MockClock(autojump_threshold=0))
