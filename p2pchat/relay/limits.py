"""How much work and traffic a relay accepts from strangers; how much it stores is in `store.Quota`."""

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
"""The budget of a network around a place, and of all clients that come through other relays, in budgets of one place at
most. Bytes last, so a network gets proportionally fewer of them than connections (`places.FACTORS_IPV4`)."""
LOG_BURST_SECONDS = 512
"""Of a log's bytes a second, how many seconds' worth it takes at once."""
MAX_SPENT = 1 << 18
STAMP_SECONDS = 7_200.0
"""A stamp is valid in the hour that it names and in the next."""
_MAX_SHARED_ENTRIES = 256
_ANYBODYS = ("circuit ", f"{places.TOR} ", f"{places.ONION} ")
"""The beginnings of places of which anybody can have any number."""
_LOOKED_AT = 64


@dataclass(frozen=True)
class RelayLimits:
    """The limits of a mailbox.

    token: the secret that clients need; None: everyone is served. stamp_bits: the price of a deposit at an invite's
    queue. longest_hours: how long anything is stored. puts_burst, puts_a_second: the deposits of one stream.
    place_bytes: how much may be deposited from one network address in a day. file_hours, file_place_bytes: the same two
    for blobs of files; log_hours, log_place_bytes: for logs. log_rate: the bytes a second that one log takes in the
    long run, and `LOG_BURST_SECONDS` times as many at once.
    """

    token: bytes | None = None
    stamp_bits: int = 18
    longest_hours: int = 30 * 24
    puts_burst: int = 10_000
    puts_a_second: float = 200.0
    place_bytes: int = 512 << 20
    file_hours: int = 7 * 24
    file_place_bytes: int = 2 << 30
    log_hours: int = 14 * 24
    log_place_bytes: int = 512 << 20
    log_rate: int = 32 << 10


class Origin(NamedTuple):
    """A client's location on the network. `names`: keyed hashes of the networks around it, the widest first and its own
    place last. `weighted`: the same names, each with the size of its budget in budgets of one place.
    """

    names: Source
    weighted: tuple[tuple[bytes, int], ...]


class Origins:
    """Names places with a key that is never stored, so that no list of who was here outlives the process."""

    def __init__(self, random: Random) -> None:
        self._key = random(32)

    def of(self, place: str) -> Origin:
        """Return the origin of a place (`net.admission.places`). All clients that come through other relays are in one
        network, and so are all that come through Tor.
        """
        around = places.networks(place)[::-1]
        factors = [min(factor, NETWORK_FACTOR) for factor in places.factors(place)[::-1]]
        if place.startswith(_ANYBODYS):
            around, factors = (f"{place.partition(' ')[0]}s", place), [NETWORK_FACTOR, 1]
        names = tuple(hmac_sha256(self._key, network.encode())[:16] for network in around)
        return Origin(names, tuple(zip(names, factors, strict=True)))


class PlaceBudget:
    """The remaining budget of each place, and of each network around it: `burst` at once for a place, then `rate` a
    second.

    Its size is bounded. Full buckets are dropped first, since a new one would be full too. If too many are in use,
    further places share `_MAX_SHARED_ENTRIES` buckets, so a flood of places uses up only the budget of such places.
    """

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._buckets: dict[bytes, TokenBucket] = {}

    def take(self, origin: Origin, now: float, amount: float = 1.0) -> bool:
        """Use `amount` and return True, if the place and all networks around it have that much left at `now`
        (seconds).
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
        """Return the unused part of an amount; `now` in seconds."""
        for name, factor in origin.weighted:
            (self._buckets.get(name) or self._new(name, factor, now)).give(amount)

    def resize(self, burst: float, rate: float) -> None:
        """Change burst and rate; what was used stays used."""
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
                self._buckets[name] = bucket  # moved to the end


class Spent:
    """The stamps that were used in the last two hours of uptime; each is valid for one deposit."""

    def __init__(self) -> None:
        self._turn = 0
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def add(self, qid: bytes, stamp: int, now: float) -> None:
        """Note that this stamp was used in this queue at `now`, in seconds of uptime."""
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
