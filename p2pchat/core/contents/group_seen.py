"""A group seen: which messages of the recipient in a group the sender has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import GroupId
from p2pchat.errors import CannotOpen

_NUMBER = codec.uint(1 << 53)
_SHAPE = codec.array(codec.binary(32), _NUMBER, _NUMBER, open_end=True)


@dataclass(frozen=True, slots=True)
class GroupSeen(Payload):
    """first, last: the range of their numbers (`Content.seq`), 1 at least."""

    KIND = Kind(34, "group_seen", receipted=False, deferred=True)
    group: GroupId
    first: int
    last: int

    def encode(self) -> list[object]:
        """Return [group, first, last]."""
        return [self.group, self.first, self.last]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, first, last]. Raises CannotOpen."""
        group, first, last = _SHAPE(value)
        if not 1 <= first <= last:
            raise CannotOpen
        return cls(group, first, last)
