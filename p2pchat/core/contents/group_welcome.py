"""A group welcome: a part of what a new member needs to read the group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.groups.parts import Part, read_part


@dataclass(frozen=True, slots=True)
class GroupWelcome(Payload):
    """part: of a `welcome.Welcome`."""

    KIND = Kind(23, "group_welcome", deferred=True)
    part: Part

    def encode(self) -> list[object]:
        """Return [hashes, which, data]."""
        return self.part.fields()

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [hashes, which, data]. Raises CannotOpen."""
        return cls(read_part(value))
