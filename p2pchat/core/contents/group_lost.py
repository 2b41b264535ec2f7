"""A group lost: the sender is a member of a group and cannot read it any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import GroupId

_SHAPE = codec.array(codec.binary(32), open_end=True)


@dataclass(frozen=True, slots=True)
class GroupLost(Payload):
    """group: in which the sender asks the recipient, who manages it, for new keys and the log."""

    KIND = Kind(31, "group_lost", deferred=True)
    group: GroupId

    def encode(self) -> list[object]:
        """Return [group]."""
        return [self.group]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group]. Raises CannotOpen."""
        (group,) = _SHAPE(value)
        return cls(group)
