"""How much a channel may make us store: whoever writes it, and the relays that hand it out, are strangers."""

from __future__ import annotations

from p2pchat.core.channels.posts import Post
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.lib.token_bucket import TokenBucket

DAILY_BYTES = 32 << 20
"""Bytes of posts that one channel may bring in a day."""
POST_BYTES = 512
"""Bytes that a post counts for besides its body."""


class Intake:
    """The allowance of one channel. Times are seconds that nobody can set."""

    def __init__(self) -> None:
        self._bucket = TokenBucket(DAILY_BYTES, DAILY_BYTES / DAY_SECONDS)

    def take(self, posts: list[Post], now: float) -> bool:
        """Return whether these posts may be taken now, and if so, count them."""
        return self._bucket.take(now, sum(POST_BYTES + post.header.size for post in posts))
