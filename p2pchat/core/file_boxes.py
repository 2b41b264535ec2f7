"""Shared file boxes: where a file lies that was sent to a group (docs/protocol/files.md).

Whoever has the message has the file's key, and by it the key that fetches. Only the sender has the one that puts, which
alone may delete. So relays see one box that many read, and nobody in the group can take a file from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from p2pchat.core import codec, mailbox
from p2pchat.core import primitives as prim
from p2pchat.core.ids import PeerKey
from p2pchat.core.relays import OwnQueue, TheirQueue
from p2pchat.errors import CannotOpen

MAX_BOXES = 3
MAX_ADDRESS = 128
MAX_TOKEN = 64


class BoxRelay(NamedTuple):
    """A relay that has a file: its transport key, a packed address, and its token or b""."""

    peer: PeerKey
    address: bytes
    token: bytes


_RELAY = codec.array(
    codec.binary(prim.KEY_BYTES), codec.binary_upto(MAX_ADDRESS, 1), codec.binary_upto(MAX_TOKEN), open_end=True
)
_SHAPE = codec.array(codec.binary(prim.KEY_BYTES), codec.listing(_RELAY, MAX_BOXES), open_end=True)
MAX_BYTES = 64 + MAX_BOXES * (prim.KEY_BYTES + MAX_ADDRESS + MAX_TOKEN + 16)


@dataclass(frozen=True, slots=True, repr=False)
class SharedBoxes:
    """Where a file lies. put: the public key of whoever puts it there."""

    put: bytes
    relays: tuple[BoxRelay, ...] = ()

    def value(self) -> list[Any]:
        """Return [put, relays], as in the message."""
        return [self.put, [list(relay) for relay in self.relays]]

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read [put, relays]. Raises CannotOpen."""
        put, relays = _SHAPE(value)
        read = tuple(BoxRelay(PeerKey(peer), address, token) for peer, address, token in relays)
        if len({relay.peer for relay in read}) < len(read):
            raise CannotOpen
        return cls(put, read)

    def encode(self) -> bytes:
        """Return it as it is stored."""
        return codec.encode(self.value())

    @classmethod
    def decode(cls, stored: bytes) -> Self:
        """Return what `encode` made."""
        return cls.read(codec.decode(stored, MAX_BYTES))


NOWHERE = SharedBoxes(bytes(prim.KEY_BYTES))
"""Of a file in a group that lies at no relay: only members give it."""


def fetch_seed(key: bytes, relay: PeerKey) -> bytes:
    """Return the seed of the key that fetches a file at a relay. key: of the file."""
    return prim.hkdf(key, "file box", prim.KEY_BYTES, context=relay)


def box_to_read(key: bytes, boxes: SharedBoxes, relay: PeerKey) -> OwnQueue:
    """Return the box of a file at a relay, for whoever fetches."""
    return OwnQueue(fetch_seed(key, relay), boxes.put, mailbox.SHARED_FILES)


def box_to_put(fetch: bytes, put_seed: bytes) -> TheirQueue:
    """Return the box of a file, for its sender. fetch: the public key that fetches there."""
    return TheirQueue(fetch, put_seed, mailbox.SHARED_FILES)


def fetch_keys(key: bytes, relays: Sequence[BoxRelay]) -> list[bytes]:
    """Return the public keys that fetch a file, relay by relay."""
    return [prim.sign_public(fetch_seed(key, relay.peer)) for relay in relays]
