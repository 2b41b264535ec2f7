"""Message ids, growing over restarts whatever the clock does."""

from __future__ import annotations

from threading import Lock

from p2pchat.core.content import MESSAGE_ID, new_message_id, newest_message_id
from p2pchat.core.ids import MessageId
from p2pchat.core.primitives import Random
from p2pchat.lib.times import DAY_MS
from p2pchat.store import meta
from p2pchat.store.database import Database

_TIME = 6
_STEP = 6
"""Random bytes of a step, of the ten of chance: a millisecond has room for far more ids than can be made in it."""
_KEY = "greatest_message_id"
_AHEAD_MS = 60_000
"""What is kept is this far ahead of the ids in use, so that it is written once a minute and not in every
transaction.
"""
_MAX_AHEAD_MS = 2 * DAY_MS
"""After a clock that was years ahead, ids go on from here: readers believe one for tomorrow at most (`news.is_new`)."""


class MessageIds:
    """Each id is greater than all before it, also within one millisecond, after a restart, and whatever the clock does:
    of two contents of one kind the newer counts, and the ids say which it is. Steps are random, as RFC 9562 §6.2,
    method 2. Any thread.

    kept: what `save` wrote in an earlier run.
    """

    def __init__(self, random: Random, kept: bytes | None = None) -> None:
        self._random = random
        self._kept = MessageId(kept or bytes(MESSAGE_ID))
        self._last = self._kept
        self._begun = False
        self._lock = Lock()

    def new(self, now: int) -> MessageId:
        """Return the next id; `now` in ms."""
        with self._lock:
            if not self._begun:
                self._begun = True
                self._last = min(self._last, newest_message_id(now + _MAX_AHEAD_MS))
            fresh = new_message_id(now, self._random)
            self._last = fresh if fresh[:_TIME] > self._last[:_TIME] else self._above()
            return self._last

    def save(self, db: Database) -> None:
        """Keep a bound that no id made so far is above; in the transaction of what uses them."""
        with self._lock:
            if not self._begun:
                return
            used = int.from_bytes(self._last[:_TIME], "big")
            kept = int.from_bytes(self._kept[:_TIME], "big")
            if kept - _MAX_AHEAD_MS - _AHEAD_MS <= used < kept:
                return
            self._kept = newest_message_id(used + _AHEAD_MS)
        meta.put(db, _KEY, self._kept)

    def unsaved(self) -> None:
        """Save again what `save` wrote: it is undone."""
        self._kept = MessageId(bytes(MESSAGE_ID))

    def _above(self) -> MessageId:
        step = 1 + int.from_bytes(self._random(_STEP), "big")
        above = min(int.from_bytes(self._last, "big") + step, (1 << 8 * MESSAGE_ID) - 1)
        return MessageId(above.to_bytes(MESSAGE_ID, "big"))
