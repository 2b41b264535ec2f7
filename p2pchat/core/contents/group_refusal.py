"""A group refusal: the recipient does not become a member, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import GroupId

_SHAPE = codec.array(codec.binary(32), codec.uint(codec.U8), open_end=True)


class JoinRefusal(IntEnum):
    """Why somebody does not become a member."""

    DECLINED = 0
    CLOSED = 1
    FULL = 2
    NOT_NOW = 3


@dataclass(frozen=True, slots=True)
class GroupRefusal(Payload):
    """reason: a `JoinRefusal`; another number counts as declined."""

    KIND = Kind(27, "group_refusal", deferred=True)
    group: GroupId
    reason: int

    def encode(self) -> list[object]:
        """Return [group, reason]."""
        return [self.group, int(self.reason)]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, reason]. Raises CannotOpen."""
        group, reason, *_ = _SHAPE(value)
        return cls(group, reason)
