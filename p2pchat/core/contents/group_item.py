"""A group item: what was said in a group, passed on to a member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.groups.items import SIZES
from p2pchat.core.ids import GroupId
from p2pchat.errors import CannotOpen

_SHAPE = codec.array(codec.binary(32), codec.binary_upto(SIZES[-1]), open_end=True)


@dataclass(frozen=True, slots=True)
class GroupItem(Payload):
    """sealed: an item, of one of its sizes (`items.open_item`)."""

    KIND = Kind(24, "group_item")
    group: GroupId
    sealed: bytes

    def encode(self) -> list[object]:
        """Return [group, item]."""
        return [self.group, self.sealed]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, item]. Raises CannotOpen."""
        group, sealed, *_ = _SHAPE(value)
        if len(sealed) not in SIZES:
            raise CannotOpen
        return cls(group, sealed)
