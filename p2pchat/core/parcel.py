"""A parcel: what waits in an outbox, as a file that is carried by hand (docs/protocol/parcel.md).

It holds envelopes, as a relay would store them, each behind a tag by which only its recipient recognises it. How many
there are of each size is rounded up to a power of two by entries of random bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.envelope import BUCKETS
from p2pchat.errors import CannotOpen

MAGIC = b"p2pchat parcel 1"
SALT = 16
TAG = 16
HEADER_BYTES = len(MAGIC) + SALT + 2 * len(BUCKETS)
MIN_SMALL = 4
"""Entries of the smallest size in every parcel."""
MAX_BYTES = 64 * 2**20
"""Of a file; what is put into one is at most half of it, so that it can be rounded up."""


@dataclass(frozen=True, slots=True)
class Header:
    """The salt of a parcel, and how many entries it has of each size of envelope, in the order of `BUCKETS`."""

    salt: bytes
    counts: tuple[int, ...]

    @property
    def file_bytes(self) -> int:
        """The size of the whole file."""
        return HEADER_BYTES + sum(count * (TAG + size) for count, size in zip(self.counts, BUCKETS, strict=True))

    def entries(self) -> list[tuple[int, int]]:
        """Return (offset in the file, size of the envelope) of every entry; the tag is at the offset."""
        offset, places = HEADER_BYTES, []
        for count, size in zip(self.counts, BUCKETS, strict=True):
            for _ in range(count):
                places.append((offset, size))
                offset += TAG + size
        return places


def read_header(raw: bytes) -> Header:
    """Read the first `HEADER_BYTES` of a file. Raises CannotOpen for what is no parcel, or one that is too large."""
    if len(raw) != HEADER_BYTES or not raw.startswith(MAGIC):
        raise CannotOpen
    at = len(MAGIC) + SALT
    counts = tuple(int.from_bytes(raw[at + 2 * index : at + 2 * index + 2], "big") for index in range(len(BUCKETS)))
    header = Header(raw[len(MAGIC) : at], counts)
    if counts[0] < MIN_SMALL or any(count & (count - 1) for count in counts) or header.file_bytes > MAX_BYTES:
        raise CannotOpen
    return header


def tag_key(key: bytes, salt: bytes) -> bytes:
    """Return the 32-byte key of the tags in one parcel from one person to another.

    key: the hello key of the sender's side of the standing pair (`session.pair`).
    """
    return prim.hmac_sha256(key, b"parcel" + salt)


def tag(key: bytes, number: int) -> bytes:
    """Return the tag of the envelope with this number, counted from 0, under a `tag_key`."""
    return prim.hmac_sha256(key, number.to_bytes(4, "big"))[:TAG]


def packed(salt: bytes, envelopes: Mapping[bytes, Sequence[bytes]], random: Callable[[int], bytes]) -> list[bytes]:
    """Return a parcel in parts, to be written one after the other.

    salt: `SALT` new random bytes. envelopes: by hello key (see `tag_key`), those for each recipient, in order.
    """
    entries: dict[int, list[bytes]] = {size: [] for size in BUCKETS}
    for key, in_order in envelopes.items():
        tags = tag_key(key, salt)
        for number, envelope in enumerate(in_order):
            entries[len(envelope)].append(tag(tags, number) + envelope)
    for size, made in entries.items():
        made += [random(TAG + size) for _ in range(_rounded(len(made), size) - len(made))]
        made.sort()  # their order says nothing about whose they are, nor which are random
    counts = b"".join(len(made).to_bytes(2, "big") for made in entries.values())
    return [MAGIC + salt + counts, *(entry for made in entries.values() for entry in made)]


def _rounded(count: int, size: int) -> int:
    """Return the next power of two; 0 for none, except of the smallest size."""
    least = MIN_SMALL if size == BUCKETS[0] else min(count, 1)
    return max(least, 1 << (count - 1).bit_length() if count else 0)
