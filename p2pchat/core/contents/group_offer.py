"""A group offer: the sender would add the recipient to a group, and asks for its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import GroupId

MAX_NAME_BYTES = 256
_SHAPE = codec.array(
    codec.binary(32), codec.text(MAX_NAME_BYTES), codec.uint(codec.U8), codec.boolean, codec.uint(codec.U32),
    open_end=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GroupOffer(Payload):
    """name: of the group, not cleaned. role: the level that the newcomer would get. asks: a member decides on the
    answer, so a few words are welcome. members: how many there are.
    """

    KIND = Kind(21, "group_offer", deferred=True)
    group: GroupId
    name: str
    role: int
    asks: bool
    members: int

    def encode(self) -> list[object]:
        """Return [group, name, role, asks, members]."""
        return [self.group, self.name, self.role, self.asks, self.members]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, name, role, asks, members]. Raises CannotOpen."""
        group, name, role, asks, members, *_ = _SHAPE(value)
        return cls(group, name, role, asks, members)
