"""A receipt: which contents were delivered, or which messages were read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import U8, array, binary, listing, uint
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import MessageId

DELIVERED, READ = 0, 1
MAX_RECEIPTS = 64
MESSAGE_ID_BYTES = 16
_SHAPE = array(uint(U8), listing(binary(MESSAGE_ID_BYTES), MAX_RECEIPTS), open_end=True)


@dataclass(frozen=True, slots=True)
class Receipt(Payload):
    """`event`: `DELIVERED` or `READ`; another number counts as delivered. `ids`: at most 64 message ids."""

    KIND = Kind(5, "receipt", receipted=False)
    event: int
    ids: tuple[MessageId, ...]

    def encode(self) -> list[object]:
        """Return [event, ids]: what happened, and the messages it happened to."""
        return [self.event, list(self.ids)]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [event, ids]. Raises CannotOpen."""
        event, ids, *_ = _SHAPE(value)
        return cls(event, ids)
