"""The records that a server keeps, in memory. All of it is bounded.

When it is full, the networks that brought most give way, each with its record that is farthest from the server.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

from p2pchat.core.ipns import IpnsRecord, best
from p2pchat.lib.times import HOUR_MS
from p2pchat.net.admission.places import PlaceSums, wider
from p2pchat.net.admission.shares import FairShares
from p2pchat.net.kademlia import distances

MAX_AGE_MS = 48 * HOUR_MS
"""How long a record is kept that is not brought again, as others in the network do it."""
PLACE_SHARE = 64
"""One place on the network may bring this fraction of all that is kept, so a /24 an eighth (`places.bounds`),"""
_OVERHEAD_BYTES = 512
"""and each record counts so much more than its bytes."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record, until when it is kept, and the place that brought it."""

    record: IpnsRecord
    until: int
    place: str
    size: int


class KeptRecords:
    """Valid records by their routing key. own: where the server lies. max_bytes: of everything together."""

    def __init__(self, own: int, max_bytes: int) -> None:
        self._own = own
        self._max_bytes = max_bytes
        self._places = PlaceSums(max_bytes, max_bytes // PLACE_SHARE)
        self._shares = FairShares[bytes]()
        self._kept: dict[bytes, _Kept] = {}
        self._in_order: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """The bytes of everything that is kept, with overhead."""
        return self._places.taken

    def limit(self, max_bytes: int) -> None:
        """Apply another bound to what is brought from now on."""
        self._max_bytes = max_bytes
        self._places.resize(max_bytes, max_bytes // PLACE_SHARE)

    def put(self, record: IpnsRecord, place: str, now: int) -> bool:
        """Keep a record that was brought from a place, and return True. Return False for one that is worse than what
        is kept, and where there is no room: its place has brought too much, or all others are closer.
        """
        key = record.routing_key
        old = self.get(key, now)
        if old is not None and best((old, record)) is not record and old.raw != record.raw:
            return False
        size = len(record.raw) + _OVERHEAD_BYTES
        before = self._drop(key)
        if not self._room(key, size, place):
            if before is not None:
                self._add(key, before)
            return False
        self._add(key, _Kept(record, min(record.expires_at, now + MAX_AGE_MS), place, size))
        return True

    def get(self, key: bytes, now: int) -> IpnsRecord | None:
        """Return the record of a key, unless its time has come."""
        kept = self._kept.get(key)
        return None if kept is None or kept.until <= now else kept.record

    def sweep(self, now: int) -> None:
        """Drop what is not kept any longer."""
        for key in [key for key, kept in self._kept.items() if kept.until <= now]:
            self._drop(key)

    def _room(self, key: bytes, size: int, place: str) -> bool:
        """Make room by dropping what gives way, and return whether there is enough; drop nothing where there is not."""
        dropped: list[tuple[bytes, _Kept]] = []
        while (full := self._places.full(place, size)) == "":
            other = self._giving_way(key, size, place)
            kept = None if other is None else self._drop(other)
            if other is None or kept is None:
                break
            dropped.append((other, kept))
        if full is not None:
            for other, kept in dropped:
                self._add(other, kept)
        return full is None

    def _giving_way(self, key: bytes, size: int, place: str) -> bytes | None:
        """Return the record to drop for a new one, None where there is none. Where no network holds more than the new
        one would, the farthest of all records gives way to one that is closer.
        """
        distance = self._distance(key)
        other = self._shares.giving_way(wider(place), size, distance)
        if other is None and self._in_order and not self._shares.held(wider(place)[0]):
            farthest, last = self._in_order[-1]
            return last if farthest > distance else None
        return other

    def _add(self, key: bytes, kept: _Kept) -> None:
        distance = self._distance(key)
        self._kept[key] = kept
        self._places.add(kept.place, kept.size)
        self._shares.add(key, wider(kept.place), kept.size, distance)
        insort(self._in_order, (distance, key))

    def _drop(self, key: bytes) -> _Kept | None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._places.give(kept.place, kept.size)
            self._shares.remove(key)
            del self._in_order[bisect_left(self._in_order, (self._distance(key), key))]
        return kept

    def _distance(self, key: bytes) -> int:
        return distances.of_key(key) ^ self._own
