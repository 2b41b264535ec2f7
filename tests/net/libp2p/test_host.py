"""The host's promises to the protocols above it, between real hosts on loopback."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost, NodeError, Unreachable
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.allowance import Traffic
from p2pchat.net.libp2p import dial
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.libp2p.swarm import PROOF_SECONDS
from p2pchat.net.network_memory import QUIET_SECONDS, NetworkMemory
from p2pchat.net.network_watch import Exit
from p2pchat.net.ports import Host, Stream
from tests.conftest import run
from tests.support.hosts import (
    ECHO,
    LOOPBACK,
    Middle,
    call,
    live_connections,
    make,
    read_exactly,
    running,
    until_apart,
    works,
)
from tests.support.ports import free_port


def test_the_seed_decides_who_we_are() -> None:
    host: Host = LibP2PHost(bytes(range(32)))
    assert multiaddrs.peer_id(host.peer) == "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
    assert host.peer == LibP2PHost(bytes(range(32))).peer != LibP2PHost(bytes(32)).peer


def test_a_thousand_frames_there_and_back() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            stream = await call(a, b)
            for number in range(1000):
                frame = number.to_bytes(4, "big") * 64
                await stream.write(frame)
                assert await read_exactly(stream, 256) == frame

    run(main)


def test_big_writes_arrive_whole() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        sent = bytes(range(256)) * 8192
        async with running(a, b):
            stream = await call(a, b)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.write, sent)
                assert await read_exactly(stream, len(sent)) == sent

    run(main)


def test_both_sides_know_who_and_which_way() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        seen: list[Stream] = []

        async def note(stream: Stream) -> None:
            seen.append(stream)
            await stream.write(b"seen")

        b.handle("/test/note/1", note)
        async with running(a, b):
            stream = await call(a, b, "/test/note/1")
            assert await stream.read(9) == b"seen"
            assert (stream.peer, stream.inbound, stream.route) == (b.peer, False, "direct")
            assert (seen[0].peer, seen[0].inbound, seen[0].route) == (a.peer, True, "direct")
            assert a.connected() == (b.peer,)
            assert b.connected() == (a.peer,)

    run(main)


def test_a_closed_stream_ends_the_other_side_after_its_last_byte() -> None:
    async def main() -> None:
        a, b = make(1), make(2)

        async def say(stream: Stream) -> None:
            await stream.write(b"bye")

        b.handle("/test/say/1", say)
        async with running(a, b):
            stream = await call(a, b, "/test/say/1")
            assert await stream.read(3) == b"bye"
            assert await stream.read(3) == b""
            await stream.close()
            await stream.close()
            with pytest.raises(LinkLost):
                await stream.read(1)
            with pytest.raises(LinkLost):
                await stream.write(b"x")

    run(main)


def test_a_connection_beside_a_silent_one_is_made_and_outlives_it() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            first = await call(a, b)
            second = await a.open(b.peer, b.addresses(), ECHO, afresh=True)
            assert len(live_connections(a, b)) == 2
            first.sever()
            with pytest.raises(LinkLost):
                await first.read(1)
            await second.write(b"still here")
            assert await read_exactly(second, 10) == b"still here"
            assert len(live_connections(a, b)) == 1

    run(main)


def remembering() -> NetworkMemory:
    """The memory of somebody who is on a network."""
    return NetworkMemory(b"", lambda: 0, bytes, lambda: Exit("192.0.2.1", "02:00:00:00:00:01", "192.0.2.0/24"))


def test_a_way_that_froze_twice_gets_short_connections_that_carry_one_stream_each() -> None:
    async def main() -> None:
        memory = remembering()
        a, b = LibP2PHost(bytes(32), LOOPBACK, memory=memory), make(2)
        async with running(a, b), trio.open_nursery() as nursery:
            middle = Middle(b)
            await nursery.start(middle.run)
            for _ in range(2):
                stream = await a.open(b.peer, [middle.address], ECHO, afresh=True)
                assert stream.short is None
                await stream.write(bytes(9_000))
                await read_exactly(stream, 9_000)
                middle.cut = True
                await stream.prove(1)
                middle.cut = False
                assert await works_by(a, b, middle.address)
            await a.disconnect(b.peer)
            with pytest.raises(Unreachable, match="short connections"):
                await a.open(b.peer, [middle.address], ECHO, lasting=True)
            first = await a.open(b.peer, [middle.address], ECHO)
            second = await a.open(b.peer, [middle.address], ECHO)
            assert isinstance(first, LibP2PStream)
            assert isinstance(second, LibP2PStream)
            assert first.connection is not second.connection
            assert first.short is not None
            assert first.short.fits(9_000, 9)
            await first.write(bytes(9_000))
            await read_exactly(first, 9_000)
            assert not first.short.fits(9_000, 9)
            await first.close()
            await wait_connections(b, a, 1)
            assert second.short is not None
            await second.close()
            await wait_connections(b, a, 0)
            nursery.cancel_scope.cancel()

    run(main, MockClock(rate=5))


def test_when_a_connection_has_gone_silent_the_others_have_to_answer() -> None:
    async def main() -> None:
        a, b = LibP2PHost(bytes(32), LOOPBACK, memory=remembering()), make(2)
        async with running(a, b), trio.open_nursery() as nursery:
            middle = Middle(b)
            await nursery.start(middle.run)
            assert await works(a, b)
            first = await a.open(b.peer, [middle.address], ECHO, afresh=True)
            await a.open(b.peer, [middle.address], ECHO, afresh=True)
            middle.cut = True
            await trio.sleep(8)  # nothing is due
            assert len(live_connections(a, b)) == 3
            await first.prove(1)
            await trio.sleep(PROOF_SECONDS + 1)
            assert len(live_connections(a, b)) == 1
            nursery.cancel_scope.cancel()

    run(main, MockClock(rate=5))


def test_where_others_froze_a_quiet_connection_has_to_answer() -> None:
    async def main() -> None:
        memory = remembering()
        a, b = LibP2PHost(bytes(32), LOOPBACK, memory=memory), make(2)
        async with running(a, b), trio.open_nursery() as nursery:
            middle = Middle(b)
            await nursery.start(middle.run)
            assert await works_by(a, b, middle.address)
            await trio.sleep(12)
            middle.cut = True
            await trio.sleep(12)
            assert len(live_connections(a, b)) == 1
            memory.began(("192.0.2.7", 4001, "tcp")).ended(Traffic(9_000, 9, 900, 9), silent=True)
            memory.began(("192.0.2.7", 4001, "tcp"))
            await trio.sleep(QUIET_SECONDS + PROOF_SECONDS + 1)
            assert not live_connections(a, b)
            nursery.cancel_scope.cancel()

    run(main, MockClock(rate=5))


async def works_by(a: LibP2PHost, b: LibP2PHost, address: str) -> bool:
    stream = await a.open(b.peer, [address], ECHO, afresh=True)
    await stream.write(b"?")
    return await read_exactly(stream, 1) == b"?"


async def wait_connections(a: LibP2PHost, b: LibP2PHost, count: int) -> None:
    while len(live_connections(a, b)) != count:
        await trio.lowlevel.checkpoint()


def test_on_another_network_what_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b), trio.open_nursery() as nursery:
            middle = Middle(b)
            await nursery.start(middle.run)
            assert await works(a, b)
            await a.open(b.peer, [middle.address], ECHO, afresh=True)
            middle.cut = True
            a.network_changed()
            await trio.sleep(3)
            assert len(live_connections(a, b)) == 2
            await trio.sleep(2)
            assert len(live_connections(a, b)) == 1
            monkeypatch.setattr(interfaces, "current", tuple)  # the address is gone
            a.network_changed()
            assert not live_connections(a, b)
            nursery.cancel_scope.cancel()

    run(main, MockClock(rate=5))


def test_closing_wakes_our_own_reader() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            stream = await call(a, b)

            async def read() -> None:
                with pytest.raises(LinkLost):
                    await stream.read(1)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await wait_all_tasks_blocked()
                await stream.close()

    run(main)


def test_who_cannot_be_reached() -> None:
    async def main() -> None:
        a, b, c = make(1), make(2), make(3)
        async with running(a, b, c):
            for peer, addresses, protocol in (
                (b.peer, (), ECHO),
                (b.peer, ("/ip4/127.0.0.1/tcp/1",), ECHO),
                (b.peer, ("nonsense", "/ip4/0.0.0.0/tcp/9", "/ip4/255.255.255.255/tcp/9"), ECHO),
                (b.peer, c.addresses(), ECHO),  # somebody else answers there
                (b.peer, b.addresses(), "/test/unknown/1"),
                (a.peer, a.addresses(), ECHO),
            ):
                with pytest.raises(Unreachable):
                    await a.open(peer, addresses, protocol)
        with pytest.raises(Unreachable):
            await a.open(b.peer, b.addresses(), ECHO)

    run(main)


def test_what_we_dial_is_no_nonsense_nothing_twice_and_not_too_many() -> None:
    texts = ["", "/ip4/0.0.0.0/tcp/9", "/ip4/224.0.0.1/tcp/9", "/ip4/10.0.0.1/tcp/9", "/ip4/10.0.0.1/tcp/9"]
    assert [target.text() for target in dial.targets(texts)] == ["/ip4/10.0.0.1/tcp/9"]
    assert len(dial.targets([f"/ip4/10.0.0.1/tcp/{port}" for port in range(1, 1000)])) == 8


def test_ipv6_and_ipv4_are_dialled_in_turns() -> None:
    both = [f"/ip6/2001:db8::{end}/tcp/9" for end in (1, 2, 3)] + [f"/ip4/10.0.0.{end}/tcp/9" for end in (1, 2)]
    found = [target.text() for target in dial.targets(both)]
    assert found == [both[0], both[3], both[1], both[4], both[2]]


def test_a_dial_waits_for_nothing() -> None:
    """The clock stands still, so any pause in dialling or opening would last for ever."""
    clock = MockClock()

    async def main() -> None:
        a, b = make(1), make(2)
        async with trio.open_nursery() as nursery:
            await nursery.start(a.run)
            await nursery.start(b.run)
            assert await works(a, b)
            assert trio.current_time() == clock.current_time()
            clock.rate = 1  # ending a connection does pause
            nursery.cancel_scope.cancel()

    run(main, clock)


def test_a_failed_dial_does_not_spoil_the_next() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            for _ in range(3):
                with pytest.raises(Unreachable):
                    await a.open(b.peer, ("/ip4/127.0.0.1/tcp/1",), ECHO)
            assert await works(a, b)

    run(main)


def test_the_next_address_is_tried_beside_a_silent_one() -> None:
    clock = MockClock()

    async def main() -> None:
        a, b = make(1), make(2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            nowhere = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}"
            async with trio.open_nursery() as nursery:
                await nursery.start(a.run)
                await nursery.start(b.run)

                async def dial() -> None:
                    await a.open(b.peer, (nowhere, *b.addresses()), ECHO)
                    clock.rate = 1
                    nursery.cancel_scope.cancel()

                nursery.start_soon(dial)
                await wait_all_tasks_blocked(0.05)
                clock.jump(0.3)

    run(main, clock)


def test_open_has_a_deadline() -> None:
    clock = MockClock()

    async def main() -> None:
        a = make(1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            nowhere = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}"
            async with trio.open_nursery() as nursery:
                await nursery.start(a.run)

                async def dial() -> None:
                    with pytest.raises(Unreachable):
                        await a.open(PeerKey(bytes(32)), (nowhere,), ECHO)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(dial)
                await wait_all_tasks_blocked(0.05)
                clock.jump(HostLimits().open + HostLimits().queue)

    run(main, clock)


def test_many_opens_at_once_share_one_connection() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(works, a, b)
            assert len(live_connections(a, b)) == len(live_connections(b, a)) == 1

    run(main)


def test_disconnect_ends_every_stream_on_both_sides() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        ended = trio.Event()

        async def hold(stream: Stream) -> None:
            with pytest.raises(LinkLost):
                await stream.read(1)
            ended.set()

        b.handle("/test/hold/1", hold)
        async with running(a, b):
            stream = await call(a, b, "/test/hold/1")

            async def read() -> None:
                with pytest.raises(LinkLost):
                    await stream.read(1)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await wait_all_tasks_blocked()
                await a.disconnect(b.peer)
            await ended.wait()
            await until_apart(b, a)
            assert a.connected() == ()
            with pytest.raises(LinkLost):
                await stream.write(b"x")
            await stream.close()
            assert await works(a, b)

    run(main)


def test_a_connection_whose_other_end_is_gone_is_replaced() -> None:
    """The link was cut without a word; the peer is reachable, but not over the connection we have."""
    clock = MockClock()

    async def main() -> None:
        a, b = make(1), make(2)
        middle = Middle(b)
        async with trio.open_nursery() as nursery:
            for task in (a.run, b.run, middle.run):
                await nursery.start(task)
            stream = await a.open(b.peer, (middle.address,), ECHO)
            (dead,) = live_connections(a, b)
            middle.cut = True

            async def dial() -> None:
                assert await works(a, b)
                assert dead not in live_connections(a, b)
                with pytest.raises(LinkLost):
                    await stream.read(1)
                nursery.cancel_scope.cancel()

            nursery.start_soon(dial)
            await wait_all_tasks_blocked(0.05)
            clock.jump(4)
            clock.rate = 1

    run(main, clock)


def test_a_peer_can_always_come_back() -> None:
    """However many of its old connections seem to live, the newest is kept."""

    async def main() -> None:
        b = make(2, HostLimits(connections_per_peer=2))
        same = [make(1) for _ in range(5)]
        async with running(b, *same):
            for a in same:
                assert await works(a, b)
                assert len(live_connections(b, a)) <= 2
            assert await works(same[-1], b)

    run(main)


def test_a_connection_that_is_in_use_is_not_ended_for_another() -> None:
    async def main() -> None:
        a, b = make(1), make(2, HostLimits(connections_per_peer=2))
        async with running(a, b):
            used = await call(a, b)
            idle = await a.open(b.peer, b.addresses(), ECHO, afresh=True)
            await idle.close()
            newest = await a.open(b.peer, b.addresses(), ECHO, afresh=True)
            for stream in (used, newest):
                await stream.write(b"still here")
                assert await read_exactly(stream, 10) == b"still here"

    run(main)


def test_cancelling_frees_the_port_and_ends_the_connections() -> None:
    async def main() -> None:
        a, b = make(1), make(2, listen=[f"/ip4/127.0.0.1/tcp/{free_port()}"])
        async with running(a):
            async with trio.open_nursery() as nursery:
                await nursery.start(b.run)
                stream = await call(a, b)
                where, port = b.addresses(), b.port
                nursery.cancel_scope.cancel()
            assert not b.addresses()
            assert not b.connected()
            assert not b.listening
            with pytest.raises(LinkLost):
                await stream.read(1)
            await until_apart(a, b)
            with pytest.raises(Unreachable):
                await a.open(b.peer, where, ECHO)
            with socket.create_server(("127.0.0.1", port), reuse_port=False):
                pass
            async with running(b):  # and it may run again, where it was, with what it served
                assert b.addresses() == where
                assert await works(a, b)

    run(main)


def test_ending_with_many_connections_takes_no_longer_than_with_one() -> None:
    """libp2p closes them one after the other, a fifth of a second each."""

    async def main() -> None:
        a, many = make(1), [make(number) for number in range(10, 30)]
        async with trio.open_nursery() as others:
            for b in many:
                await others.start(b.run)
            async with trio.open_nursery() as nursery:
                await nursery.start(a.run)
                for b in many:
                    assert await works(a, b)
                began = trio.current_time()
                nursery.cancel_scope.cancel()
            assert trio.current_time() - began < 1
            others.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0.05))


def test_a_handler_may_be_added_while_running() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):

            async def late(stream: Stream) -> None:
                await stream.write(b"late")

            b.handle("/test/late/1", late)
            stream = await call(a, b, "/test/late/1")
            assert await stream.read(4) == b"late"

    run(main)


def test_where_it_cannot_listen_it_says_so() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            host = make(1, listen=[f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"])
            with pytest.raises(NodeError, match="cannot listen"):
                await host.run()

    run(main)


def test_nothing_is_left_over_after_connections_end() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            await works(a, b)
            await a.disconnect(b.peer)
            await until_apart(b, a)
            await wait_all_tasks_blocked(0.3)
            before = trio.lowlevel.current_statistics().tasks_living
            for _ in range(10):
                await works(a, b)
                await a.disconnect(b.peer)
                await until_apart(b, a)
            await wait_all_tasks_blocked(0.3)
            assert trio.lowlevel.current_statistics().tasks_living <= before
            assert b._running is not None
            assert b._running.inbound.direct.taken == 0

    run(main)


def test_a_stream_tells_where_on_the_network_the_other_side_is() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            stream = await call(a, b)
            assert isinstance(stream, LibP2PStream)
            assert stream.place == "127.0.0.1"

    run(main)
