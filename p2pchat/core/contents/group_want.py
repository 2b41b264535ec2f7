"""A group want: messages of a group that the sender knows of and has not got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import EpochId, GroupId, MemberId

MAX_WANTED = 64


class MessagePlace(NamedTuple):
    """Which message of a group: its epoch, its author, and its number in the author's chain."""

    epoch: EpochId
    member: MemberId
    number: int


_ONE_PLACE = codec.array(codec.binary(32), codec.binary(8), codec.uint(codec.U32))


def _place(value: Any) -> MessagePlace:
    return MessagePlace(*_ONE_PLACE(value))


_SHAPE = codec.array(codec.binary(32), codec.listing(_place, MAX_WANTED), open_end=True)


@dataclass(frozen=True, slots=True)
class GroupWant(Payload):
    """places: at most 64 messages, which the recipient is asked for."""

    KIND = Kind(33, "group_want", deferred=True)
    group: GroupId
    places: tuple[MessagePlace, ...]

    def encode(self) -> list[object]:
        """Return [group, [[epoch, member, number], …]]."""
        return [self.group, list(map(list, self.places))]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, [[epoch, member, number], …]]. Raises CannotOpen."""
        group, places = _SHAPE(value)
        return cls(group, places)
