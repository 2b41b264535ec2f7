"""A group item: what was said in a group, passed on to a member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.groups.items import SIZES
from p2pchat.core.ids import GroupId, MemberId
from p2pchat.errors import CannotOpen

MAX_KNOWN = 8
_KNOWN = codec.listing(codec.binary(8), MAX_KNOWN)
_SHAPE = codec.array(codec.binary(32), codec.binary_upto(SIZES[-1]), _KNOWN, open_end=True)


@dataclass(frozen=True, slots=True)
class GroupItem(Payload):
    """sealed: an item, of one of its sizes (`items.open_item`). known: members who have it or get it from the sender,
    so that nobody else passes it on to them; in groups of more than 8, some of them.
    """

    KIND = Kind(24, "group_item", deferred=True)
    group: GroupId
    sealed: bytes
    known: tuple[MemberId, ...] = ()

    def encode(self) -> list[object]:
        """Return [group, item, [member, …]]."""
        return [self.group, self.sealed, list(self.known)]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, item, [member, …]]. Raises CannotOpen."""
        group, sealed, known = _SHAPE(value)
        if len(sealed) not in SIZES:
            raise CannotOpen
        return cls(group, sealed, known)
