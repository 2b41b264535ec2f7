"""A reset: the content of a first message that renews a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import array, binary
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.ids import SessionId
from p2pchat.core.primitives import KEY_BYTES

_SHAPE = array(binary(KEY_BYTES), open_end=True)


@dataclass(frozen=True, slots=True)
class Reset(Payload):
    """`session_id`: the session that the new one replaces."""

    KIND = Kind(12, "reset", in_session=False)
    session_id: SessionId

    def encode(self) -> list[object]:
        """Return [session id] of the session that ends."""
        return [self.session_id]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [session id]. Raises CannotOpen."""
        return cls(_SHAPE(value)[0])
