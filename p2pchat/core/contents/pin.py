"""A pin: a message is shown at the top of the chat on both sides, or not any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.target import AUTHOR, TARGET, member_in
from p2pchat.core.ids import MemberId, MessageId

_SHAPE = codec.array(TARGET, AUTHOR, codec.boolean, open_end=True)


@dataclass(frozen=True, slots=True)
class Pin(Payload):
    """message, author, member: which message, see `target`. pinned: whether it is pinned from now on."""

    KIND = Kind(19, "pin", in_group=True)
    message: MessageId
    author: int
    pinned: bool
    member: MemberId | None = None

    def encode(self) -> list[object]:
        """Return [message id, author, pinned], and in a group the author's id."""
        return [self.message, self.author, self.pinned, *([] if self.member is None else [self.member])]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [message id, author, pinned]. Raises CannotOpen."""
        message, author, pinned = _SHAPE(value)
        return cls(message, author, pinned, member_in(value[3:]))
