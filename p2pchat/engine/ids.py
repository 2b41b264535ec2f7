"""Message ids as one process makes them."""

from __future__ import annotations

from threading import Lock

from p2pchat.core.content import MESSAGE_ID, new_message_id
from p2pchat.core.primitives import Random

_TIME = 6
_STEP = 6
"""Random bytes of a step, of the ten of chance: a millisecond has room for far more ids than can be made in it."""


class MessageIds:
    """Each id is greater than all before it, also within one millisecond and whatever the clock does: of two contents
    of one kind the newer counts, and the ids say which it is. Steps are random, as RFC 9562 §6.2, method 2. Any thread.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._last = bytes(MESSAGE_ID)
        self._lock = Lock()

    def new(self, now: int) -> bytes:
        """The next id; `now` in ms."""
        with self._lock:
            fresh = new_message_id(now, self._random)
            self._last = fresh if fresh[:_TIME] > self._last[:_TIME] else self._above()
            return self._last

    def _above(self) -> bytes:
        step = 1 + int.from_bytes(self._random(_STEP), "big")
        return (int.from_bytes(self._last, "big") + step).to_bytes(MESSAGE_ID, "big")
