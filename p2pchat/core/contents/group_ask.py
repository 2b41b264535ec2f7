"""A group ask: the sender uses an invite to a group of the recipient's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core import primitives as prim
from p2pchat.core.contents.kind import Kind, Payload

_SHAPE = codec.array(codec.binary(prim.KEY_BYTES), open_end=True)


@dataclass(frozen=True, slots=True)
class GroupAsk(Payload):
    """mark: of the invite (`invite.invite_mark`)."""

    KIND = Kind(28, "group_ask", deferred=True)
    mark: bytes

    def encode(self) -> list[object]:
        """Return [mark]."""
        return [self.mark]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [mark]. Raises CannotOpen."""
        return cls(*_SHAPE(value)[:1])
