"""What a relay does not do for anybody: more than its limits allow, more than joining two who are there, or fall."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId, StopMessage
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, LinkLost, NotServed, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.admission.limits import WINDOW, HostLimits
from p2pchat.net.libp2p import circuit_messages, connections, dial
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.ports import Stream
from p2pchat.net.relays.circuit_relay import LASTING_SECONDS, CircuitLimits, CircuitRelay
from tests.conftest import run
from tests.support.hosts import ECHO, live_connections, make, muxer, read_exactly, running, until_apart, works
from tests.support.relays import Meeting, Place, ask, clock, connect_to, echoes, ended, meeting, until_no_circuit

# --- no open proxy ------------------------------------------------------------------------------------------------


def test_a_reservation_for_another_is_refused() -> None:
    async def main() -> None:
        async with meeting() as here:
            other = make(4)
            stream = await here.alice.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
            message = HopMessage(type=HopMessage.RESERVE, peer=PeerId(id=multiaddrs.multihash(other.peer)))
            assert await ask(stream, message) == circuit_messages.PERMISSION_DENIED
            assert here.hop.reservations == 2
            own = await here.alice.open(here.relay.peer, (), circuit_messages.HOP)
            message = HopMessage(type=HopMessage.RESERVE, peer=PeerId(id=multiaddrs.multihash(here.alice.peer)))
            assert await ask(own, message) == circuit_messages.OK
            assert here.hop.reservations == 3

    run(main)


def test_no_circuit_to_whom_nobody_can_reach() -> None:
    async def main() -> None:
        async with meeting() as here:
            stranger = make(4)
            async with running(stranger):
                assert await works(here.relay, stranger)  # connected, and has not reserved
                for host, status in ((stranger, 204), (make(5), 204), (here.relay, 204), (here.alice, 204)):
                    stream = await here.alice.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
                    assert await ask(stream, connect_to(host)) == status
            with pytest.raises(Unreachable):
                await here.call(here.alice, stranger)

    run(main)


def test_a_relay_dials_nobody() -> None:
    """Bob has reserved and still listens, but his connection with the relay is gone."""

    async def main() -> None:
        async with meeting() as here:
            here.bobs.kept.forget(here.relay.peer)
            await here.bob.disconnect(here.relay.peer)
            await until_apart(here.relay, here.bob)
            while here.hop.reservations == 2:
                await trio.lowlevel.checkpoint()
            stream = await here.alice.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
            message = connect_to(here.bob)
            message.peer.addrs.append(multiaddrs.pack(here.bob.addresses()[0]))
            assert await ask(stream, message) == circuit_messages.NO_RESERVATION
            assert live_connections(here.relay, here.bob) == []
            assert here.hop.counts.refused["no reservation"] == 1

    run(main)


def test_addresses_in_a_request_are_dialled_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that looked whether they lead somewhere would be a way into its own machine, its network, and to what a
    cloud tells its machines at 169.254.169.254.
    """
    inside = ("/ip4/127.0.0.1/tcp/22", "/ip4/10.0.0.1/tcp/80", "/ip4/169.254.169.254/tcp/80", "/ip6/::1/tcp/22")
    dialled: list[object] = []

    async def refuse(*where: object) -> None:
        dialled.append(where)
        raise OSError

    async def main() -> None:
        async with meeting() as here:
            streams = [
                await here.alice.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP) for _ in range(2)
            ]
            monkeypatch.setattr(dial, "connect", refuse)
            where = [multiaddrs.pack(one) for one in (*inside, *here.bob.addresses())]
            to = PeerId(id=multiaddrs.multihash(make(4).peer), addrs=where)
            assert (
                await ask(streams[0], HopMessage(type=HopMessage.CONNECT, peer=to)) == circuit_messages.NO_RESERVATION
            )
            own = PeerId(id=multiaddrs.multihash(here.alice.peer), addrs=where)
            await circuit_messages.write_message(streams[1], HopMessage(type=HopMessage.RESERVE, peer=own))
            answer = await circuit_messages.read_message(streams[1], HopMessage)
            assert answer.status == circuit_messages.OK
            assert not set(where) & set(answer.reservation.addrs)
            await wait_all_tasks_blocked()
            assert dialled == []

    run(main)


def test_neither_reservations_nor_circuits_over_a_circuit() -> None:
    async def main() -> None:
        async with meeting() as here:
            nested = CircuitRelay(here.bob, CircuitLimits(), clock)
            here.bob.handle(circuit_messages.HOP, nested.serve)
            for message in (HopMessage(type=HopMessage.RESERVE), connect_to(here.carol)):
                stream = await here.call(here.alice, here.bob, circuit_messages.HOP)
                assert await ask(stream, message) == circuit_messages.PERMISSION_DENIED
            assert nested.reservations == 0

    run(main)


def test_somebody_else_at_the_other_end_is_noticed() -> None:
    """A relay that joins us with whom it likes."""

    async def main() -> None:
        async with meeting() as here:
            asked: list[bytes] = []

            async def lie(source: bytes, peer: PeerKey) -> LibP2PStream:
                asked.append(peer)
                return await real(PeerKey(source), here.carol.peer)

            real = here.hop._stop
            here.hop._stop = lie  # type: ignore[method-assign]
            with pytest.raises(Unreachable):
                await here.call(here.alice, here.bob)
            assert asked == [here.bob.peer]

    run(main)


# --- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits", [CircuitLimits(circuits=1), CircuitLimits(circuits_per_peer=1), CircuitLimits(circuits_per_place=1)]
)
def test_a_further_circuit_takes_the_place_of_one_that_has_not_lasted(limits: CircuitLimits) -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting(limits) as here:
            first = await here.call(here.alice, here.bob)
            assert await echoes(first)
            second = await here.call(here.alice, here.carol)
            assert await echoes(second)
            assert await ended(first)
            assert here.hop.counts.evicted == 1
            await lasting(here, mock)
            with pytest.raises(Unreachable):  # nobody has fewer than they: alice's own has lasted
                await here.call(here.alice, here.bob)
            assert await echoes(second)

    run(main, mock)


async def lasting(here: Meeting, mock: MockClock) -> None:
    """Wait until the circuits there are count as ones that their targets want."""
    await wait_all_tasks_blocked(0.05)
    mock.jump(LASTING_SECONDS)
    await wait_all_tasks_blocked(0.05)


# --- nobody takes all circuits ------------------------------------------------------------------------------------


async def _circuit(stranger: LibP2PHost, here: Meeting) -> tuple[LibP2PStream, int]:
    """Ask the relay for a circuit to bob and say nothing on it; the stream, and what the relay answers."""
    stream = await stranger.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
    assert isinstance(stream, LibP2PStream)
    return stream, await ask(stream, connect_to(here.bob))


def test_two_peers_have_two_circuits_at_most() -> None:
    async def main() -> None:
        async with meeting() as here:
            stranger = make(4)
            async with running(stranger):
                statuses = [(await _circuit(stranger, here))[1] for _ in range(5)]
                assert statuses == [
                    circuit_messages.OK,
                    circuit_messages.OK,
                    *[circuit_messages.RESOURCE_LIMIT_EXCEEDED] * 3,
                ]
                assert here.hop.circuits == 2
                await stranger.disconnect(here.relay.peer)
            assert await echoes(await here.call(here.alice, here.bob))

    run(main)


def test_who_comes_back_by_another_connection_takes_the_place_of_what_was_lost() -> None:
    """The relay has not noticed yet that the old connection is gone."""

    async def main() -> None:
        async with meeting() as here:
            old = make(4)
            async with running(old):
                kept = [await _circuit(old, here) for _ in range(2)]
                back = make(4)  # the same key
                async with running(back):
                    assert (await _circuit(back, here))[1] == circuit_messages.OK
                assert await ended(kept[0][0])

    run(main)


@pytest.mark.parametrize("limits", [CircuitLimits(), CircuitLimits(circuits=32, circuits_per_peer=4)])
def test_strangers_from_many_places_keep_no_friend_out(limits: CircuitLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they open to bob, also at a small relay of four circuits a peer: a friend gets through."""

    async def main() -> None:
        async with meeting(limits) as here:
            strangers = [make(number) for number in range(20, 30)]
            places = {host.peer: f"198.51.100.{number % 8}" for number, host in enumerate(strangers)}
            real = LibP2PStream.place
            monkeypatch.setattr(
                LibP2PStream,
                "place",
                property(lambda self: places.get(self.peer) or real.fget(self)),  # type: ignore[attr-defined]
            )
            async with running(*strangers):
                for stranger in strangers * 2:
                    assert (await _circuit(stranger, here))[1] == circuit_messages.OK
                assert here.hop.circuits == limits.circuits_per_peer
                friend = await here.call(here.alice, here.bob)
                assert await echoes(friend)
                for stranger in strangers:
                    await stranger.disconnect(here.relay.peer)
                assert await echoes(friend)

    run(main)


def test_the_target_ends_a_circuit_on_which_nothing_is_proven() -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting() as here:
            stranger = make(4)
            async with trio.open_nursery() as nursery:
                await nursery.start(stranger.run)
                silent, _ = await _circuit(stranger, here)
                # a whole handshake on it, and a stream that asks for nothing
                with pytest.raises(Unreachable):
                    await here.call(stranger, here.bob, "/test/unknown/1")
                friend = await here.call(here.alice, here.bob)
                assert await echoes(friend)
                assert here.hop.circuits == 3
                await wait_all_tasks_blocked(0.05)
                mock.jump(10)
                assert await ended(silent)
                await until_no_circuit(here, left=1)
                assert here.bob.ended["no proof"] == 2
                assert await echoes(friend)
                mock.rate = 10
                nursery.cancel_scope.cancel()

    run(main, mock)


@pytest.mark.parametrize("limits", [CircuitLimits(reservations=2), CircuitLimits(reservations_per_place=2)])
def test_a_further_reservation_takes_the_place_of_one_that_brought_nobody(limits: CircuitLimits) -> None:
    """Whoever loses it learns so by the end of its connection."""
    mock = MockClock()

    async def main() -> None:
        async with meeting(limits) as here:

            async def reserve() -> int:
                stream = await here.alice.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
                return await ask(stream, HopMessage(type=HopMessage.RESERVE))

            here.carols.kept.forget(here.relay.peer)
            assert await echoes(await here.call(here.alice, here.bob))
            await lasting(here, mock)  # now bob's place is proven
            assert await reserve() == circuit_messages.OK
            assert here.hop.reservations == 2
            mock.rate = 10
            await until_apart(here.relay, here.carol)
            stream = await here.carol.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
            assert await ask(stream, HopMessage(type=HopMessage.RESERVE)) == circuit_messages.OK
            await until_apart(here.relay, here.alice)
            assert here.bobs.kept.held(here.relay.peer)

    run(main, mock)


def test_a_reservation_ends() -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting(CircuitLimits(ttl=1000)) as here:
            here.bobs.kept.forget(here.relay.peer)
            here.carols.kept.forget(here.relay.peer)
            mock.jump(1001)
            stream = await here.alice.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
            assert await ask(stream, connect_to(here.bob)) == circuit_messages.NO_RESERVATION

    run(main, mock)


def test_who_may_reserve_can_be_chosen() -> None:
    async def main() -> None:
        async with meeting() as here:
            here.hop._allowed = lambda peer: peer != here.alice.peer
            stream = await here.alice.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
            assert await ask(stream, HopMessage(type=HopMessage.RESERVE)) == circuit_messages.RESERVATION_REFUSED
            assert await echoes(await here.call(here.alice, here.bob))  # dialling is for everybody

    run(main)


def test_a_draining_relay_takes_nothing_new_and_ends_nothing() -> None:
    async def main() -> None:
        async with meeting() as here:
            old = await here.call(here.alice, here.bob)
            here.hop.drain()
            with pytest.raises(Unreachable):
                await here.call(here.alice, here.carol)
            stream = await here.alice.open(here.relay.peer, (), circuit_messages.HOP)
            assert await ask(stream, HopMessage(type=HopMessage.RESERVE)) == circuit_messages.RESERVATION_REFUSED
            assert await echoes(old)

    run(main)


def test_its_last_circuits_can_be_waited_for() -> None:
    async def main() -> None:
        async with meeting() as here:
            await here.hop.idle()
            streams = [await here.call(here.alice, peer) for peer in (here.bob, here.carol)]
            seen: list[int] = []

            async def wait() -> None:
                await here.hop.idle()
                seen.append(here.hop.circuits)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                for peer in (here.bob, here.carol):
                    await wait_all_tasks_blocked()
                    assert seen == []
                    await here.alice.disconnect(peer.peer)
            assert seen == [0]
            assert [await ended(stream) for stream in streams] == [True, True]

    run(main)


def test_who_is_gone_is_forgotten_at_once_and_who_is_late_soon() -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting(CircuitLimits(ttl=1000)) as here, trio.open_nursery() as nursery:
            nursery.start_soon(here.hop.run)
            here.bobs.kept.forget(here.relay.peer)
            here.carols.kept.forget(here.relay.peer)
            mock.rate = 10
            second = await here.bob.open(here.relay.peer, here.relay.addresses(), ECHO)
            await here.bob.disconnect(here.relay.peer)
            while here.hop.reservations == 2:
                await trio.lowlevel.checkpoint()
            assert await ended(second)
            mock.rate = 0
            await wait_all_tasks_blocked(0.05)
            assert here.hop.reservations == 1
            mock.jump(1031)
            await wait_all_tasks_blocked(0.05)
            assert here.hop.reservations == 0
            nursery.cancel_scope.cancel()

    run(main, mock)


def test_who_has_another_connection_is_not_gone() -> None:
    async def main() -> None:
        async with meeting() as here:
            (old,) = live_connections(here.bob, here.relay)
            assert here.bob._running is not None
            await here.bob._running.dialler.dial(old.muxed_conn.peer_id, here.relay.addresses())
            assert len(live_connections(here.relay, here.bob)) == 2
            await connections.drop(old)
            while len(live_connections(here.relay, here.bob)) == 2:
                await trio.lowlevel.checkpoint()
            await wait_all_tasks_blocked()
            assert here.hop.reservations == 2
            assert await echoes(await here.call(here.alice, here.bob))

    run(main)


def test_a_circuit_carries_so_many_bytes() -> None:
    async def main() -> None:
        async with meeting(CircuitLimits(bytes=100_000)) as here:
            stream = await here.call(here.alice, here.bob)
            await stream.write(bytes(20_000))
            await read_exactly(stream, 20_000)
            with suppress(LinkLost):
                await stream.write(bytes(100_000))
            assert await ended(stream)
            await until_no_circuit(here)
            assert here.hop.counts.cut == 1
            await until_apart(here.alice, here.bob)
            assert await echoes(await here.call(here.alice, here.bob))

    run(main)


@pytest.mark.parametrize("limits", [CircuitLimits(duration=25), CircuitLimits(idle=25)])
def test_a_circuit_lasts_so_long(limits: CircuitLimits) -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting(limits) as here:
            stream = await here.call(here.alice, here.bob)
            assert await echoes(stream)
            for seconds in (1, 23):  # Yamux asks for the other end after half a second, and then every 30
                await wait_all_tasks_blocked(0.05)
                assert here.hop.circuits == 1
                mock.jump(seconds)
            await wait_all_tasks_blocked(0.05)
            assert here.hop.circuits == 1
            mock.jump(3)
            assert await ended(stream)
            assert here.hop.counts.cut == 1

    run(main, mock)


def test_zero_is_no_limit() -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting(CircuitLimits(bytes=0, duration=0, idle=0)) as here:
            stream = await here.call(here.alice, here.bob)
            await stream.write(bytes(200_000))
            await read_exactly(stream, 200_000)
            mock.jump(1000)
            assert await echoes(stream)

    run(main, mock)


async def _deaf_peer(here: Meeting, nursery: trio.Nursery) -> LibP2PHost:
    """A peer who reserves, accepts a circuit and reads nothing of it."""
    deaf = make(4)

    async def accept(stream: Stream) -> None:
        await circuit_messages.read_message(stream, StopMessage)
        await circuit_messages.write_message(stream, StopMessage(type=StopMessage.STATUS, status=circuit_messages.OK))
        await trio.sleep_forever()

    deaf.handle(circuit_messages.STOP, accept)
    await nursery.start(deaf.run)
    stream = await deaf.open(here.relay.peer, here.relay.addresses(), circuit_messages.HOP)
    assert await ask(stream, HopMessage(type=HopMessage.RESERVE)) == circuit_messages.OK
    return deaf


def test_a_slow_reader_costs_the_relay_a_window_and_then_its_circuit() -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting() as here, trio.open_nursery() as nursery:
            deaf = await _deaf_peer(here, nursery)
            good = await here.call(here.alice, here.bob)
            stream = await here.alice.open(here.relay.peer, (), circuit_messages.HOP)
            await circuit_messages.connect(stream, deaf.peer)
            assert isinstance(stream, LibP2PStream)
            most = 0

            async def pour() -> None:
                with suppress(LinkLost):
                    while True:
                        await stream.write(bytes(50_000))

            async def watch() -> None:
                nonlocal most
                while here.hop.circuits == 2:
                    held = sum(map(len, muxer(here.relay, here.alice).stream_buffers.values()))
                    most = max(most, held)
                    await trio.sleep(0.01)

            mock.rate = 20
            async with trio.open_nursery() as both:
                both.start_soon(pour)
                both.start_soon(watch)
            assert 0 < most <= WINDOW
            assert here.hop.circuits == 1
            assert await echoes(good)
            nursery.cancel_scope.cancel()

    run(main, mock)


def test_the_windows_of_circuits_come_on_top_of_what_may_be_unread() -> None:
    """So that whoever makes many circuits to us cannot end our connection with the relay."""

    async def main() -> None:
        a, b = make(1), make(2, HostLimits(unread=WINDOW // 2))
        begun, go = trio.Event(), trio.Event()

        async def carry(stream: Stream) -> None:
            assert isinstance(stream, LibP2PStream)
            with stream.carrying():
                begun.set()
                await go.wait()

        b.handle("/test/carry/1", carry)
        async with running(a, b):
            stream = await a.open(b.peer, b.addresses(), "/test/carry/1")
            await begun.wait()
            assert isinstance(stream, LibP2PStream)
            granted = stream._inner.send_window
            assert WINDOW - 1024 < granted < WINDOW  # the negotiation took some
            await stream.write(bytes(granted))
            await works(a, b)
            assert sum(map(len, muxer(b, a).stream_buffers.values())) == granted
            assert muxer(b, a).carried == 1
            go.set()

    run(main)


def test_circuits_do_not_count_as_streams_of_the_relay() -> None:
    async def main() -> None:
        async with meeting() as here:
            few = LibP2PHost(bytes([4]) * 32, ["/ip4/127.0.0.1/tcp/0"], limits=HostLimits(streams_per_peer=1))
            few.handle(ECHO, _echo_once)
            async with trio.open_nursery() as nursery:
                await nursery.start(few.run)
                await Place(few, nursery).at(here.relay)
                assert await echoes(await here.call(here.alice, few))
                assert await echoes(await here.call(here.carol, few))
                assert await echoes(await here.call(here.bob, few))
                nursery.cancel_scope.cancel()

    run(main)


async def _echo_once(stream: Stream) -> None:
    await stream.write(await read_exactly(stream, 14))


def test_circuits_take_slots_and_give_them_back() -> None:
    async def main() -> None:
        async with meeting() as here:
            one = make(4, HostLimits(circuits_per_relay=1))
            async with trio.open_nursery() as nursery:
                await nursery.start(one.run)
                await Place(one, nursery).at(here.relay)
                assert await echoes(await here.call(here.alice, one))
                with pytest.raises(Unreachable):
                    await here.call(here.carol, one)
                await here.alice.disconnect(one.peer)
                await until_apart(one, here.alice)
                await until_no_circuit(here)
                await wait_all_tasks_blocked(0.05)
                assert await echoes(await here.call(here.carol, one))
                nursery.cancel_scope.cancel()

    run(main)


# --- garbage ------------------------------------------------------------------------------------------------------

GARBAGE = [
    *(b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x81\x20" + bytes(4097), b"\x03abc", b"\x00", b"\x02\x08\x09"),
    *(b"\x02\x08\x01", b"\x06\x08\x01\x12\x02\x0a\x00", b"\x02\x08\x02", b"\x01"),
    b"\x2c\x08\x01\x12\x28\x0a\x26" + b"\x12\x20" + bytes(37),
]


@pytest.mark.parametrize("protocol", [circuit_messages.HOP, circuit_messages.STOP])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_ends_no_more_than_its_stream(garbage: bytes, protocol: str) -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting() as here:
            old = await here.call(here.alice, here.bob)
            if protocol == circuit_messages.HOP:
                stream = await here.alice.open(here.relay.peer, (), protocol)
            else:
                stream = await here.relay.open(here.bob.peer, (), protocol)
            with suppress(LinkLost):
                await stream.write(garbage)
            await wait_all_tasks_blocked(0.05)
            mock.jump(10)
            assert await ended(stream)
            assert await echoes(old)
            assert await echoes(await here.call(here.alice, here.carol))

    run(main, mock)


def test_a_stranger_cannot_pose_as_our_relay() -> None:
    async def main() -> None:
        async with meeting() as here:
            with pytest.raises(NotServed):
                await here.alice.open(here.bob.peer, here.bob.addresses(), circuit_messages.STOP)
            await (await here.relay.open(here.bob.peer, (), circuit_messages.STOP)).close()

    run(main)


def test_a_relay_that_answers_nonsense_is_no_way() -> None:
    async def main() -> None:
        liar, a = make(9), make(1)
        answers = [b"\x03abc", b"\xff\xff\xff\xff\xff", b"", b"\x06\x08\x02\x28\xe7\x07\x00"]

        async def lie(stream: Stream) -> None:
            await stream.write(answers.pop())

        liar.handle(circuit_messages.HOP, lie)
        async with running(liar, a):
            for _ in range(len(answers)):
                way = multiaddrs.circuit(liar.addresses()[0], liar.peer)
                with pytest.raises(Unreachable):
                    await a.open(make(2).peer, [way], ECHO)

    run(main)


def test_reading_a_message_takes_not_a_byte_more() -> None:
    async def main() -> None:
        async with meeting() as here:
            stream = await here.call(here.alice, here.bob)
            message = connect_to(here.bob)
            data = message.SerializeToString()
            await stream.write(bytes([len(data)]) + data + b"rest")
            assert await circuit_messages.read_message(stream, HopMessage) == message
            assert await stream.read(100) == b"rest"
            for announced in (b"\xff\xff\xff\xff", b"\x81\x20"):  # and waits for nothing that is too long
                other = await here.alice.open(here.bob.peer, (), ECHO)
                await other.write(announced)
                with pytest.raises(CannotOpen):
                    await circuit_messages.read_message(other, HopMessage)

    run(main)
