"""Real hosts on loopback, ours and unmodified py-libp2p's DHT."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from p2pchat.core import ipns
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import system_entropy
from p2pchat.net import multiaddrs
from p2pchat.net.kademlia.network import KademliaNetwork
from p2pchat.net.kademlia.server import KadServer
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.kademlia_messages import PROTOCOL, KadPeer
from p2pchat.net.libp2p.standard_protocols import Listed
from p2pchat.relay.host_streams import account_of, place_of
from tests.conftest import run
from tests.net.relays.test_circuit_interop import stock
from tests.support.hosts import LOOPBACK
from tests.support.virtual_time import patience

NOW = 1_800_000_000_000
MADE = ipns.make(b"\7" * 32, 3, 4_102_444_800_000, b"here" * 256)


def now() -> int:
    return NOW


class RealServer:
    """A server on a host of its own."""

    def __init__(self, number: int, peers: list[KadPeer]) -> None:
        listed = Listed((PROTOCOL,), self._addresses, self._identified)
        self.host = LibP2PHost(bytes([number]) * 32, LOOPBACK, listed=listed)
        random = system_entropy().random
        self.server = KadServer(self.host, peers, 1 << 20, now, random, place_of=place_of, account_of=account_of)
        self.host.handle(PROTOCOL, self.server.serve)

    def _addresses(self) -> tuple[str, ...]:
        return self.host.addresses()

    def _identified(self, peer: PeerKey, protocols: Collection[str], addresses: Sequence[str]) -> None:
        self.server.identified(peer, protocols, addresses)

    @property
    def known_as(self) -> KadPeer:
        return KadPeer(self.host.peer, self.host.addresses())


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[RealServer]]:
    """So many that know the first, and have found each other."""
    with patience():
        async with trio.open_nursery() as nursery:
            made: list[RealServer] = []
            for number in range(count):
                made.append(RealServer(100 + number, [made[0].known_as] if made else []))
                await nursery.start(made[-1].host.run)
                nursery.start_soon(made[-1].server.run)
            while made[0].server.servers < count - 1:
                await trio.lowlevel.checkpoint()
            yield made
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def new_host() -> AsyncIterator[LibP2PHost]:
    host = LibP2PHost(system_entropy().random(32), LOOPBACK)  # it listens, so as to dial loopback addresses of others
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run)
        yield host
        nursery.cancel_scope.cancel()


def network(*anchors: KadPeer) -> KademliaNetwork:
    return KademliaNetwork(new_host, anchors, now, system_entropy().random)


def test_real_servers_find_each_other_and_a_record_is_found_again() -> None:
    async def main() -> None:
        async with servers(4) as all_of_them:
            first = network(all_of_them[0].known_as)
            assert await first.publish(MADE) == 4
            assert await network(all_of_them[3].known_as).look_up(MADE.routing_key) == MADE

    run(main)


def test_the_dht_of_another_implementation_takes_our_server_for_one_of_its_own() -> None:
    async def main() -> None:
        async with servers(1) as (ours,), stock(9) as (host, _), AsyncExitStack() as stack:
            dht = KadDHT(host, DHTMode.SERVER)
            await stack.enter_async_context(background_trio_service(dht))
            address = f"{ours.host.addresses()[0]}/p2p/{multiaddrs.peer_id(ours.host.peer)}"
            await host.connect(info_from_p2p_addr(Multiaddr(address)))
            us = ID(multiaddrs.multihash(ours.host.peer))
            await dht.routing_table.add_peer(us)
            assert us in await dht.peer_routing.find_closest_peers_network(MADE.routing_key)
            while not ours.server.servers:  # it said that it is a server, and was tried
                await trio.lowlevel.checkpoint()
            theirs = multiaddrs.peer_from_multihash(host.get_id().to_bytes())
            assert theirs is not None
            found = await network(ours.known_as).publish(MADE)
            assert found == 1  # the other one refuses binary keys, and is there

    run(main)
