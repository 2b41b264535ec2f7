"""What strangers may cost: accounts on a clock of their own, and the floods that they are for."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from libp2p.stream_muxer.exceptions import MuxedStreamReset
from trio.testing import MockClock

from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame, FrameType, pack
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.net import frames
from p2pchat.net.admission import budget
from p2pchat.net.admission.budget import Account, LoopTurns, TooMuchWork
from p2pchat.net.frames import FrameReader
from p2pchat.net.libp2p import handshake
from p2pchat.net.libp2p.handshake import MAX_PROPOSALS
from p2pchat.net.libp2p.secure_channel import MAX_READS, RawPipe
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.transport.websocket import WebSocket
from p2pchat.net.transport.websocket_frames import Decoder
from tests.conftest import run
from tests.net.libp2p.test_yamux import DATA, PING, SYN, UPDATE, Peer, accepted, frame, muxer_in_memory
from tests.support.counting import counted
from tests.support.hosts import call, make, muxer, running, works

A_SLICE = 64
"""Heads of frames that one task may read before others have a turn."""


async def spend(account: Account, until: float, units: float = 100) -> float:
    """Cost as much as one can until then; how much that was."""
    spent = 0.0
    while trio.current_time() < until:
        account.charge(units)
        spent += units
        if account.due:
            await account.settle()
    return spent


def flood(places: list[str], seconds: float) -> float:
    """What connections from these places, one each, cost together, none being ended."""
    total = 0.0

    async def one(place: str) -> None:
        nonlocal total
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            with_room = Account(place)
            try:
                total += await spend(with_room, until)
            except TooMuchWork:
                return

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for place in places:
                nursery.start_soon(one, place)

    run(main, MockClock(autojump_threshold=0))
    return total


# --- accounts -----------------------------------------------------------------------------------------------------


def test_one_connection_gets_its_rate_and_no_more() -> None:
    total = flood(["a"], 5)
    assert 5 * budget.RATE < total <= budget.BURST + 5.1 * budget.RATE


def test_connections_from_one_place_share_what_the_place_gets() -> None:
    """Sixty that each stay just below their own limit."""
    total = flood(["a"] * 60, 5)
    assert total <= budget.PLACE_BURST + 60 * budget.START + 5.1 * budget.PLACE_RATE + 60 * budget.SLICE


def test_all_strangers_together_share_a_quarter_of_a_core() -> None:
    total = flood([f"place {number}" for number in range(40)], 4)
    trickle = 40 * 4 * budget.TRICKLE
    assert total <= budget.ALL_BURST + 40 * (budget.START + budget.SLICE) + 4.1 * budget.ALL_RATE + trickle


def test_who_costs_little_waits_for_nothing_while_others_flood() -> None:
    async def main() -> None:
        with trio.move_on_after(30):
            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(spend, Account(f"place {number % 4}"), 6.0)
                await trio.sleep(4)
                for _ in range(20):
                    newcomer = Account("place 1")
                    began = trio.current_time()
                    newcomer.charge(budget.STREAM + 20 * budget.READ + 5 * budget.ROUND)
                    assert newcomer.due  # others have their turn
                    await newcomer.settle()
                    assert trio.current_time() == began

    run(main, MockClock(autojump_threshold=0))


def test_a_connection_that_stays_in_debt_is_ended() -> None:
    async def main() -> None:
        began = trio.current_time()
        with pytest.raises(TooMuchWork):
            await spend(Account(), began + 100)
        assert began + 5 < trio.current_time() < began + 1.5 * budget.MAX_DEBT_SECONDS
        assert budget.work().ended == 1
        deep = Account()
        deep.charge(budget.MAX_DEBT + budget.BURST + 1)
        with pytest.raises(TooMuchWork):
            await deep.settle()

    run(main, MockClock(autojump_threshold=0))


def test_data_for_an_open_stream_pays_for_itself_and_saves_nothing_up() -> None:
    async def main() -> None:
        account, began = Account(), trio.current_time()
        for _ in range(10_000):  # deposits of the smallest size
            account.charge(budget.RECEIVE + budget.MESSAGE + budget.FRAME + 40)
            account.carried(4096)
            if account.due:
                await account.settle()
        assert trio.current_time() == began
        account.carried(10**9)
        account.charge(budget.BURST + 1)
        await account.settle()
        assert trio.current_time() > began

    run(main, MockClock(autojump_threshold=0))


def test_who_is_known_has_more_and_takes_nothing_from_strangers() -> None:
    async def main() -> None:
        friend = Account()
        friend.prove()
        before = budget.work().strangers.available(trio.current_time())
        spent = await spend(friend, trio.current_time() + 5)
        assert spent > 4 * budget.PROVEN_RATE
        assert budget.work().strangers.available(trio.current_time()) >= before

    run(main, MockClock(autojump_threshold=0))


def test_places_are_remembered_without_their_names_and_not_without_end() -> None:
    async def main() -> None:
        work = budget.work()
        for number in range(budget.MAX_PLACES + 10):
            work.of(f"198.51.{number}")
        assert len(work._places) == budget.MAX_PLACES
        assert not any(b"198.51" in name for name in work._places)

    run(main)


# --- the loop is given back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [frame(UPDATE, 0, 1001, 1), frame(DATA, 0, 1001, 0), frame(DATA, 0, 1001, b"x"), frame(DATA, 0, 1, b"x")],
    ids=["window", "empty", "unknown", "small"],
)
def test_a_message_full_of_frames_is_taken_in_slices(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            with counted(monkeypatch, GuardedYamux, "_frame") as steps:
                peer.says(frame(UPDATE, SYN, 1) + said * (65_000 // len(said)) + frame(UPDATE, SYN, 3))
                await accepted(muxed)
                assert (await accepted(muxed)).stream_id == 3
            assert steps.calls > 4_000
            assert steps.most <= A_SLICE

    run(main, MockClock(autojump_threshold=0))


def test_pings_and_streams_cost_what_their_answers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with muxer_in_memory() as (peer, muxed):
            with counted(monkeypatch, Peer, "write") as steps:
                peer.says(frame(PING, SYN, 0, 7) * 5_000 + frame(UPDATE, SYN, 1))
                began = trio.current_time()
                await accepted(muxed)
                assert trio.current_time() - began > 5_000 * budget.PONG / budget.PLACE_RATE - 1
            assert steps.most == 1

    run(main, MockClock(autojump_threshold=0))


def test_websocket_frames_are_taken_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        wire_end = RawPipe(WebSocket(ours, lambda: None))
        with counted(monkeypatch, Decoder, "next") as steps:
            await theirs.send_all((b"\x82\x80" + bytes(4)) * 10_900 + b"\x82\x82" + bytes(4) + b"hi")
            assert await wire_end.read(2) == b"hi"
        assert steps.calls > 10_900
        assert steps.most <= A_SLICE + 1

    run(main, MockClock(autojump_threshold=0))


def test_a_turn_of_the_loop_reads_the_clock_twice_and_is_averaged_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of a message have a dozen turns for it."""
    now, read, averaged = 100.0, 0, 0

    def clock() -> float:
        nonlocal read
        read += 1
        return now

    def exp(value: float) -> float:
        nonlocal averaged
        averaged += 1
        return float(2.718281828**value)

    monkeypatch.setattr("p2pchat.net.admission.budget.time.perf_counter", clock)
    monkeypatch.setattr("p2pchat.net.admission.budget.math.exp", exp)
    turns = LoopTurns()
    read = 0
    for _ in range(10_000):
        turns.after_io_wait(0.0)
        now += 0.00008
        turns.before_io_wait(0.0)
        now += 0.00002
    assert read == 20_000
    assert averaged <= 100
    assert turns.busy_share == pytest.approx(0.8, abs=0.01)
    assert turns.longest == pytest.approx(0.00008)
    now += 10.0
    turns.after_io_wait(0.0)
    assert turns.busy_share < 0.01


def _long_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoopTurns, "late", property(lambda turns: True))


@pytest.mark.parametrize(("newcomer", "known"), [("198.51.100.1", False), ("192.0.2.2", False), ("192.0.2.1", True)])
def test_who_comes_from_elsewhere_waits_for_no_flood(
    newcomer: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another network, from the flood's own, or, for a contact, from its very address."""
    had: list[str] = []

    async def parse(who: str, account: Account) -> None:
        account.charge(budget.SLICE)
        await account.settle()
        had.append(who)

    async def main() -> None:
        _long_turns(monkeypatch)
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(parse, "flood", Account("192.0.2.1"))
            while len(had) < 20:
                await trio.lowlevel.checkpoint()
            honest = Account(newcomer)
            if known:
                honest.prove()
            before = len(had)
            await parse("honest", honest)
            assert len(had) - before <= 12  # two turns of the loop, of four each, and itself
            nursery.cancel_scope.cancel()

    run(main, MockClock())


def test_what_is_received_in_a_long_turn_waits_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        account = Account("192.0.2.1")
        account.charge(budget.START)  # what it may do before turns are counted so closely
        account.received()
        assert not account.due
        _long_turns(monkeypatch)
        account.received()
        assert account.due

    run(main)


class Bytes:
    """A stream that has been sent this."""

    peer = PeerKey(bytes(32))
    inbound = True
    route = Route.DIRECT
    short = None

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, at_most: int) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self._data = self._data[:at_most], self._data[at_most:]
        return data

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def prove(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    def sever(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


def test_frames_between_nodes_are_taken_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        reader, got = FrameReader(Bytes(pack(Frame(FrameType.PING, b"")) * 30_000)), 0
        with counted(monkeypatch, Frame, "__new__") as steps:
            while got < 30_000:
                got += len(await reader.read_some())
        assert steps.most <= frames.MAX_FRAMES
        with pytest.raises(LinkLost):
            await reader.read_some()

    run(main)


# --- what ends a connection at once -------------------------------------------------------------------------------


def test_an_empty_noise_message_ends_the_connection() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            assert await works(a, b)
            ours, theirs = muxer(a, b), muxer(b, a)
            sealed = ours._sealed._send.encrypt(b"")
            await ours._sealed.wire.write(len(sealed).to_bytes(2, "big") + sealed)
            await theirs.event_closed.wait()
            assert await works(a, b)

    run(main)


def test_a_negotiation_has_so_many_rounds() -> None:
    """`ls`, or names that nobody speaks, as often as a peer likes."""

    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            assert await works(a, b)
            stream = await muxer(a, b).open_stream()
            await muxer(a, b).put(stream, b"\x13/multistream/1.0.0\n" + b"\x03/x\n" * 1_000)
            got = b""
            with suppress(MuxedStreamReset):
                while True:
                    got += await muxer(a, b).take(stream, 10_000)
            assert got.count(b"na\n") <= MAX_PROPOSALS
            assert await works(a, b)

    run(main)


def test_before_noise_a_peer_may_ask_so_often() -> None:
    async def main() -> None:
        a = make(1)
        async with running(a), await trio.open_tcp_stream("127.0.0.1", a.port) as stream:
            await stream.send_all(b"\x13/multistream/1.0.0\n" + b"\x03/x\n" * 1_000)
            got = b""
            with suppress(trio.BrokenResourceError):
                while some := await stream.receive_some(10_000):
                    got += some
            assert got.count(b"na\n") <= MAX_READS // 2

    run(main)


def test_rounds_are_charged() -> None:
    class Proposing:
        """Names that nobody speaks, for ever."""

        waiting = 1

        def __init__(self) -> None:
            self.account = Account()
            self._said = b"\x13/multistream/1.0.0\n" + b"\x03/x\n" * MAX_PROPOSALS

        async def wait_readable(self) -> None:
            await trio.lowlevel.checkpoint()

        def peek(self, n: int) -> bytes:
            return self._said[:n]

        def skip(self, n: int) -> None:
            self._said = self._said[n:]

        async def read(self, n: int | None = None) -> bytes:
            read, self._said = self._said[:n], self._said[n or 0 :]
            return read

        async def write(self, data: bytes) -> None:
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        channel = Proposing()
        before = channel.account._left
        with pytest.raises(CannotOpen):
            await handshake.answer(channel, b"/y")
        assert before - channel.account._left == MAX_PROPOSALS * budget.ROUND

    run(main)


def test_whom_we_dialled_is_known_and_who_dialled_us_is_not() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            stream = await call(a, b)
            assert isinstance(stream, LibP2PStream)
            assert stream.account._burst == budget.PROVEN_BURST
            assert muxer(b, a).account._burst == budget.BURST

    run(main)
