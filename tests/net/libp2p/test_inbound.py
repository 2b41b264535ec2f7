"""How long who comes to us may do nothing, who makes room for whom, and in which order they are let in."""

from __future__ import annotations

import socket
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.net.admission.arrivals import AT_ONCE, Arrivals
from p2pchat.net.admission.budget import LoopTurns
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.libp2p import handshake
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.ports import Stream
from tests.conftest import run
from tests.support.hosts import ECHO, LOOPBACK, call, echo, live_connections, make, running, until_apart, works
from tests.support.relays import Place, echoes, meeting

HOLD = "/test/hold/1"
CROWD_SECONDS = 27
"""How long somebody waits for a turn in a crowd of 2,000 on a machine that is three times slower than that on which
docs/decisions/0035 measured; who dials must not give up before."""


def host(number: int, limits: HostLimits | None = None) -> LibP2PHost:
    """It also serves HOLD, which proves nothing."""
    made = make(number, limits)
    made.handle(HOLD, _hold)
    return made


async def _hold(stream: Stream) -> None:
    while await stream.read(100):
        pass


async def step(mock: MockClock, seconds: float) -> None:
    """Let time pass in steps in which everybody does what is due."""
    while seconds > 0:
        await wait_all_tasks_blocked(0.01)
        mock.jump(min(5.0, seconds))
        seconds -= 5.0
    await wait_all_tasks_blocked(0.01)


def test_a_connection_without_a_stream_is_ended_unless_it_has_proven_something() -> None:
    mock = MockClock()

    async def main() -> None:
        stranger, holder, friend, b = host(1), host(3), host(4), host(2)
        async with trio.open_nursery() as nursery:
            for each in (stranger, holder, friend, b):
                await nursery.start(each.run)
            for each in (stranger, friend):
                await (await call(each, b, HOLD if each is stranger else ECHO)).close()
            held = await call(holder, b, HOLD)
            await step(mock, 35)
            assert all(live_connections(b, each) for each in (stranger, holder, friend))
            await step(mock, 25)
            assert not live_connections(b, stranger)
            assert live_connections(b, holder)
            assert live_connections(b, friend)
            assert b.ended["idle"] == 1
            await held.close()
            await step(mock, 60)
            assert not live_connections(b, holder)
            await step(mock, 600)
            assert live_connections(b, friend)
            mock.rate = 10
            nursery.cancel_scope.cancel()

    run(main, mock)


def test_strangers_make_room_for_who_comes_and_never_friends() -> None:
    async def main() -> None:
        b = host(2, HostLimits(inbound=8))
        friends, strangers = [host(number) for number in (10, 11)], [host(number) for number in range(20, 30)]
        async with running(b, *friends, *strangers):
            for friend in friends:
                assert await works(friend, b)
            for stranger in strangers:
                await call(stranger, b, HOLD)
            assert b._running is not None
            assert b._running.inbound.direct.taken == 8
            await until_apart(b, strangers[0])
            assert all(live_connections(b, friend) for friend in friends)
            assert live_connections(b, strangers[-1])
            late = host(12)
            async with running(late):
                assert await works(late, b)
            assert b.ended["room made"] == 5
            assert sum(b.refused.values()) == 0

    run(main)


def test_who_has_proven_something_before_is_known_when_it_comes_again() -> None:
    async def main() -> None:
        b = host(2, HostLimits(inbound=8))
        friend, strangers = host(10), [host(number) for number in range(20, 30)]
        async with running(b, friend, *strangers):
            assert await works(friend, b)
            await friend.disconnect(b.peer)
            await until_apart(b, friend)
            await call(friend, b, HOLD)  # which proves nothing
            for stranger in strangers:
                await call(stranger, b, HOLD)
            assert live_connections(b, friend)

    run(main)


def test_half_a_handshake_is_ended_and_the_wait_for_a_turn_costs_nothing_of_it() -> None:
    mock = MockClock()

    async def main() -> None:
        b = host(2)
        async with trio.open_nursery() as nursery:
            await nursery.start(b.run)
            assert b._running is not None
            inbound = b._running.inbound
            let_in = inbound._arrivals.turn
            go = trio.Event()

            async def wait(number: int, place: str) -> None:
                await go.wait()
                await let_in(number, place)

            inbound._arrivals.turn = wait  # type: ignore[method-assign]
            mute = await trio.open_tcp_stream("127.0.0.1", b.port)
            a = host(1)
            await nursery.start(a.run)
            streams: list[Stream] = []

            async def dial() -> None:
                streams.append(await a.open(b.peer, b.addresses(), ECHO))

            nursery.start_soon(dial)
            await step(mock, CROWD_SECONDS)
            assert await mute.receive_some(1) == b""
            assert inbound.direct.taken == 1
            go.set()
            while not streams:
                await trio.lowlevel.checkpoint()
            assert await echoes(streams[0])
            mock.rate = 10
            nursery.cancel_scope.cancel()

    run(main, mock)


def test_turns_are_given_in_the_order_of_arrival_a_few_at_a_time() -> None:
    async def main() -> None:
        arrivals, had = Arrivals(), list[int]()
        rounds: list[int] = []

        async def come(number: int) -> None:
            await arrivals.turn(number, f"place {number}")
            had.append(number)

        numbers = [arrivals.number() for _ in range(5 * AT_ONCE)]
        async with trio.open_nursery() as nursery:
            for number in reversed(numbers):
                nursery.start_soon(come, number)
            await wait_all_tasks_blocked()
            nursery.start_soon(arrivals.run)
            while len(had) < len(numbers):
                rounds.append(len(had))
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert max(after - before for before, after in pairwise(rounds)) <= 2 * AT_ONCE
        assert all(abs(place - number) < 2 * AT_ONCE for place, number in enumerate(had))

    run(main)


@pytest.mark.parametrize("greedy", ["192.0.2.1", "192.0.2.{}", "20010db80000{:04x}", "relay"])
def test_who_asks_for_many_turns_delays_nobody_from_elsewhere(greedy: str) -> None:
    async def main() -> None:
        arrivals, had = Arrivals(), list[str]()

        async def come(number: int, place: str) -> None:
            await arrivals.turn(number, place)
            had.append(place)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(arrivals.run)
            for number in range(400):
                nursery.start_soon(come, arrivals.number(), greedy.format(number % 200))
            await wait_all_tasks_blocked()
            had.clear()
            for number in range(100):
                nursery.start_soon(come, arrivals.number(), greedy.format(number))
            nursery.start_soon(come, arrivals.number(), "198.51.100.1")
            while "198.51.100.1" not in had:
                await trio.lowlevel.checkpoint()
            assert len(had) <= 10  # of 101
            while len(had) < 101:  # and all have a turn at last
                clock.jump(0.001)
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    clock = MockClock()
    run(main, clock)


@pytest.mark.parametrize(
    ("other", "share", "given"), [("198.51.100.1", 0.6, 25), ("198.51.100.1", 0.4, 400), ("", 1.0, 400)]
)
def test_a_crowd_from_one_place_leaves_half_of_the_loop_to_who_comes_from_elsewhere(
    other: str, share: float, given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many turns of 400 a crowd has in half a second beyond those that it has in time."""
    clock = MockClock()

    async def main() -> None:
        arrivals, late = Arrivals(), list[str]()
        take = arrivals._late.take

        def taking() -> trio.Event:
            late.append("")
            return take()

        monkeypatch.setattr(arrivals._late, "take", taking)
        monkeypatch.setattr(
            LoopTurns, "busy_share", property(lambda turns: share, lambda turns, value: None), raising=False
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(arrivals.run)
            for _ in range(20 + 400):
                nursery.start_soon(arrivals.turn, arrivals.number(), "192.0.2.1")
            if other:
                nursery.start_soon(arrivals.turn, arrivals.number(), other)
            for _ in range(500):
                clock.jump(0.001)
                for _ in range(3):
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert given - 5 <= len(late) <= given + 5

    run(main, clock)


def test_nothing_is_worked_out_for_who_has_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    worked: list[object] = []

    async def main() -> None:
        b = host(2)
        async with running(b):
            assert b._running is not None
            inbound = b._running.inbound
            let_in, go = inbound._arrivals.turn, trio.Event()

            async def wait(number: int, place: str) -> None:
                await go.wait()
                await let_in(number, place)

            inbound._arrivals.turn = wait  # type: ignore[method-assign]
            monkeypatch.setattr(handshake.Responder, "second", lambda self, first: worked.append(first))
            with socket.create_connection(("127.0.0.1", b.port)) as gone:
                gone.sendall(handshake.line(b"/multistream/1.0.0") + handshake.line(b"/noise") + b"\0\x20" + bytes(32))
                while inbound.direct.taken == 0:
                    await trio.lowlevel.checkpoint()
                await wait_all_tasks_blocked(0.05)
            await wait_all_tasks_blocked(0.05)
            go.set()
            while inbound.direct.taken:
                await trio.lowlevel.checkpoint()
            assert worked == []

    run(main)


def test_circuits_and_direct_connections_do_not_keep_each_other_out() -> None:
    async def main() -> None:
        async with meeting() as here:
            few = LibP2PHost(bytes([4]) * 32, LOOPBACK, limits=HostLimits(inbound=1, circuits=1))
            few.handle(ECHO, echo)
            strangers = [make(20), make(21)]
            async with running(few, *strangers), trio.open_nursery() as nursery:
                await Place(few, nursery).at(here.relay)
                direct = await call(strangers[0], few)
                by_relay = await here.call(strangers[1], few)
                assert by_relay.route == "circuit"
                assert await echoes(direct)
                assert await echoes(by_relay)
                assert few.ended["room made"] == 0
                nursery.cancel_scope.cancel()

    run(main)
