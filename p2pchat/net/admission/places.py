"""Places: where on the network somebody is, as far as limits go, and how much each place may have.

A *place* is what `multiaddrs.neighbourhood` says: an IPv4 address, the 16 hex digits of an IPv6 /64, or any other word
(a peer id, "relay" and a peer id, "tor" or "onion" and the number of a circuit). One line at home often has a whole
IPv6 /56 and a company a /48; a hosting company gives out IPv4 by the /24. So places lie in networks, and what is
limited for a place is limited for its networks too: the sum of all that is in one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_IPV6_PLACE = re.compile(r"[0-9a-f]{16}")
_IPV4_PLACE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
TOR, ONION = "tor", "onion"
"""Before the number of a Tor circuit: clients that come through Tor to a relay that others reach by its IP address, and
to one that is reached through Tor only. The former are one network, since anybody can begin any number of circuits."""
FACTORS_IPV4 = (1, 8)
"""How many times the bound of one place the networks around it may have: the /32, the /24; or a circuit, all of Tor."""
FACTORS_IPV6 = (1, 2, 4)
"""The same for the /64, the /56, the /48."""
_BY_TOR = f"{TOR} "
_FACTORS = {1: (1,), 2: FACTORS_IPV4, 3: FACTORS_IPV6}
_MAX_IPV4, _IPV6_DIGITS = len("255.255.255.255"), 16
MAX_REMEMBERED = 1024
"""Places whose networks are kept in memory: each is asked for dozens of times while it connects."""


@lru_cache(MAX_REMEMBERED)
def networks(place: str) -> tuple[str, ...]:
    """Return the place and the networks it lies in, the smallest first: /32 and /24, or /64, /56 and /48; a circuit of
    Tor and all of Tor; of another place that is no address, itself alone.
    """
    size = len(place)
    if size <= _MAX_IPV4 and _IPV4_PLACE.fullmatch(place):
        return place, place[: place.rindex(".")] + ".0/24"
    if size == _IPV6_DIGITS and _IPV6_PLACE.fullmatch(place):
        return place, place[:14] + "/56", place[:12] + "/48"
    return (place, TOR) if place.startswith(_BY_TOR) else (place,)


def wider(place: str) -> tuple[str, ...]:
    """Return the networks around a place, the widest first, and the place itself last: those of `networks`, and around
    them the IPv4 /16 or the IPv6 /32 that a hosting company has. All who come over circuits are in one network.
    """
    inner = networks(place)[::-1]
    if place.startswith(_BY_TOR):  # as many as the networks of an IPv4 address
        return inner
    if len(inner) == len(FACTORS_IPV4):
        return (".".join(place.split(".")[:2]) + ".0.0/16", *inner)
    if len(inner) == len(FACTORS_IPV6):
        return (place[:8] + "/32", *inner)
    return ("circuits", *inner) if place.startswith("circuit ") else inner


def factors(place: str) -> tuple[int, ...]:
    """Return, for each of `networks(place)`, how many times the bound of one place it may have."""
    return _FACTORS[len(networks(place))]


@lru_cache(MAX_REMEMBERED)
def bounds(place: str, bound: float) -> tuple[tuple[str, float], ...]:
    """Return each of `networks(place)` with its bound, where a place itself may have `bound`."""
    around = networks(place)
    return tuple([(network, factor * bound) for network, factor in zip(around, _FACTORS[len(around)], strict=True)])


class PlaceSums:
    """Adds up amounts by place, by network and in all, each with its bound.

    total: bound of all places together. place_bound: of one place. more: what a place may have besides that; it is
    counted for itself alone, since a reverse proxy must not use up what its neighbours may have.
    Amounts are whatever the caller counts: connections, bytes. Nothing is kept for a place that has nothing.
    """

    def __init__(self, total: int, place_bound: int, more: Mapping[str, int] | None = None) -> None:
        self._total = total
        self._place_bound = place_bound
        self._more = {} if more is None else more
        self._held: dict[str, int] = {}
        self.taken = 0

    def resize(self, total: int, place_bound: int) -> None:
        """Change the bounds for what is added from now on; what is held beyond them stays."""
        self._total, self._place_bound = total, place_bound

    def full(self, place: str, amount: int = 1) -> str | None:
        """Return the smallest network around `place` that has no room for `amount`, "" where all places together have
        none, None where it fits.
        """
        for network, most in self._bounds(place):
            if self._held.get(network, 0) + amount > most:
                return network
        return "" if self.taken + amount > self._total else None

    def take(self, place: str, amount: int = 1) -> bool:
        """Add `amount` to the place and its networks. Returns False, and adds nothing, where one of them has no
        room.
        """
        if self.full(place, amount) is not None:
            return False
        self.add(place, amount)
        return True

    def add(self, place: str, amount: int = 1) -> None:
        """Add `amount` to the place and its networks without asking whether it fits."""
        self.taken += amount
        for network in self._counted(place):
            self._held[network] = self._held.get(network, 0) + amount

    def give(self, place: str, amount: int = 1) -> None:
        """Take back `amount`, which was added for the place before."""
        self.taken -= amount
        for network in self._counted(place):
            left = self._held[network] - amount
            if left:
                self._held[network] = left
            else:
                del self._held[network]

    def held(self, network: str) -> int:
        """Return the amount that a place or network has now."""
        return self._held.get(network, 0)

    def _bounds(self, place: str) -> tuple[tuple[str, float], ...]:
        more = self._more.get(place, 0)
        return ((place, self._place_bound + more),) if more else bounds(place, self._place_bound)

    def _counted(self, place: str) -> tuple[str, ...]:
        return (place,) if self._more.get(place, 0) else networks(place)
