"""Circuits between real hosts on loopback: what they carry, and what ends when one ends."""

from __future__ import annotations

import socket

import pytest
import trio
from libp2p.peer.id import ID
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.delivery import Route
from p2pchat.errors import Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.ports import Stream
from p2pchat.net.transport.pipes import TcpPipe
from tests.conftest import run
from tests.support.hosts import ECHO, muxer, read_exactly, until_apart
from tests.support.relays import echoes, ended, meeting, until_no_circuit

# --- what they carry ----------------------------------------------------------------------------------------------


def test_both_ends_know_who_and_which_way() -> None:
    async def main() -> None:
        seen: list[Stream] = []

        async def note(stream: Stream) -> None:
            seen.append(stream)
            await stream.write(b"seen")

        async with meeting() as here:
            here.bob.handle("/test/note/1", note)
            stream = await here.call(here.alice, here.bob, "/test/note/1")
            assert await stream.read(9) == b"seen"
            assert (stream.peer, stream.inbound, stream.route) == (here.bob.peer, False, "circuit")
            assert (seen[0].peer, seen[0].inbound, seen[0].route) == (here.alice.peer, True, "circuit")
            assert here.hop.counts.joined == here.hop.circuits == 1
            assert here.hop.reservations == 2

    run(main)


def test_streams_of_both_directions_share_one_circuit() -> None:
    async def main() -> None:
        async with meeting() as here:
            there = await here.call(here.alice, here.bob)
            back = await here.bob.open(here.alice.peer, (), ECHO)
            assert back.route == "circuit"
            assert await echoes(there)
            assert await echoes(back)
            assert here.hop.counts.joined == 1

    run(main)


def test_much_arrives_whole() -> None:
    async def main() -> None:
        sent = bytes(range(256)) * 8192
        async with meeting() as here:
            stream = await here.call(here.alice, here.bob)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.write, sent)
                assert await read_exactly(stream, len(sent)) == sent
            assert here.hop.counts.bytes >= 2 * len(sent)

    run(main)


def test_a_direct_address_is_better() -> None:
    async def main() -> None:
        async with meeting() as here:
            stream = await here.alice.open(here.bob.peer, [*here.ways(), *here.bob.addresses()], ECHO)
            assert stream.route == "direct"
            assert here.hop.counts.joined == 0

    run(main)


def test_a_direct_connection_is_better_than_an_older_or_newer_circuit() -> None:
    async def main() -> None:
        async with meeting() as here:
            assert (await here.call(here.alice, here.bob)).route == "circuit"
            assert (await here.bob.open(here.alice.peer, (), ECHO)).route == "circuit"
            assert here.alice._running is not None
            await here.alice._running.dialler.dial(ID(multiaddrs.multihash(here.bob.peer)), here.bob.addresses())
            assert (await here.alice.open(here.bob.peer, (), ECHO)).route == "direct"
            await here.alice._running.dialler.dial(ID(multiaddrs.multihash(here.bob.peer)), here.ways())
            assert (await here.alice.open(here.bob.peer, (), ECHO)).route == "direct"

    run(main)


def test_a_route_can_be_asked_for() -> None:
    async def main() -> None:
        async with meeting() as here:
            everything = [*here.ways(), *here.bob.addresses()]
            assert (await here.alice.open(here.bob.peer, everything, ECHO, only=Route.CIRCUIT)).route == "circuit"
            with pytest.raises(Unreachable):
                await here.alice.open(here.bob.peer, here.ways(), ECHO, only=Route.DIRECT)
            assert (await here.alice.open(here.bob.peer, everything, ECHO, only=Route.DIRECT)).route == "direct"
            assert (await here.alice.open(here.bob.peer, (), ECHO, only=Route.CIRCUIT)).route == "circuit"
            await here.alice.disconnect(here.bob.peer, only=Route.DIRECT)
            assert (await here.alice.open(here.bob.peer, (), ECHO)).route == "circuit"
            with pytest.raises(Unreachable):
                await here.alice.open(here.bob.peer, (), ECHO, only=Route.DIRECT)

    run(main)


def test_a_silent_direct_address_delays_a_circuit_by_a_moment_only() -> None:
    clock = MockClock()

    async def main() -> None:
        async with meeting() as here:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            silent = [f"/ip4/127.0.0.1/tcp/{listeners[0].socket.getsockname()[1]}" + end for end in ("", "/ws")]
            async with trio.open_nursery() as nursery:

                async def dial() -> None:
                    stream = await here.alice.open(here.bob.peer, [*silent, *here.ways()], ECHO)
                    assert stream.route == "circuit"
                    clock.rate = 10
                    nursery.cancel_scope.cancel()

                nursery.start_soon(dial)
                await wait_all_tasks_blocked(0.05)
                clock.jump(0.4)

    run(main, clock)


# --- one circuit's end --------------------------------------------------------------------------------------------


def test_the_end_of_one_circuit_touches_no_other() -> None:
    """As shipped, closing alice-bob ends alice-carol and carol-bob as well."""

    async def main() -> None:
        async with meeting() as here:
            ab = await here.call(here.alice, here.bob)
            ac = await here.call(here.alice, here.carol)
            cb = await here.call(here.carol, here.bob)
            await here.alice.disconnect(here.bob.peer)
            await until_apart(here.bob, here.alice)
            await until_no_circuit(here, 2)
            assert await ended(ab)
            assert await echoes(ac)
            assert await echoes(cb)
            assert await echoes(await here.call(here.alice, here.bob))
            await here.bob.disconnect(here.alice.peer)  # and from the other end
            await until_apart(here.alice, here.bob)
            assert await echoes(ac)
            assert await echoes(cb)
            assert await here.bob.open(here.carol.peer, (), ECHO)

    run(main)


def test_nothing_is_left_over() -> None:
    async def main() -> None:
        async with meeting() as here:

            async def once() -> None:
                assert await echoes(await here.call(here.alice, here.bob))
                await here.alice.disconnect(here.bob.peer)
                await until_apart(here.bob, here.alice)
                await until_no_circuit(here)

            await once()
            await wait_all_tasks_blocked(0.3)
            before = trio.lowlevel.current_statistics().tasks_living
            for _ in range(8):
                await once()
            await wait_all_tasks_blocked(0.3)
            assert trio.lowlevel.current_statistics().tasks_living <= before
            for host, others in ((here.relay, (here.alice, here.bob)), (here.alice, (here.relay,))):
                for other in others:
                    assert muxer(host, other).carried == 0
                    assert len(muxer(host, other).streams) == 0
            assert here.hop.circuits == len(here.hop._of_peer) == 0
            assert here.bob._running is not None
            assert here.bob._running.inbound.by_relay.taken == 0

    run(main)


def test_a_connection_that_breaks_ends_its_circuit() -> None:
    async def main() -> None:
        async with meeting() as here:
            for one, other in ((here.alice, here.bob), (here.bob, here.alice)):
                assert await echoes(await here.call(here.alice, here.bob))
                muxer(one, other).abandon()
                await until_no_circuit(here)
                await until_apart(other, one)

    run(main)


def test_the_kernel_watches_every_connection() -> None:
    async def main() -> None:
        async with meeting() as here:
            watched = []
            for host, other in ((here.relay, here.bob), (here.bob, here.relay)):
                pipe = muxer(host, other)._sealed.wire._pipe
                assert isinstance(pipe, TcpPipe)
                watched.append(pipe._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            assert watched == [1, 1]

    run(main)


def test_when_somebody_loses_the_relay_the_other_end_is_told() -> None:
    async def main() -> None:
        async with meeting() as here:
            stream = await here.call(here.alice, here.bob)
            await here.bob.disconnect(here.relay.peer)
            assert await ended(stream)
            await until_apart(here.alice, here.bob)
            await until_no_circuit(here)

    run(main)
