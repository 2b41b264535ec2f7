"""A reaction: an emoji under a message, one for each person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.target import AUTHOR, TARGET, member_in
from p2pchat.core.emoji import MAX_EMOJI_BYTES, is_emoji
from p2pchat.core.ids import MemberId, MessageId
from p2pchat.errors import CannotOpen

_SHAPE = codec.array(TARGET, AUTHOR, codec.text(MAX_EMOJI_BYTES), open_end=True)


@dataclass(frozen=True, slots=True)
class Reaction(Payload):
    """message, author, member: which message, see `target`. emoji: replaces the one before; "" removes it."""

    KIND = Kind(3, "reaction", in_group=True)
    message: MessageId
    author: int
    emoji: str
    member: MemberId | None = None

    def encode(self) -> list[object]:
        """Return [message id, author, emoji], and in a group the author's id."""
        return [self.message, self.author, self.emoji, *([] if self.member is None else [self.member])]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [message id, author, emoji]. Raises CannotOpen."""
        message, author, emoji = _SHAPE(value)
        if emoji and not is_emoji(emoji):
            raise CannotOpen
        return cls(message, author, emoji, member_in(value[3:]))
