"""How much of a relay's store each queue and each network holds, and what is evicted when it is full.

Space is shared by max-min fairness. A deposit may evict blobs of the network, or the queue, that holds most, but never
of one that holds no more than the depositor would, or no more than its guaranteed share. So those who fill a relay
evict each other's blobs, and if nothing may be evicted the depositor gets code 2.

Everything is in memory, and places are keyed hashes: nothing on the disk says where a blob came from. After a restart
the origins are unknown, and each queue counts separately.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import nlargest
from typing import NamedTuple

Source = tuple[bytes, ...]
"""Where deposits come from: the names of networks, the widest first and the place itself last; () if that is
unknown."""

SURE_OF_NETWORK = 16
SURE_OF_PLACE = 64
"""The guaranteed share of a network, and of a place or a queue of unknown origin, is the store divided by this: nothing
within it is evicted before it expires."""
READ_WITHIN_HOURS = 7 * 24
"""Queues that were read within these hours are evicted last."""
UNREAD_AFTER_HOURS = 3 * 24
"""How long readers have to come back after a restart, before unread queues of unknown origin may be evicted."""
MAX_NETWORKS = 1 << 16
MAX_INSIDE = 1 << 10
"""Networks, and places within one network, that are counted separately; those beyond share `_MAX_SHARED_ENTRIES`
entries."""
_MAX_SHARED_ENTRIES = 256
MAX_READ = 1 << 17
_RANKED = 64
_USES = 1024
"""How often a ranking is used before it is computed again."""


class _Share(NamedTuple):
    """What one source holds in a queue: the names under which it is counted, and the networks, the place last."""

    names: Source
    networks: tuple[_Network, ...]


@dataclass(slots=True)
class _Queue:
    """What a queue holds, and from which sources; nearly always there is one."""

    blobs: int = 0
    size: int = 0
    shares: tuple[_Share, ...] = ()


@dataclass(eq=False, slots=True)
class _Network:
    """A network with the networks inside it, or a place with the bytes that it holds in each queue. `networks_order`
    and `queues_order` cache the largest of these if there are many; `uses` counts down until that is computed again.
    """

    name: bytes = b""
    size: int = 0
    inside: dict[bytes, _Network] = field(default_factory=dict)
    queues: dict[bytes, int] = field(default_factory=dict)
    networks_order: list[_Network] = field(default_factory=list)
    queues_order: list[bytes] = field(default_factory=list)
    uses: int = 0

    def largest(self) -> _Network:
        """Return the network inside that holds most; if there are many, one that holds nearly most."""
        if len(self.inside) <= _RANKED:
            return max(self.inside.values(), key=_size)
        if self.uses:
            self.uses -= 1
            least = self.networks_order[-1].size
            best = max(self.networks_order, key=_size)
            if best.size > least:
                return best
        self.networks_order = nlargest(_RANKED, self.inside.values(), key=_size)
        self.uses = _USES
        return self.networks_order[0]


def _size(network: _Network) -> int:
    return network.size


@dataclass(slots=True)
class Holdings:
    """Counts what a store of `total` bytes holds. `hour`: the current hour of the relay's own time. spares_read: a
    queue of unknown origin that is read never makes room for those who hold little; else it does as the last.
    """

    total: int
    hour: int = 0
    blobs: int = 0
    size: int = 0
    spares_read: bool = True
    _queues: dict[bytes, _Queue] = field(default_factory=dict)
    _networks: _Network = field(default_factory=_Network)
    _unknown: _Network = field(default_factory=_Network)
    _read: dict[bytes, int] = field(default_factory=dict)
    _began: int = 0

    def begin(self, hour: int) -> None:
        """Set the hour at which the relay started."""
        self.hour = self._began = hour

    @property
    def queues(self) -> int:
        """The number of queues that are not empty."""
        return len(self._queues)

    def holds(self, qid: bytes) -> bool:
        """Return whether a queue is not empty."""
        return qid in self._queues

    def of(self, qid: bytes) -> tuple[int, int]:
        """Return (blobs, bytes) of a queue."""
        held = self._queues.get(qid)
        return (held.blobs, held.size) if held is not None else (0, 0)

    def source_of(self, qid: bytes) -> Source | None:
        """Return the source under which what a queue holds is counted, the first of several; None if it is empty."""
        held = self._queues.get(qid)
        return None if held is None else held.shares[0].names

    def add(self, qid: bytes, size: int, source: Source = (), blobs: int = 1) -> Source:
        """Add bytes and blobs to a queue; return the source under which they are counted."""
        held = self._queues.get(qid)
        if held is None:
            held = self._queues[qid] = _Queue()
        for share in held.shares:
            if share.names == source:
                break
        else:
            share = self._share(held, source)
        for network in share.networks:
            network.size += size
        queues = share.networks[-1].queues
        queues[qid] = queues.get(qid, 0) + size
        held.blobs += blobs
        held.size += size
        self.blobs += blobs
        self.size += size
        return share.names

    def remove(self, qid: bytes, size: int, blobs: int = 1) -> list[tuple[Source, int]]:
        """Subtract bytes and blobs from a queue, from the sources that hold most in it; return (source, bytes) for
        each.
        """
        held, taken = self._queues[qid], []
        while size:
            share = held.shares[0]
            if len(held.shares) > 1:
                share = max(held.shares, key=lambda share: share.networks[-1].queues[qid])
            part = min(size, share.networks[-1].queues[qid])
            size -= part
            self._take_back(held, qid, part, share, 0 if size else blobs)
            taken.append((share.names, part))
        return taken

    def take_back(self, qid: bytes, size: int, source: Source, blobs: int = 1) -> None:
        """Undo an `add`: subtract bytes and blobs from a queue and from the source that `add` returned."""
        held = self._queues[qid]
        (share,) = [other for other in held.shares if other.names == source]
        self._take_back(held, qid, size, share, blobs)

    def read(self, qid: bytes) -> None:
        """Note that the owner of the queue `qid` reads or watches it."""
        if self._read.get(qid) != self.hour:
            self._read.pop(qid, None)
            if len(self._read) >= MAX_READ:
                del self._read[next(iter(self._read))]
            self._read[qid] = self.hour

    def is_read(self, qid: bytes) -> bool:
        """Return whether the queue `qid` was read within the last `READ_WITHIN_HOURS`."""
        return self.hour - self._read.get(qid, -READ_WITHIN_HOURS) < READ_WITHIN_HOURS

    def queue_to_shrink(self, size: int, source: Source) -> bytes | None:
        """Return the queue from which blobs are to be evicted for `size` more bytes from `source`, or None if nothing
        may be.
        """
        sure = self.total // SURE_OF_PLACE
        mine = self._networks.inside.get(source[0]) if source else None
        own = size + (mine.size if mine is not None else 0)
        unknown = self._largest(self._unknown) if self._unknown.queues else None
        if unknown is not None:
            largest = self._networks.largest().size if self._networks.inside else 0
            if self._unknown.queues[unknown] > max(own, largest, sure):
                return unknown
        victim = self._choose_victim(size, source)
        if victim is None and unknown is not None and source and own <= sure:
            waited = self.hour - self._began >= UNREAD_AFTER_HOURS
            return unknown if waited and not (self.spares_read and self.is_read(unknown)) else None
        return victim

    # --- inside

    def _choose_victim(self, size: int, path: Source) -> bytes | None:
        """Descend from the widest networks to the place that holds most, as long as that is not the depositor's own."""
        network, sure = self._networks, self.total // SURE_OF_NETWORK
        while network.inside:
            mine = network.inside.get(path[0]) if path else None
            best = network.largest()
            if path and (best is mine or size + (mine.size if mine is not None else 0) >= best.size):
                if mine is None:
                    return None
                network, path = mine, path[1:]
            elif best.size > sure:
                while best.inside:
                    best = best.largest()
                return self._largest(best)
            else:
                return None
            sure = self.total // SURE_OF_PLACE
        return None

    def _share(self, held: _Queue, source: Source) -> _Share:
        """Return the share of a source in a queue; create it, and its networks, if they do not exist."""
        if not source:
            share = _Share(source, (self._unknown,))
        else:
            network, most, path = self._networks, MAX_NETWORKS, []
            for name in source:
                inner = network.inside.get(name)
                if inner is None:
                    told_apart = (
                        name if len(network.inside) < most else b"crowd" + bytes((name[0] % _MAX_SHARED_ENTRIES,))
                    )
                    inner = network.inside.setdefault(told_apart, _Network(told_apart))
                path.append(inner)
                network, most = inner, MAX_INSIDE
            share = _Share(tuple(network.name for network in path), tuple(path))
            for known in held.shares:
                if known.names == share.names:
                    return known
        held.shares = (*held.shares, share)
        return share

    def _take_back(self, held: _Queue, qid: bytes, size: int, share: _Share, blobs: int) -> None:
        for network in share.networks:
            network.size -= size
        queues = share.networks[-1].queues
        queues[qid] -= size
        if not queues[qid]:
            del queues[qid]
            held.shares = tuple(other for other in held.shares if other is not share) if len(held.shares) > 1 else ()
            if share.names and not share.networks[-1].size:
                self._prune(share)
        held.blobs -= blobs
        held.size -= size
        self.blobs -= blobs
        self.size -= size
        if not held.blobs:
            del self._queues[qid]

    def _prune(self, share: _Share) -> None:
        """Remove a place that holds nothing any more, and the networks around it that hold nothing."""
        around = self._networks
        for network in share.networks:
            if not network.size:
                del around.inside[network.name]
                around.uses = 0
                return
            around = network

    def _largest(self, place: _Network) -> bytes:
        """Return the queue in which a place has most bytes, preferring one that nobody reads."""

        def rank(qid: bytes) -> tuple[bool, int]:
            return not self.is_read(qid), place.queues[qid]

        if len(place.queues) <= _RANKED:
            return max(place.queues, key=rank)
        while place.queues_order and place.queues_order[-1] not in place.queues:
            place.queues_order.pop()
        if not place.queues_order:
            place.queues_order = nlargest(_RANKED, place.queues, key=rank)[::-1]
        return place.queues_order[-1]
