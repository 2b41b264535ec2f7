"""The servers that are known: those that have answered, by their distance from a place of one's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from p2pchat.core.ids import PeerKey
from p2pchat.net import multiaddrs
from p2pchat.net.admission.places import networks
from p2pchat.net.kademlia import distances
from p2pchat.net.libp2p.kademlia_messages import K, KadPeer
from p2pchat.net.multiaddrs import MAX_REMEMBERED, Name

MAX_PER_NETWORK, MAX_PER_WIDE = 2, 4
"""Servers of one IPv4 /24 or IPv6 /48, and of one IPv4 /16 or IPv6 /32, among those that are asked for one key, or that
lie at one distance in a table. So whoever rents one network cannot surround a key. (The filter of
go-libp2p-kad-dht counts by IPv4 /16 too, and IPv6 by its autonomous system, of which we have no list.)"""
MAX_NETWORK_IN_TABLE, MAX_WIDE_IN_TABLE = 8, 16
"""The same in a whole table."""
NAMED = "named"
"""The network of all servers that have names alone: another name costs nothing, and may lead to any address."""
BAD_SECONDS = 60.0
"""How long a server that did not answer is not asked again."""
_MAX_BAD = 4096


def home(addresses: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the network of a server, and its addresses there: only these are used, so that nobody can claim to be in
    the network of another. A public address comes before a name, and both before a local one. The network is "" for
    a local address, of which there may be any number.
    """
    best: tuple[int, str] = (3, "")
    inside: dict[str, list[str]] = {}
    for address in addresses:
        rank, network = _network(address)
        inside.setdefault(network, []).append(address)
        if rank < best[0]:
            best = (rank, network)
    return best[1], tuple(inside.get(best[1], ()))


def _network(address: str) -> tuple[int, str]:
    host = multiaddrs.parse_target(address).host
    if isinstance(host, Name):
        return 1, NAMED
    if multiaddrs.is_local(host):
        return 2, ""
    return 0, networks(multiaddrs.neighbourhood(str(host)))[-1]


@lru_cache(MAX_REMEMBERED)
def _home_of(addresses: tuple[str, ...]) -> str:
    return home(addresses)[0]


def _wide(network: str) -> str:
    """Return the wider network around one that `home` returns."""
    address = network.partition("/")[0]
    if "." in address:
        return ".".join(address.split(".")[:2])
    return network if network in ("", NAMED) else address[:8]


class Crowd:
    """Counts servers by network, with the most of one /24 and of one /16. Local addresses are not counted."""

    def __init__(self, most: int = MAX_PER_NETWORK, most_wide: int = MAX_PER_WIDE) -> None:
        self._most = most, most_wide
        self._counts: Counter[str] = Counter()

    def admits(self, network: str) -> bool:
        """Count a server of this network (`home`) and return True; return False where there are enough of them."""
        around = dict(zip((network, _wide(network)), self._most, strict=True)) if network else {}
        if any(self._counts[name] >= most for name, most in around.items()):
            return False
        self._counts.update(around.keys())
        return True


class Table:
    """Up to 20 servers for each number of bits that they share with `own`, as Kademlia prescribes: many nearby, few far
    away. Who has been known for long is not replaced by who comes later, unless it has stopped answering.

    clock: seconds.
    """

    def __init__(self, own: int, clock: Callable[[], float]) -> None:
        self._own = own
        self._clock = clock
        self._buckets: dict[int, dict[PeerKey, KadPeer]] = {}
        self._seen: dict[PeerKey, float] = {}
        self._bad: dict[KadPeer, float] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, peer: PeerKey) -> bool:
        return peer in self._seen

    def answered(self, server: KadPeer) -> None:
        """Note that a server answers, and keep it where there is room. One that is known keeps its addresses: these may
        be where somebody else has named it while there was a connection with it.
        """
        self._bad.pop(server, None)
        bucket = self._buckets.setdefault(self._distance(server.peer), {})
        if server.peer not in bucket and not self._has_room(bucket, server):
            return
        bucket.setdefault(server.peer, server)
        self._seen[server.peer] = self._clock()

    def _has_room(self, bucket: dict[PeerKey, KadPeer], server: KadPeer) -> bool:
        if len(bucket) >= K:
            return False
        everybody = [known for other in self._buckets.values() for known in other.values()]
        beside = Crowd(), Crowd(MAX_NETWORK_IN_TABLE, MAX_WIDE_IN_TABLE)
        for crowd, known in zip(beside, (bucket.values(), everybody), strict=True):
            for other in known:
                crowd.admits(_home_of(other.addresses))
            if not crowd.admits(_home_of(server.addresses)):
                return False
        return True

    def silent(self, server: KadPeer) -> None:
        """Note that a server does not answer at these addresses: it is not asked there for a while, and forgotten if it
        is known by them. Others may have named it where it is not.
        """
        bucket = self._buckets.get(self._distance(server.peer), {})
        if bucket.get(server.peer) == server:
            del bucket[server.peer], self._seen[server.peer]
        if len(self._bad) >= _MAX_BAD:
            del self._bad[next(iter(self._bad))]
        self._bad[server] = self._clock() + BAD_SECONDS

    def is_bad(self, server: KadPeer) -> bool:
        """Return whether a server did not answer at these addresses lately."""
        until = self._bad.get(server)
        if until is not None and until <= self._clock():
            del self._bad[server]
            return False
        return until is not None

    def closest(self, place: int, count: int = K, *, but: Iterable[PeerKey] = ()) -> list[KadPeer]:
        """Return the servers that are closest to a place, without those in `but`."""
        left_out = frozenset(but)
        everybody = [server for bucket in self._buckets.values() for server in bucket.values()]
        wanted = [server for server in everybody if server.peer not in left_out]
        return sorted(wanted, key=lambda server: distances.of_peer(server.peer) ^ place)[:count]

    def unseen_for(self, seconds: float) -> list[KadPeer]:
        """Return the servers that have not answered for so long."""
        limit = self._clock() - seconds
        everybody = [server for bucket in self._buckets.values() for server in bucket.values()]
        return [server for server in everybody if self._seen[server.peer] < limit]

    def _distance(self, peer: PeerKey) -> int:
        return distances.shared_bits(distances.of_peer(peer), self._own)
