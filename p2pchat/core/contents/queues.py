"""Queues: where to deposit for the sender at relays, and what those relays, and a few others, say of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import array, binary, binary_upto, listing, uint
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.descriptors import MAX_DESCRIPTOR
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.core.primitives import KEY_BYTES

MAX_QUEUES = 4
MAX_DESCRIPTORS = 4
MAX_ADDRESS_BYTES = 192
_MAX_TIME = 1 << 53
_QUEUE = array(
    binary(KEY_BYTES),
    binary_upto(MAX_ADDRESS_BYTES, least=1),
    binary_upto(MAX_TOKEN),
    binary(KEY_BYTES),
    binary(KEY_BYTES),
    uint(_MAX_TIME),
)
QUEUES_SHAPE = listing(_QUEUE, MAX_QUEUES)
_SHAPE = array(QUEUES_SHAPE, open_end=True)
_DESCRIPTORS = listing(binary_upto(MAX_DESCRIPTOR, least=1), MAX_DESCRIPTORS)


@dataclass(frozen=True, slots=True, repr=False)
class AnnouncedQueue:
    """A queue from which the sender collects: the relay's transport key, packed address and access token (b"": none),
    the public key for fetching, the seed of the key for depositing, and until when (ms) it is read at least.
    """

    relay: PeerKey
    address: bytes
    token: bytes
    fetch: bytes
    put_seed: bytes
    until: int


def encode_queues(queues: Iterable[AnnouncedQueue]) -> list[object]:
    """Return the first four in the form of a payload."""
    fields = [[queue.relay, queue.address, queue.token, queue.fetch, queue.put_seed, queue.until] for queue in queues]
    return [*fields[:MAX_QUEUES]]


def decode_queues(value: Any) -> tuple[AnnouncedQueue, ...]:
    """Return queues from a value that passed `QUEUES_SHAPE`."""
    return tuple(AnnouncedQueue(*fields) for fields in value)


@dataclass(frozen=True, slots=True, repr=False)
class Queues(Payload):
    """Where to deposit for the sender from now on, best first, at most four. An empty list means nowhere. descriptors:
    of relays, signed, not checked yet; at most four.
    """

    KIND = Kind(9, "queues", latest_only=True)
    queues: tuple[AnnouncedQueue, ...]
    descriptors: tuple[bytes, ...] = ()

    def encode(self) -> list[object]:
        """Return [queues], a list of the six fields of each, or [queues, descriptors]."""
        queues = encode_queues(self.queues)
        return [queues, list(self.descriptors)] if self.descriptors else [queues]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [queues] or [queues, descriptors]. Raises CannotOpen."""
        queues, *_ = _SHAPE(value)
        return cls(decode_queues(queues), _DESCRIPTORS(value[1]) if len(value) > 1 else ())
