"""Places at relays: kept, lost with the relay, and remade."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest
import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Reservation
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core import mailbox, names
from p2pchat.core.frames import Frame
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.frames import write_frames
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.ports import Stream
from p2pchat.net.relays.circuit_relay import CircuitLimits, CircuitRelay
from p2pchat.net.relays.reservations import MAX_CIRCUITS, RelayAccess, Reservations
from tests.conftest import run
from tests.support.hosts import make, running, until_apart
from tests.support.relays import NOW, Place, clock, echoes, ended, meeting, refuse_reservations


def test_a_reservation_is_made_again_after_three_quarters_of_its_time() -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting(CircuitLimits(ttl=1000)) as here:
            here.carols.kept.forget(here.relay.peer)
            for times in (3, 4, 5):
                await wait_all_tasks_blocked(0.05)
                mock.jump(740)
                await wait_all_tasks_blocked(0.05)
                assert here.hop.counts.reserved == times - 1
                mock.jump(15)
                await wait_all_tasks_blocked(0.05)
                assert here.hop.counts.reserved == times
                assert here.bobs.kept.held(here.relay.peer)
            assert await echoes(await here.call(here.alice, here.bob))

    run(main, mock)


def test_a_killed_relay_ends_the_stream_and_gets_its_guests_back() -> None:
    mock = MockClock(rate=5)

    async def main() -> None:
        relay, alice, bob = make(9), make(1), make(2)
        hop = CircuitRelay(relay, CircuitLimits(), clock)
        relay.handle(circuit_messages.HOP, hop.serve)
        async with running(alice, bob), trio.open_nursery() as nursery:
            place = Place(bob, nursery)
            for _ in range(2):
                async with trio.open_nursery() as life:
                    await life.start(relay.run)
                    place.kept.want(relay.peer, RelayAccess(relay.addresses()))
                    await place.until(relay)
                    (way,) = place.kept.ways()
                    assert way == multiaddrs.circuit(relay.addresses()[0], relay.peer)
                    stream = await alice.open(bob.peer, [way], "/test/echo/1")
                    assert await echoes(stream)
                    life.cancel_scope.cancel()
                assert await ended(stream)
                await place.until(relay, held=False)
                assert place.kept.ways() == ()
            async with trio.open_nursery() as life:  # without being asked again, on the port it had
                await life.start(relay.run)
                await place.until(relay)
                assert await echoes(await alice.open(bob.peer, [way], "/test/echo/1"))
                life.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

    run(main, mock)


def test_a_lost_connection_is_noticed_and_made_again_at_once() -> None:
    mock = MockClock(rate=5)

    async def main() -> None:
        async with meeting() as here:
            await here.relay.disconnect(here.bob.peer)
            await here.bobs.until(here.relay, held=False)
            await here.bobs.until(here.relay)
            assert await echoes(await here.call(here.alice, here.bob))

    run(main, mock)


def test_while_the_relay_says_no_the_waits_grow_and_a_wish_or_a_nudge_ends_them() -> None:
    times: list[float] = []

    async def main() -> None:
        relay, bob = make(9), make(2)
        asked = refuse_reservations(relay)
        async with trio.open_nursery() as nursery:
            await nursery.start(relay.run)
            await nursery.start(bob.run)
            kept = Reservations(bob, nursery, clock, Random(1).randbytes)
            kept.want(relay.peer, RelayAccess(relay.addresses()))
            while len(times) < 7:
                times.append(await asked.receive())
            await wait_all_tasks_blocked(0.01)
            assert "reservation refused" in kept.problem(relay.peer)
            assert not kept.held(relay.peer)
            kept.want(relay.peer, RelayAccess(relay.addresses()))
            assert await asked.receive() - times[-1] < 1
            await wait_all_tasks_blocked(0.01)
            before = trio.current_time()
            kept.nudge(relay.peer)
            assert await asked.receive() - before < 1
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0.02))
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits == sorted(waits)
    assert waits[0] < 1.5
    assert waits[-1] > 10


def test_a_relay_that_says_nonsense_about_time_is_asked_neither_too_often_nor_never() -> None:
    said = [0, 2**63, NOW // 1000 - 5]

    async def main() -> None:
        relay, bob = make(9), make(2)

        async def grant(stream: Stream) -> None:
            await circuit_messages.read_message(stream, HopMessage)
            reservation = Reservation(expire=said[0])
            await circuit_messages.write_message(
                stream, HopMessage(type=HopMessage.STATUS, status=circuit_messages.OK, reservation=reservation)
            )

        relay.handle(circuit_messages.HOP, grant)
        async with running(relay, bob), trio.open_nursery() as nursery:
            kept = Reservations(bob, nursery, clock, Random(1).randbytes)
            while said:
                assert 120 <= await kept._reserve(relay.peer, RelayAccess(relay.addresses())) <= 24 * 3600
                said.pop(0)
            nursery.cancel_scope.cancel()

    run(main)


@pytest.mark.parametrize("answer", [b"", b"\x03abc", b"\xff\xff\xff\xff", b"\x02\x08\x00", b"\x05\x08\x02\x28\xc8\x01"])
def test_a_relay_that_answers_nonsense_is_no_place(answer: bytes) -> None:
    async def main() -> None:
        relay, bob = make(9), make(2)
        asked = trio.Event()

        async def lie(stream: Stream) -> None:
            if asked.is_set():
                raise LinkLost
            await stream.write(answer)
            asked.set()

        relay.handle(circuit_messages.HOP, lie)
        async with running(relay, bob), trio.open_nursery() as nursery:
            kept = Reservations(bob, nursery, clock, Random(1).randbytes)
            kept.want(relay.peer, RelayAccess(relay.addresses()))
            await asked.wait()
            await wait_all_tasks_blocked(0.05)
            assert not kept.held(relay.peer)
            assert kept.problem(relay.peer)
            nursery.cancel_scope.cancel()

    run(main)


def test_a_forgotten_relay_brings_nobody_more() -> None:
    async def main() -> None:
        async with meeting() as here:
            old = await here.call(here.alice, here.bob)
            here.bobs.kept.forget(here.relay.peer)
            here.bobs.kept.forget(here.relay.peer)
            assert here.bobs.kept.ways() == ()
            assert await echoes(old)
            with pytest.raises(Unreachable):
                await here.call(here.carol, here.bob)
            assert here.bob._relays == {multiaddrs.multihash(here.relay.peer).hex(): 0}
            await here.bobs.at(here.relay)  # and wanted again
            assert here.bob._relays == {multiaddrs.multihash(here.relay.peer).hex(): MAX_CIRCUITS}
            assert await echoes(await here.call(here.carol, here.bob))

    run(main)


def test_a_relay_is_not_reached_by_another() -> None:
    """Otherwise it would learn nothing of us, but could also do nothing for us: it needs our connection."""

    async def main() -> None:
        async with meeting() as here:
            nested = CircuitRelay(here.bob, CircuitLimits(), clock)
            here.bob.handle(circuit_messages.HOP, nested.serve)
            async with trio.open_nursery() as nursery:
                kept = Reservations(here.alice, nursery, clock, Random(1).randbytes)
                kept.want(here.bob.peer, RelayAccess(tuple(here.ways())))
                while not kept.problem(here.bob.peer):
                    await trio.lowlevel.checkpoint()
                assert not kept.held(here.bob.peer)
                nursery.cancel_scope.cancel()
            await here.alice.disconnect(here.bob.peer)
            await until_apart(here.bob, here.alice)

    run(main)


def test_a_token_is_said_before_and_as_long_as_the_reservation_is_wanted() -> None:
    """As relays want it that ask for one: they admit whoever has said it on a stream that is still there."""

    async def main() -> None:
        relay, bob = make(9), make(2)
        admitted: set[bytes] = set()
        left = trio.Event()

        async def admit(stream: Stream) -> None:
            hello = mailbox.Hello(relay.peer, bytes(32), 0, 1, 1, 4096)
            admitted.add(stream.peer)
            await write_frames(stream, [Frame(mailbox.HELLO, mailbox.encode_hello(hello))])
            with suppress(LinkLost):
                while await stream.read(100):
                    pass
            admitted.clear()
            left.set()

        hop = CircuitRelay(relay, CircuitLimits(), clock, allowed=admitted.__contains__)
        opened = names.relay_pass(relay.peer, b"sesame")
        relay.handle(names.hop_name(opened), hop.serve)
        relay.handle(names.mailbox_name(relay.peer, b"sesame"), admit)
        async with running(relay, bob), trio.open_nursery() as nursery:
            place = Place(bob, nursery)
            place.kept.want(relay.peer, RelayAccess(relay.addresses()))
            while not place.kept.problem(relay.peer):
                await trio.lowlevel.checkpoint()
            known = multiaddrs.with_pass(relay.addresses(), opened)
            place.kept.want(relay.peer, RelayAccess(known, b"open"))
            while "token" not in place.kept.problem(relay.peer):
                await trio.lowlevel.checkpoint()
            place.kept.want(relay.peer, RelayAccess(known, b"sesame"))
            await place.until(relay)
            assert admitted == {bob.peer}
            place.kept.forget(relay.peer)
            await left.wait()
            nursery.cancel_scope.cancel()

    run(main)
