"""The DHT server of a relay, with those of other relays and a client."""

from __future__ import annotations

from functools import partial

import trio

from p2pchat.core import ipns
from p2pchat.core.names import dht_name, relay_pass
from p2pchat.core.primitives import system_entropy
from p2pchat.net import multiaddrs
from p2pchat.net.kademlia.where import RelayServers, _fitting, encode
from p2pchat.net.libp2p.kademlia_messages import KadPeer
from p2pchat.net.ports import Stream
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.ports import DhtHealth, DhtMode
from p2pchat.relay.config import RelayConfig
from p2pchat.relay.dht import NO_NUMBERS, RelayDht
from tests.conftest import run
from tests.net.kademlia.test_stock import MADE, NOW, network
from tests.support.hosts import LOOPBACK, make, running
from tests.support.virtual_time import patience


def now() -> int:
    return NOW


def test_a_client_of_a_relay_learns_of_its_server_and_of_the_servers_of_other_relays() -> None:
    async def main() -> None:
        random, token = system_entropy().random, b"let-me.in"
        client, relay = make(1), make(2)
        name = dht_name(relay_pass(relay.peer, token))
        with patience():
            async with running(client, relay), trio.open_nursery() as nursery:
                first = RelayDht(RelayConfig(dht_listen=LOOPBACK), b"\1" * 32, now, random)
                await nursery.start(first.run)
                config = RelayConfig(dht_listen=LOOPBACK, dht_peers=tuple(first.found_at()))
                second = RelayDht(config, b"\2" * 32, now, random)
                await nursery.start(second.run)
                relay.handle(name, first.tell)
                access = {relay.peer: RelayAccess(relay.addresses(), token)}
                where = RelayServers(client, lambda: access)
                (server,) = await where()
                assert multiaddrs.full(server.peer, server.addresses[0]) == first.found_at()[0]
                relay.handle(name, None)
                assert await where() == [server]  # it is not asked again
                assert await RelayServers(client, lambda: access)() == []
                while not first.numbers()["dht_servers"]:
                    await trio.lowlevel.checkpoint()
                kademlia = network()
                kademlia.of_relays = where
                assert await kademlia.publish(MADE) == 2
                assert await kademlia.look_up(MADE.routing_key) == MADE
                assert await kademlia.look_up(ipns.routing_key(bytes(32))) is None
                assert await kademlia.health() == DhtHealth(DhtMode.RELAYS, 2)
                assert second.numbers()["dht_records"] == second.numbers()["dht_kept"] == 1
                assert second.numbers().keys() == NO_NUMBERS.keys()
                nursery.cancel_scope.cancel()

    run(main)


def test_a_relay_sends_nobody_into_a_local_network_that_is_not_its_own() -> None:
    """What a relay names as its server is dialled as if the user had chosen it."""

    async def main() -> None:
        client, relay = make(1), make(2)
        inside = ("/ip4/127.0.0.1/tcp/6379", "/ip4/10.0.0.1/tcp/80", "/dns4/metadata.example/tcp/80")
        named = KadPeer(relay.peer, (*inside, "/ip4/20.0.0.1/tcp/4001"))
        async with running(client, relay):
            here = RelayAccess(relay.addresses())
            relay.handle(dht_name(b""), partial(_say, encode(named)))
            (found,) = await RelayServers(client, lambda: {relay.peer: here})()
            assert found.addresses == (inside[0], "/ip4/20.0.0.1/tcp/4001")  # the relay itself is on loopback
            assert _fitting([named], ["/ip4/20.0.0.9/tcp/1"]) == [KadPeer(relay.peer, named.addresses[3:])]
            assert _fitting([KadPeer(relay.peer, inside)], ["/ip4/20.0.0.9/tcp/1"]) == []
            by_name = ["/dns4/metadata.example/tcp/1/ws"]
            assert _fitting([named], by_name) == [KadPeer(relay.peer, named.addresses[2:])]

    run(main)


async def _say(data: bytes, stream: Stream) -> None:
    await stream.write(data)
