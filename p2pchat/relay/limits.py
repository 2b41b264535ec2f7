"""How much strangers may have of a relay, besides what it keeps (`store.Quota`)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from p2pchat.core.primitives import Random, hmac_sha256
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.net.admission import places
from p2pchat.relay.holdings import Source

MAX_PLACES = 1 << 16
NETWORK_FACTOR = 4
"""How many times the budget of one place a network around it may have at most, and all who come by other relays: of
bytes, which last, a network has less in proportion than of connections (`places.FACTORS_IPV4`)."""
MAX_SPENT = 1 << 18
STAMP_SECONDS = 7_200.0
"""A stamp is good in the hour it names and in the next."""
_MAX_SHARED_ENTRIES = 256
_LOOKED_AT = 64


@dataclass(frozen=True)
class RelayLimits:
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


class Origin(NamedTuple):
    """Where a client is on the network: the networks around it as keyed hashes, the widest first and its own place
    last; and the same with how many times the budget of one place each of them has."""

    names: Source
    weighted: tuple[tuple[bytes, int], ...]


class Origins:
    """Names places by a key that dies with the process, so that nothing that lists who was here exists for longer."""

    def __init__(self, random: Random) -> None:
        self._key = random(32)

    def of(self, place: str) -> Origin:
        """Return the origin of a place (see `net.admission.places`). Those who come by other relays are one network."""
        around = places.networks(place)[::-1]
        factors = [min(factor, NETWORK_FACTOR) for factor in places.factors(place)[::-1]]
        if place.startswith("circuit "):
            around, factors = ("circuits", place), [NETWORK_FACTOR, 1]
        names = tuple(hmac_sha256(self._key, network.encode())[:16] for network in around)
        return Origin(names, tuple(zip(names, factors, strict=True)))


class PlaceBudget:
    """What each place, and each network around it, may still use: `burst` at once for a place, then `rate` a second.

    Bounded: what is whole again is forgotten first, which gives nobody anything. Where too many are in use, new ones
    share `_MAX_SHARED_ENTRIES` buckets: a flood of places exhausts what its own places have.
    """

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._buckets: dict[bytes, TokenBucket] = {}

    def take(self, origin: Origin, now: float, amount: float = 1.0) -> bool:
        """Use `amount`, and return True, where it is allowed there at `now` (seconds), and in every network around
        it.
        """
        buckets = []
        for name, factor in origin.weighted:
            bucket = self._buckets.get(name) or self._new(name, factor, now)
            if bucket.left(now) < amount:
                return False
            buckets.append(bucket)
        for bucket in buckets:
            bucket.give(-amount)
        return True

    def give(self, origin: Origin, now: float, amount: float) -> None:
        """Take back the part of an amount that was not used; `now` in seconds."""
        for name, factor in origin.weighted:
            (self._buckets.get(name) or self._new(name, factor, now)).give(amount)

    def resize(self, burst: float, rate: float) -> None:
        """Allow `burst` at once and `rate` a second from now on; what was used stays used."""
        for bucket in self._buckets.values():
            factor = round(bucket.burst / self._burst)
            bucket.burst, bucket.rate = burst * factor, rate * factor
        self._burst, self._rate = burst, rate

    def _new(self, name: bytes, factor: int, now: float) -> TokenBucket:
        if len(self._buckets) >= MAX_PLACES:
            self._forget(now)
        if len(self._buckets) >= MAX_PLACES:
            name = b"crowd" + bytes((name[0] % _MAX_SHARED_ENTRIES, factor))
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(self._burst * factor, self._rate * factor)
        return bucket

    def _forget(self, now: float) -> None:
        for name in list(islice(self._buckets, _LOOKED_AT)):
            bucket = self._buckets.pop(name)
            if bucket.left(now) < bucket.burst:
                self._buckets[name] = bucket  # behind the others


class Spent:
    """The stamps that were used in the last two hours of uptime: each is worth one deposit."""

    def __init__(self) -> None:
        self._turn = 0
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def add(self, qid: bytes, stamp: int, now: float) -> None:
        """Note that this stamp was used in this queue at `now`, in seconds that nobody can set."""
        turn = int(now // STAMP_SECONDS)
        if turn != self._turn or len(self._now) >= MAX_SPENT:
            self._before = self._now if turn - self._turn <= 1 else set()
            self._turn, self._now = turn, set()
        self._now.add(_spent(qid, stamp))

    def has(self, qid: bytes, stamp: int) -> bool:
        """Return whether this number was used as a stamp in this queue."""
        name = _spent(qid, stamp)
        return name in self._now or name in self._before


def _spent(qid: bytes, stamp: int) -> bytes:
    return qid[:16] + stamp.to_bytes(8, "big")
