"""How much strangers may have of a relay, besides what it keeps (`store.Quota`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`token`: what every client must say first; None: open to all. `stamp_bits`: the price of a deposit at an invite.
    `longest_hours`: how long anything is kept. Puts: how many one connection may make, at once and a second.
    """

    token: bytes | None = None
    stamp_bits: int = 18
    longest_hours: int = 30 * 24
    puts_burst: int = 20_000
    puts_a_second: float = 1000.0


class Bucket:
    """A token bucket: `burst` at once, then so many a second."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, burst: int, a_second: float) -> None:
        self._burst = burst
        self._rate = a_second
        self._left = float(burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more is allowed at `now` (seconds)."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
