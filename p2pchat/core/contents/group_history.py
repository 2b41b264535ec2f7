"""A group history: a part of what was written before the recipient was a member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.groups.parts import Part, read_part


@dataclass(frozen=True, slots=True)
class GroupHistory(Payload):
    """part: of a history (`welcome.open_history`)."""

    KIND = Kind(26, "group_history", deferred=True)
    part: Part

    def encode(self) -> list[object]:
        """Return [hashes, which, data]."""
        return self.part.fields()

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [hashes, which, data]. Raises CannotOpen."""
        return cls(read_part(value))
