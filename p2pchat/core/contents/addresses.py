"""Addresses: where the sender can be dialled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import array, binary, binary_upto, listing, maybe
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.queues import MAX_ADDRESS_BYTES
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import KEY_BYTES

MAX_OWN_WAYS = 4
WAYS_SHAPE = listing(array(binary(KEY_BYTES), binary_upto(MAX_ADDRESS_BYTES, least=1)), MAX_OWN_WAYS)
_SHAPE = array(WAYS_SHAPE, open_end=True)
_NEXT_SHAPE = array(WAYS_SHAPE, maybe(binary(KEY_BYTES)), open_end=True)

Ways = tuple[tuple[PeerKey, bytes], ...]
"""(transport key, packed address), best first."""


def encode_ways(ways: Iterable[tuple[PeerKey, bytes]]) -> list[object]:
    """Return the first four in the form of a payload."""
    return [*[list(way) for way in ways][:MAX_OWN_WAYS]]


@dataclass(frozen=True, slots=True, repr=False)
class Addresses(Payload):
    """The sender's ways, at most four. A new list replaces the old one; an empty one changes nothing. next: the
    transport key that will take the place of the one in them, at the same addresses, if it is known.
    """

    KIND = Kind(16, "addresses", latest_only=True)
    ways: Ways
    next: PeerKey | None = None

    def encode(self) -> list[object]:
        """Return [ways], a list of [transport key, packed address], or [ways, next]."""
        return [encode_ways(self.ways)] if self.next is None else [encode_ways(self.ways), self.next]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Decode [ways] or [ways, next]. Raises CannotOpen."""
        ways = _SHAPE(value)[0]
        return cls(ways, _NEXT_SHAPE(value)[1] if len(value) > 1 else None)
