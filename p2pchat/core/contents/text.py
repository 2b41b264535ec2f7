"""A text: what people write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.text import MAX_TEXT_BYTES

_SHAPE = codec.array(codec.text(MAX_TEXT_BYTES), open_end=True)


@dataclass(frozen=True, slots=True, repr=False)
class Text(Payload):
    """`written`: at most 48,000 bytes of UTF-8, kept byte for byte and cleaned where it is shown."""

    KIND = Kind(0, "text", visible=True)
    written: str

    def encode(self) -> list[object]:
        """Return [text]."""
        return [self.written]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [text]. Raises CannotOpen."""
        return cls(_SHAPE(value)[0])

    def text(self) -> str:
        """Return what was written."""
        return self.written
