"""Asking a relay which DHT server it runs: a host of its own, with another key and port (docs/protocol/kademlia.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import trio

from p2pchat.core import codec
from p2pchat.core.ids import PeerKey
from p2pchat.core.names import dht_name, relay_pass
from p2pchat.errors import BadAddress, CannotOpen, LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p.kademlia_messages import KadPeer
from p2pchat.net.multiaddrs import Name
from p2pchat.net.ports import Host, Stream

MAX_SERVERS = 4
MAX_ANSWER = 1024
ASK_SECONDS = 10.0
KEPT_SECONDS = 3600.0
"""How long an answer is good."""

_SHAPE = codec.listing(codec.array(codec.binary(32), codec.binary_upto(multiaddrs.MAX_PACKED)), MAX_SERVERS)


class Access(Protocol):
    """How to reach a relay: its addresses, and its token."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses with its pass, best first."""
        ...

    @property
    def token(self) -> bytes:
        """Its token; b"" for none."""
        ...


def encode(server: KadPeer) -> bytes:
    """Return a relay's answer: its server, at each of its addresses."""
    packed = []
    for address in server.addresses[:MAX_SERVERS]:
        with suppress(BadAddress):
            packed.append([server.peer, multiaddrs.pack(address)])
    return codec.encode(packed)


def decode(data: bytes) -> list[KadPeer]:
    """Return the servers in an answer. Raises CannotOpen."""
    servers: dict[PeerKey, tuple[str, ...]] = {}
    for peer, packed in _SHAPE(codec.decode(data, MAX_ANSWER)):
        addresses = multiaddrs.readable([packed])
        servers[PeerKey(peer)] = servers.get(PeerKey(peer), ()) + addresses
    return [KadPeer(peer, addresses) for peer, addresses in servers.items() if addresses]


class RelayServers:
    """The DHT servers of the user's relays. relays: returns how each is reached now; relays that run none are not asked
    again for an hour.
    """

    def __init__(self, host: Host, relays: Callable[[], Mapping[PeerKey, Access]]) -> None:
        self._host = host
        self._relays = relays
        self._known: dict[PeerKey, tuple[float, list[KadPeer]]] = {}

    async def __call__(self) -> Sequence[KadPeer]:
        """Return them all. Raises nothing of the network's; takes ten seconds at most."""
        relays = dict(self._relays())
        now = trio.current_time()
        self._known = {relay: kept for relay, kept in self._known.items() if relay in relays and kept[0] > now}
        async with trio.open_nursery() as nursery:
            for relay, access in relays.items():
                if relay not in self._known:
                    nursery.start_soon(self._ask, relay, access)
        return [server for _, servers in self._known.values() for server in servers]

    async def _ask(self, relay: PeerKey, access: Access) -> None:
        with trio.move_on_after(ASK_SECONDS), suppress(Unreachable, LinkLost, CannotOpen):
            name = dht_name(relay_pass(relay, access.token))
            stream = await self._host.open(relay, access.addresses, name, chosen=True, relay=True)
            try:
                servers = _fitting(decode(await _all_of(stream)), access.addresses)
                self._known[relay] = (trio.current_time() + KEPT_SECONDS, servers)
            finally:
                await stream.close()


def _fitting(servers: Sequence[KadPeer], relay: Sequence[str]) -> list[KadPeer]:
    """Return the servers at those of their addresses to which a relay may send us: public ones, local ones in the local
    network in which the relay itself is, and names that it has itself. Whatever it names is dialled as if the user had
    chosen it.
    """
    near, targets = multiaddrs.local_blocks(relay), [multiaddrs.parse_target(address) for address in relay]
    names = {target.host for target in targets if isinstance(target.host, Name)}
    fitting = []
    for server in servers:
        addresses = tuple(
            address
            for address in multiaddrs.beyond(server.addresses, near)
            if not isinstance(host := multiaddrs.parse_target(address).host, Name) or host in names
        )
        if addresses:
            fitting.append(KadPeer(server.peer, addresses))
    return fitting


async def _all_of(stream: Stream) -> bytes:
    data = b""
    while len(data) <= MAX_ANSWER and (chunk := await stream.read(MAX_ANSWER + 1 - len(data))):
        data += chunk
    return data
