"""How long to wait between failed attempts."""

from __future__ import annotations

from collections.abc import Callable


def jittered(seconds: float, random: Callable[[int], bytes]) -> float:
    """Return between half and the whole of `seconds`, so that many nodes do not dial in step.

    random: gives so many random bytes.
    """
    return seconds * (0.5 + int.from_bytes(random(2), "big") / 131_072)


class Backoff:
    """Pauses in seconds: `first`, then each twice as long as the one before, at most `longest`.

    random: with it every pause is jittered.
    """

    def __init__(self, first: float, longest: float, random: Callable[[int], bytes] | None = None) -> None:
        self._first = first
        self._longest = longest
        self._random = random
        self._next = first

    def pause(self) -> float:
        """Return how many seconds to wait now; the next pause is twice as long."""
        seconds, self._next = self._next, min(2 * self._next, self._longest)
        return seconds if self._random is None else jittered(seconds, self._random)

    def reset(self) -> None:
        """Begin with the first pause again: an attempt succeeded."""
        self._next = self._first
