"""Cutting what is too long for one item or one content into parts, which `store.groups.items` joins again.

Every part names all parts of its whole by their hashes, so a part that does not belong to it cannot take the place of
one that does, whoever sends it. Parts may come in any order and several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2pchat.core import primitives as prim
from p2pchat.core.codec import array, binary, binary_upto, listing, uint
from p2pchat.errors import CannotOpen

MAX_PARTS = 96
MAX_WHOLE = 6_000_000
HASH_BYTES = 16
"""Enough against whoever wants to put a part in the place of another's. Who makes two with one hash spoils what they
sent themselves."""
_MAX_PART_BYTES = 65_536
_FRAME_BYTES = 16
"""What the fields of a part take besides the hashes and the data, with room for a kind before them."""
_TOO_LONG = "too long, even in parts"


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """One part. hashes: of all parts of the whole, 16 bytes each, at most 96. which: the place of this one, from 0."""

    hashes: tuple[bytes, ...]
    which: int
    data: bytes

    @property
    def whole(self) -> bytes:
        """The 32 bytes that name what this is a part of."""
        return prim.blake2b(b"".join(self.hashes), b"p2pchat1 whole")

    def fields(self) -> list[object]:
        """Return [hashes, which, data], as on the wire."""
        return [list(self.hashes), self.which, self.data]


def cut(data: bytes, part_bytes: int) -> tuple[Part, ...]:
    """Cut `data` into parts of at most `part_bytes` bytes. Raises ValueError if there would be more than `MAX_PARTS`,
    or more than `MAX_WHOLE` bytes.
    """
    pieces = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]
    if not 1 <= len(pieces) <= MAX_PARTS or len(data) > MAX_WHOLE:
        raise ValueError(_TOO_LONG)
    hashes = tuple(_hash(piece) for piece in pieces)
    return tuple(Part(hashes, which, piece) for which, piece in enumerate(pieces))


def part_room(room: int, whole_bytes: int) -> int:
    """Return how many bytes of data to put into each part, if an encoded part may have `room` bytes. Raises ValueError
    if the whole needs more than `MAX_PARTS`.
    """
    for count in range(1, MAX_PARTS + 1):
        data = room - _FRAME_BYTES - count * (HASH_BYTES + 2)
        if data > 0 and count * data >= whole_bytes:
            return data
    raise ValueError(_TOO_LONG)


_FIELDS = array(
    listing(binary(HASH_BYTES), MAX_PARTS), uint(MAX_PARTS - 1), binary_upto(_MAX_PART_BYTES, 1), open_end=True
)


def read_part(fields: Any) -> Part:
    """Return the part with these decoded fields, its hash checked. Further fields are ignored. Raises CannotOpen."""
    hashes, which, data, *_ = _FIELDS(fields)
    part = Part(hashes, which, data)
    if which >= len(hashes) or not prim.equal(hashes[which], _hash(data)):
        raise CannotOpen
    return part


def _hash(data: bytes) -> bytes:
    return prim.blake2b(data, b"p2pchat1 part", HASH_BYTES)
