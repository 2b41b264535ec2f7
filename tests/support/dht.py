"""A distributed hash table in the world in memory: any number of servers, and those who only pretend to be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from p2pchat.core.ids import PeerKey
from p2pchat.core.ipns import IpnsRecord
from p2pchat.net.kademlia.network import KademliaNetwork
from p2pchat.net.kademlia.server import KadServer
from p2pchat.net.libp2p.kademlia_messages import PROTOCOL, KadPeer
from p2pchat.net.ports import Handler, Stream
from tests.support.world import FakeHost, World

KEPT_BYTES = 1 << 20


class DhtWorld:
    """Servers by name. `sybil_…` are all in one /24, everybody else has a network of their own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hosts: dict[str, FakeHost] = {}
        self.servers: dict[str, KadServer] = {}
        self.clients: list[PeerKey] = []
        """The keys of the hosts that were made to publish and to look up."""
        self._servers: dict[PeerKey, str] = {}

    def _outsider(self, name: str, seed: bytes | None = None) -> FakeHost:
        number = len(self.hosts)
        address = f"/ip4/{20 + number // 250}.{number % 250}.0.1/tcp/4001"
        if name.startswith("sybil"):
            address = f"/ip4/203.0.112.{1 + number % 250}/tcp/{4001 + number // 250}"
        self.world.elsewhere[name] = address
        host = self.hosts[name] = self.world.outsider(name, seed)
        return host

    def join(self, name: str, by: Sequence[str] = ()) -> KadServer:
        """Start a server that knows of those in `by`, and looks for others if there are any."""
        host = self._outsider(name)
        server = KadServer(
            host,
            [self.known_as(other) for other in by],
            KEPT_BYTES,
            self.world.now,
            self.world.entropy.random,
            place_of=lambda stream: stream.peer.hex(),
            account_of=lambda stream: None,
        )

        async def serve(stream: Stream) -> None:
            """As a real host does, ask whoever connects what it is."""
            said = self._servers.get(stream.peer)
            if said is not None:
                server.identified(stream.peer, [PROTOCOL], self.known_as(said).addresses)
            await server.serve(stream)

        host.handle(PROTOCOL, serve)
        self.servers[name] = server
        self._servers[host.peer] = name
        if by:
            self.world.soon(server.run)
        return server

    def pretend(self, name: str, handler: Handler, seed: bytes | None = None) -> FakeHost:
        """Have somebody answer in the way of the test."""
        host = self._outsider(name, seed)
        host.handle(PROTOCOL, handler)
        return host

    def gone(self, name: str) -> None:
        """Nobody answers there any longer."""
        self.world.listening.pop(self.hosts[name].peer)

    def kept(self) -> list[IpnsRecord]:
        """Every record that a server has now."""
        return [kept.record for server in self.servers.values() for kept in server.records._kept.values()]

    def known_as(self, name: str) -> KadPeer:
        host = self.hosts[name]
        return KadPeer(host.peer, host.addresses())

    def network(self, *anchors: str) -> KademliaNetwork:
        """What a node uses."""
        known = [self.known_as(name) for name in anchors]
        return KademliaNetwork(self._new_host, known, self.world.now, self.world.entropy.random)

    @asynccontextmanager
    async def _new_host(self) -> AsyncIterator[FakeHost]:
        host = FakeHost(self.world, f"client {len(self.clients)}", self.world.entropy.random(32), listens=False)
        self.clients.append(host.peer)
        async with trio.open_nursery() as nursery:
            host.nursery = nursery
            yield host
            nursery.cancel_scope.cancel()

    def grown(self, count: int) -> None:
        """Start so many servers, all of which know each other as far as their tables have room."""
        for number in range(count):
            self.join(f"server {number}")
        for server in self.servers.values():
            for name, host in self.hosts.items():
                if host is not server._host:
                    server._table.answered(self.known_as(name))


async def silent(stream: Stream) -> None:
    """Take everything and never answer."""
    while await stream.read(65536):
        pass
    await trio.sleep_forever()
