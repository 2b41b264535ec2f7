"""Holes on loopback: connections from the listening port, of which one is left, and what must not be taken for one."""

from __future__ import annotations

import ipaddress
import socket
from typing import cast

import pytest
import trio
import trio.testing
from libp2p.peer.id import ID

from p2pchat.core.ids import PeerKey
from p2pchat.core.punch import PunchAddress
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import holes
from p2pchat.net.libp2p.holes import HolePuncher
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.secure_channel import RawPipe
from p2pchat.net.libp2p.swarm import PeerConnection, Swarm
from p2pchat.net.multiaddrs import SocketAddress
from p2pchat.net.ports import Observer, Stream
from p2pchat.net.transport.proxy import Proxy
from tests.conftest import run
from tests.support.hosts import live_connections, make, running, until_apart, works

ONION = "/onion3/2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid:4001"
BOTH = ("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0")


def through(host: LibP2PHost) -> HolePuncher:
    assert host.holes is not None
    return host.holes


def at(host: LibP2PHost, *versions: int) -> list[PunchAddress]:
    """Where a host listens, of these versions of IP."""
    return [PunchAddress(bound.ip.packed, bound.port) for bound in host.bound() if bound.ip.version in versions]


def test_where_every_direction_succeeds_there_is_one_connection_from_port_to_port() -> None:
    async def main() -> None:
        leader, follower = make(1, listen=BOTH), make(2, listen=BOTH)
        async with running(leader, follower):
            done = []

            async def lead() -> None:
                done.append(await through(leader).punch(follower.peer, at(follower, 4, 6), leads=True, seconds=2))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lead)
                nursery.start_soon(
                    lambda: through(follower).punch(leader.peer, at(leader, 6, 4), leads=False, seconds=0.2)
                )
            assert done == [True]
            assert await works(leader, follower)
            assert await works(follower, leader)
            while len(live_connections(follower, leader)) > 1:  # those that were given up
                await trio.lowlevel.checkpoint()
            ((conn,), (same,)) = live_connections(follower, leader), live_connections(leader, follower)
            assert conn.muxed_conn.wire.remote is not None
            assert conn.muxed_conn.wire.remote[1] == leader.port
            assert same.muxed_conn.is_initiator
            assert follower.found_at(leader.peer) == ""
            assert conn.muxed_conn.wire.punched
            assert same.muxed_conn.wire.punched

    run(main)


def test_of_two_that_are_secured_at_the_same_moment_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled = Swarm.dialled
    secured: list[PeerConnection] = []

    async def both(self: Swarm, wire: RawPipe, peer: ID) -> PeerConnection:
        conn = await dialled(self, wire, peer)
        secured.append(conn)
        with trio.CancelScope(shield=True):
            while len(secured) < 2:
                await trio.lowlevel.checkpoint()
        return conn

    monkeypatch.setattr(Swarm, "dialled", both)

    async def main() -> None:
        leader, follower = make(1, listen=BOTH), make(2, listen=BOTH)
        async with running(leader, follower):
            assert await through(leader).punch(follower.peer, at(follower, 4, 6), leads=True, seconds=5)
            assert len(live_connections(leader, follower)) == 1
            while len(live_connections(follower, leader)) > 1:
                await trio.lowlevel.checkpoint()
            assert await works(follower, leader)

    run(main)


def test_the_leader_leads_on_what_comes_to_its_port_too_but_not_where_somebody_speaks() -> None:
    async def main() -> None:
        leader, follower, other = make(1), make(2), make(3)
        async with running(leader, follower, other):
            nowhere = [PunchAddress(at(follower, 4)[0].ip, 1)]
            results = []

            async def lead() -> None:
                results.append(await through(leader).punch(follower.peer, nowhere, leads=True, seconds=5))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lead)
                await trio.testing.wait_all_tasks_blocked()
                assert await works(other, leader)  # from the same address, and an ordinary caller
                await through(follower).punch(leader.peer, at(leader, 4), leads=False, seconds=0.1)
            assert results == [True]
            assert len(live_connections(leader, follower)) == 1
            assert await works(leader, follower)
            assert leader._inbound is not None
            assert leader._inbound.divert is None

    run(main)


def test_of_a_crowd_from_the_address_of_a_hole_most_are_ordinary_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holes, "SPEAKS_FIRST_SECONDS", 0)

    async def main() -> None:
        leader, led = make(1), list[socket.socket]()
        async with running(leader):
            assert leader._inbound is not None
            crowd = holes.MAX_LED + 3
            with through(leader)._diverting(["127.0.0.1"], led.append):
                callers = [await trio.open_tcp_stream("127.0.0.1", leader.port) for _ in range(crowd)]
                while len(led) + len(leader._inbound._guests) < crowd:
                    await trio.lowlevel.checkpoint()
            for sock in led:
                sock.close()
            for caller in callers:
                await caller.aclose()
        assert len(led) == holes.MAX_LED

    run(main)


def test_a_hole_is_punched_from_the_address_that_was_named_where_the_machine_has_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        leader, follower = make(1, listen=("/ip4/0.0.0.0/tcp/0",)), make(2)
        async with running(leader, follower):
            named = SocketAddress(ipaddress.ip_address("127.0.0.2"), leader.port)
            monkeypatch.setattr(holes.HolePuncher, "_own", lambda self: [named])
            assert await through(leader).punch(follower.peer, at(follower, 4), leads=True, seconds=5)
            (conn,) = live_connections(follower, leader)
            assert conn.muxed_conn.wire.remote == (str(named.ip), named.port)

    run(main)


def test_somebody_else_at_the_address_is_not_the_peer() -> None:
    async def main() -> None:
        leader, other = make(1), make(3)
        async with running(leader, other):
            peer = make(2).peer
            assert not await through(leader).punch(peer, at(other, 4), leads=True, seconds=0.2)
            await until_apart(leader, other)
            assert leader.connected() == ()

    run(main)


def test_relays_say_where_the_port_is_seen_for_as_long_as_somebody_wants_to_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(multiaddrs, "is_local", lambda ip: False)
    monkeypatch.setattr(multiaddrs, "punchable", lambda address: ipaddress.ip_address(address.ip).is_loopback)
    monkeypatch.setattr(holes.HolePuncher, "_own", lambda self: [])

    async def main() -> None:
        host, relays, gone = make(1), [make(2), make(3)], make(4)
        async with running(host, *relays):
            observers = [Observer(relay.peer, relay.addresses()) for relay in relays]
            lies = Observer(gone.peer, relays[0].addresses())
            by_tor_too = Observer(relays[0].peer, [ONION, *relays[0].addresses()])
            async with through(host).seen(observers) as seen, through(host).seen(observers) as again:
                assert list(seen) == list(again) == at(host, 4)
                assert [len(live_connections(relay, host)) for relay in relays] == [1, 1]
                assert host.connected() == (), "nothing else is to use these connections"
            for relay in relays:
                await until_apart(relay, host)
            async with through(host).seen([by_tor_too]) as seen:
                assert list(seen) == at(host, 4)
            await until_apart(relays[0], host)
            async with through(host).seen([lies, observers[1]]) as seen:
                assert list(seen) == at(host, 4)
            async with through(host).seen([lies]) as nothing, through(host).seen(observers) as seen:
                assert (nothing, list(seen)) == ((), at(host, 4)), "one contact's relay is not asked for others"
            async with through(host).seen([]) as seen:
                assert seen == ()

    run(main)


def test_a_relay_that_fails_as_a_look_ends_does_not_end_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiaddrs, "is_local", lambda ip: False)

    async def main() -> None:
        host, relay = make(1), make(2)

        async def fail(stream: Stream) -> bytes:
            (look,) = through(host)._looks.values()
            look.scope.cancel()
            raise ValueError

        monkeypatch.setattr(holes, "_read", fail)
        async with running(host, relay):
            async with through(host).seen([Observer(relay.peer, relay.addresses())]) as seen:
                assert seen == ()
            assert await works(relay, host)

    run(main)


def test_relays_that_name_different_machines_are_not_believed() -> None:
    here, there = (SocketAddress(ipaddress.ip_address(ip), 4001) for ip in ("11.0.3.2", "11.0.4.2"))
    local, low = SocketAddress(ipaddress.ip_address("10.0.0.1"), 4001), SocketAddress(here.ip, 80)

    def agreed(*said: SocketAddress | None, chosen: bool = True) -> list[SocketAddress]:
        return list(holes._agreed([holes._Look(chosen, address=address) for address in said]))

    assert agreed(here, SocketAddress(here.ip, 4002)) == agreed(here, None) == agreed(here) == [here]
    version_6 = SocketAddress(ipaddress.ip_address("2a00::1"), 4001)
    for said in ([], [None], [here, there], [local], [low], [version_6]):
        assert agreed(*said) == []
    assert agreed(here, None, chosen=False) == []  # one alone that only a contact has named
    assert agreed(here, here, chosen=False) == agreed(here, chosen=False) == [here]


def test_two_relays_of_different_networks_are_asked_where_there_are_such() -> None:
    first, beside, other = (
        Observer(PeerKey(bytes([number]) * 32), [f"/ip4/{where}/tcp/1"])
        for number, where in ((1, "11.0.3.2"), (2, "11.0.9.9"), (3, "12.0.0.1"))
    )
    assert holes._independent([first, beside, other]) == [first, other]
    assert holes._independent([first, beside]) == [first, beside]
    assert holes._independent([]) == []


def test_with_a_proxy_or_without_a_port_there_are_no_holes() -> None:
    async def main() -> None:
        proxied = LibP2PHost(bytes([1]) * 32, BOTH[:1], proxy=cast(Proxy, object()))
        closed = LibP2PHost(bytes([2]) * 32, ())
        async with running(proxied, closed):
            assert proxied.holes is None
            assert closed.holes is None

    run(main)
