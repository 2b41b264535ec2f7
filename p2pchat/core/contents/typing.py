"""Typing: the sender is writing, or has stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload

_SHAPE = codec.array(codec.boolean, open_end=True)


@dataclass(frozen=True, slots=True)
class Typing(Payload):
    """`writing`: whether the sender is writing at this moment."""

    KIND = Kind(6, "typing", receipted=False, fleeting=True)
    writing: bool

    def encode(self) -> list[object]:
        """Return [writing]."""
        return [self.writing]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [writing]. Raises CannotOpen."""
        return cls(_SHAPE(value)[0])
