"""How much a channel may make us store: whoever writes it, and the relays that hand it out, are strangers."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core.channels.posts import FeedHead, Post
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.lib.token_bucket import TokenBucket

DAILY_BYTES = 32 << 20
"""Bytes of posts that one relay may bring of one channel in a day."""
POST_BYTES = 512
"""Bytes that a post counts for besides its body."""
HEAD_BYTES = 8_192
"""Bytes that a head counts for: each is a transaction, and may change whose feeds are read."""


class Intake:
    """The allowance of one relay of a channel: what it repeats counts too, so that it costs the others nothing. Times
    are seconds that nobody can set.
    """

    def __init__(self) -> None:
        self._bucket = TokenBucket(DAILY_BYTES, DAILY_BYTES / DAY_SECONDS)

    def take(self, head: FeedHead | None, posts: Sequence[Post], now: float) -> bool:
        """Return whether a head and these posts may be taken now, and if so, count them."""
        size = sum(POST_BYTES + post.header.size for post in posts)
        return self._bucket.take(now, size if head is None else size + HEAD_BYTES)
