"""A hiding: a message of a group is taken away for all by a moderator or somebody senior, who says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.target import TARGET
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import MemberId, MessageId

MAX_REASON_BYTES = 256
_SHAPE = codec.array(TARGET, codec.binary(MEMBER_ID_BYTES), codec.text(MAX_REASON_BYTES), open_end=True)


@dataclass(frozen=True, slots=True)
class Hide(Payload):
    """message, member: which message, by its id and its author. reason: not cleaned, "" for none."""

    KIND = Kind(32, "hide", in_group=True)
    message: MessageId
    member: MemberId
    reason: str

    def encode(self) -> list[object]:
        """Return [message id, member, reason]."""
        return [self.message, self.member, self.reason]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [message id, member, reason]. Raises CannotOpen."""
        message, member, reason, *_ = _SHAPE(value)
        return cls(message, member, reason)
