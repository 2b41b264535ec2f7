"""How fast a file moves, and when its faces are told of it again."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 3.0
"""The rate is that of these last seconds."""
TELL_EVERY_SECONDS = 0.25
"""At most four events a second for one file."""


class FileMeter:
    """Measures one file as it moves. Times are in seconds of any clock that only rises."""

    __slots__ = ("_moved", "_samples", "_told_at")

    def __init__(self) -> None:
        self._moved = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._told_at = -TELL_EVERY_SECONDS

    def moved(self, size: int, now: float) -> None:
        """Note that so many bytes more have moved."""
        self._moved += size
        if not self._samples or now - self._samples[-1][0] >= TELL_EVERY_SECONDS / 2:
            self._samples.append((now, self._moved))
        self._drop(now)

    def rate(self, now: float) -> int | None:
        """Return the bytes per second of late; None where nothing has moved."""
        self._drop(now)
        if not self._samples:
            return None
        began, before = self._samples[0]
        return None if now - began < TELL_EVERY_SECONDS else round((self._moved - before) / (now - began))

    def moves(self, now: float) -> bool:
        """Return whether anything has moved of late."""
        self._drop(now)
        return bool(self._samples)

    @property
    def moved_before(self) -> bool:
        """Whether anything has moved since it was made."""
        return self._moved > 0

    def is_due(self, now: float) -> bool:
        """Return whether faces may be told now; if so, note that they are."""
        if now - self._told_at < TELL_EVERY_SECONDS:
            return False
        self._told_at = now
        return True

    def _drop(self, now: float) -> None:
        while self._samples and now - self._samples[0][0] > WINDOW_SECONDS:
            self._samples.popleft()
