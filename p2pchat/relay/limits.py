"""How much strangers may have of a relay, besides what it keeps (`store.Quota`)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from p2pchat.core.mailbox import HOUR_MS
from p2pchat.core.primitives import Random, hmac_sha256

MOST_PLACES = 65_536
MOST_SPENT = 1 << 18
_DAY = 86_400.0


@dataclass(frozen=True)
class Limits:
    """`token`: what clients must know to be served; None: open to all. `stamp_bits`: the price of a deposit at an
    invite. `longest_hours`: how long anything is kept. Puts: how many one stream may make, at once and a second.
    `place_bytes`: how much may be deposited from one network address in a day.
    """

    token: bytes | None = None
    stamp_bits: int = 18
    longest_hours: int = 30 * 24
    puts_burst: int = 10_000
    puts_a_second: float = 200.0
    place_bytes: int = 512 << 20


class Bucket:
    """A token bucket: `burst` at once, then so many a second."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, burst: float, a_second: float) -> None:
        self._burst = burst
        self._rate = a_second
        self._left = float(burst)
        self._at: float | None = None

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Whether `amount` more is allowed at `now` (seconds)."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True


class Places:
    """What each place on the network may still deposit today: in memory only, and by a keyed hash, so that nothing that
    lists who was here exists for longer than a connection.
    """

    def __init__(self, a_day: int, random: Random) -> None:
        self._a_day = a_day
        self._key = random(32)
        self._buckets: OrderedDict[bytes, Bucket] = OrderedDict()

    def of(self, place: str) -> Bucket:
        """The bucket of bytes of a place (an address or a network); the one unused for longest is forgotten first."""
        name = hmac_sha256(self._key, place.encode())[:16]
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._a_day, self._a_day / _DAY)
            if len(self._buckets) > MOST_PLACES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(name)
        return bucket


class Spent:
    """The stamps that were used in this hour and the one before: each is worth one deposit."""

    def __init__(self) -> None:
        self._hour = 0
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def add(self, qid: bytes, stamp: int, now: int) -> None:
        """This stamp was used in this queue at `now` ms."""
        hour = now // HOUR_MS
        if hour != self._hour or len(self._now) >= MOST_SPENT:
            self._before = self._now if hour - self._hour <= 1 else set()
            self._hour, self._now = hour, set()
        self._now.add(_spent(qid, stamp))

    def has(self, qid: bytes, stamp: int) -> bool:
        """Whether it was used."""
        name = _spent(qid, stamp)
        return name in self._now or name in self._before


def _spent(qid: bytes, stamp: int) -> bytes:
    return qid[:16] + stamp.to_bytes(8, "big")
