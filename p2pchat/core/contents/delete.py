"""A delete: one of the sender's own messages is to be deleted on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.target import TARGET
from p2pchat.core.ids import MessageId
from p2pchat.errors import CannotOpen

_MAX_SEQ = 1 << 53
_SHAPE = codec.array(TARGET, codec.uint(_MAX_SEQ), open_end=True)


@dataclass(frozen=True, slots=True)
class Delete(Payload):
    """message: the id of one of the sender's messages. seq: its number in the chat, so that it does not count as
    missing if it never arrives.
    """

    KIND = Kind(2, "delete", in_group=True)
    message: MessageId
    seq: int

    def encode(self) -> list[object]:
        """Return [message id, seq]."""
        return [self.message, self.seq]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [message id, seq]. Raises CannotOpen."""
        message, seq, *_ = _SHAPE(value)
        if seq == 0:
            raise CannotOpen
        return cls(message, seq)
