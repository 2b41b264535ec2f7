"""A reaction: an emoji under a message, one for each person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.target import AUTHOR, TARGET
from p2pchat.core.emoji import MAX_EMOJI_BYTES, is_emoji
from p2pchat.core.ids import MessageId
from p2pchat.errors import CannotOpen

_SHAPE = codec.array(TARGET, AUTHOR, codec.text(MAX_EMOJI_BYTES), open_end=True)


@dataclass(frozen=True, slots=True)
class Reaction(Payload):
    """message, author: which message, see `target`. emoji: replaces the one before; "" removes it."""

    KIND = Kind(3, "reaction")
    message: MessageId
    author: int
    emoji: str

    def encode(self) -> list[object]:
        """Return [message id, author, emoji]."""
        return [self.message, self.author, self.emoji]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [message id, author, emoji]. Raises CannotOpen."""
        message, author, emoji, *_ = _SHAPE(value)
        if emoji and not is_emoji(emoji):
            raise CannotOpen
        return cls(message, author, emoji)
