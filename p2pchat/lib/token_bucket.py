"""A token bucket: how much of something is allowed now."""

from __future__ import annotations


class TokenBucket:
    """`burst` at once, then `rate` a second. Times are seconds that only rise."""

    __slots__ = ("_at", "_left", "burst", "rate")

    def __init__(self, burst: float, rate: float) -> None:
        self.burst = burst
        self.rate = rate
        self._left = float(burst)
        self._at: float | None = None

    def left(self, now: float) -> float:
        """Return how much is allowed at `now`, in seconds of whatever clock the caller goes by."""
        if self._at is not None:
            left = self._left + (now - self._at) * self.rate
            self._left = left if left < self.burst else self.burst
        self._at = now
        return self._left

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Use `amount` and return True if that is allowed at `now` (seconds)."""
        if self.left(now) < amount:
            return False
        self._left -= amount
        return True

    def give(self, amount: float) -> None:
        """Give back an unused amount. A negative amount is used even if that is more than is left."""
        left = self._left + amount
        self._left = left if left < self.burst else self.burst
