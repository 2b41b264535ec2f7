"""How much of a group's logs a relay may have us read: it is a stranger, and each member can fill the log of an epoch.

What it repeats counts too, since nobody sees that it is a repetition before it was read. In a day a group of 5,000 with
20,000 messages and 400 new keys comes to two fifths of what a day allows; who was away for the two weeks for which
relays keep it has to read it all at once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from p2pchat.core.ids import ChatId, RelayName
from p2pchat.lib.times import DAY_SECONDS, HOUR_SECONDS
from p2pchat.lib.token_bucket import TokenBucket

DAILY_BYTES = 512 << 20
"""Bytes of one group that one relay may bring in a day in the long run,"""
AT_ONCE_BYTES = 4 * DAILY_BYTES
"""and at once."""
CALL_BYTES = 4_096
"""Bytes that what comes together counts for besides its items, also if there are none: it is a transaction."""
PAUSE_SECONDS = HOUR_SECONDS
"""Seconds for which a relay is not asked for a group's logs after it has brought more."""
MORE_THAN_A_DAY = "A relay of this group hands out more than this node reads in a day. It is read on in an hour or two."

log = logging.getLogger(__name__)

_Brought = tuple[ChatId, RelayName]


class LogIntake:
    """The allowance of each relay of each group. Times are seconds that nobody can set."""

    def __init__(self) -> None:
        self._buckets: dict[_Brought, TokenBucket] = {}
        self._until: dict[_Brought, float] = {}

    def take(self, chat: ChatId, relay: RelayName, items: Sequence[tuple[int, bytes]], now: float) -> bool:
        """Return whether a relay may bring these items of a group now, and if so, count them; else none of them for a
        while.
        """
        bucket = self._buckets.setdefault((chat, relay), TokenBucket(AT_ONCE_BYTES, DAILY_BYTES / DAY_SECONDS))
        if bucket.take(now, CALL_BYTES + sum(len(item) for _, item in items)):
            return True
        log.warning("a relay hands out more of the logs of a group than is read in a day")
        self._until[chat, relay] = now + PAUSE_SECONDS
        return False

    def may_bring(self, chat: ChatId, relay: RelayName, now: float) -> bool:
        """Return whether a relay is asked for a group's logs now."""
        return now >= self._until.get((chat, relay), now)

    def problem(self, chat: ChatId, now: float) -> str:
        """Return what is wrong with the relays of a group, "" if nothing is."""
        return MORE_THAN_A_DAY if any(of == chat and until > now for (of, _), until in self._until.items()) else ""

    def keep(self, chats: Collection[ChatId]) -> None:
        """Forget all groups but these."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[0] in chats}
        self._until = {key: until for key, until in self._until.items() if key[0] in chats}
