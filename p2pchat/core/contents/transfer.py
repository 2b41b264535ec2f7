"""A transfer: what one side says about a file that was sent, as it goes on or ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.target import TARGET
from p2pchat.core.ids import MessageId

_SHAPE = codec.array(TARGET, codec.uint(codec.U8), open_end=True)


class TransferNews(IntEnum):
    """What is said: the first three by the recipient of a file, the last by its sender."""

    WHOLE = 0
    DECLINED = 1
    WANTED = 2
    WITHDRAWN = 3


@dataclass(frozen=True, slots=True)
class Transfer(Payload):
    """message: the file message. news: a `TransferNews`; another number says nothing."""

    KIND = Kind(20, "transfer", in_group=True)
    message: MessageId
    news: int

    def encode(self) -> list[object]:
        """Return [message id, state]."""
        return [self.message, self.news]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [message id, state]. Raises CannotOpen."""
        message, news, *_ = _SHAPE(value)
        return cls(message, news)
