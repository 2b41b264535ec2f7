"""How much a bot may say in reply to one chat.

Two bots that answer each other would do so for ever. A bucket for each chat ends that: a text takes one token, tokens
come back evenly over a minute, and without a token the text is refused, not delayed. So the last reply is missing, and
with it the reason for the next one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from p2pchat import errors
from p2pchat.lib.token_bucket import TokenBucket

MAX_CHATS = 1000
"""The most chats remembered; a chat that is dropped has a full bucket again."""


class TooFast(errors.NotNow):
    """Too many texts in reply to one chat within a minute."""

    hint = "Send less, or give the bot a higher `per_minute`."


class RateLimit:
    """A bucket of `per_minute` tokens for each chat. `clock`: seconds that only rise."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        if per_minute < 1:
            raise errors.UsageError("per_minute must be at least 1")
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, chat: str) -> None:
        """Take a token. Raises TooFast if there is none."""
        bucket = self._buckets.get(chat)
        if bucket is None:
            bucket = self._buckets[chat] = TokenBucket(self._per_minute, self._per_minute / 60)
        if not bucket.take(self._clock()):
            raise TooFast()
        self._buckets.move_to_end(chat)
        if len(self._buckets) > MAX_CHATS:
            self._buckets.popitem(last=False)
