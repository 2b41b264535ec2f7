"""A group meet: marks by which contacts of the sender, and nobody else, recognise which member of the group it is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core import primitives as prim
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import GroupId, MemberId

MARK_BYTES = 8
SIZES = (16, 64, 256)
"""How many marks there are, so that nobody can count the sender's contacts."""
_SHAPE = codec.array(codec.listing(codec.binary(MARK_BYTES), SIZES[-1]), open_end=True)


@dataclass(frozen=True, slots=True)
class GroupMeet(Payload):
    """marks: one for each contact (`mark_for`), and random ones."""

    KIND = Kind(29, "group_meet", in_group=True)
    marks: tuple[bytes, ...]

    def encode(self) -> list[object]:
        """Return [[mark, …]]."""
        return [list(self.marks)]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [[mark, …]]. Raises CannotOpen."""
        (marks,) = _SHAPE(value)
        return cls(marks)


def mark_for(pair: bytes, group: GroupId, member: MemberId) -> bytes:
    """Return the mark by which a contact recognises a member. pair: the 32-byte standing root of the two."""
    return prim.hkdf(pair, "grp meet", MARK_BYTES, context=group + member)


def with_random(marks: Collection[bytes], random: prim.Random) -> tuple[bytes, ...]:
    """Return at most `SIZES[-1]` marks, filled up to one of `SIZES`, in an order that says nothing."""
    kept = sorted(marks)[: SIZES[-1]]
    size = next(size for size in SIZES if size >= len(kept))
    return tuple(sorted([*kept, *(random(MARK_BYTES) for _ in range(size - len(kept)))]))
