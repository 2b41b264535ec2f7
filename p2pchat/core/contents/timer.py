"""A timer: the messages of a chat disappear so many seconds after they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.lib.times import format_duration

MAX_TIMER_SECONDS = 366 * 86_400
_SHAPE = codec.array(codec.uint(MAX_TIMER_SECONDS), open_end=True)


@dataclass(frozen=True, slots=True)
class Timer(Payload):
    """seconds: how long a message stays; 0 means until it is deleted. The newest timer of either side counts."""

    KIND = Kind(7, "timer", visible=True, quiet=True)
    seconds: int

    def encode(self) -> list[object]:
        """Return [seconds]."""
        return [self.seconds]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [seconds]. Raises CannotOpen."""
        return cls(_SHAPE(value)[0])

    def text(self) -> str:
        """Return the line that the chat shows."""
        if not self.seconds:
            return "Messages no longer disappear."
        return f"Messages disappear {format_duration(self.seconds)} after they are read."
