"""A writer of a channel, for tests: makes posts and heads that are right, or wrong in one way."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core import primitives as prim
from p2pchat.core.channels import checkpoints
from p2pchat.core.channels.bodies import encode_body
from p2pchat.core.channels.posts import (
    NOTHING,
    ChannelWriter,
    Checkpoint,
    FeedHead,
    FeedName,
    Post,
    make_head,
    make_post,
)
from p2pchat.core.codec import decode, encode
from p2pchat.core.contents import Text
from p2pchat.core.ids import WriterKey

NOW = 1_700_000_000_000
SEED = bytes(range(32))
OTHER_SEED = bytes(range(1, 33))
KEY = prim.sign_public(SEED)
FEED = FeedName(KEY, WriterKey(KEY))
OTHER = FeedName(KEY, WriterKey(prim.sign_public(OTHER_SEED)))


class FeedWriter:
    """Writes one feed; `copy` is a writer who was restored from a copy."""

    def __init__(self, seed: bytes = SEED, feed: FeedName = FEED) -> None:
        self.seed, self.feed = seed, feed
        self.posts: list[Post] = []

    def copy(self) -> FeedWriter:
        """Return another writer with the same key, who goes on from here."""
        other = FeedWriter(self.seed, self.feed)
        other.posts = list(self.posts)
        return other

    def write(self, text: str, at: int = NOW) -> Post:
        """Add a post."""
        seq = len(self.posts)
        prev = self.posts[-1].header.hash if self.posts else NOTHING
        post = make_post(self.seed, self.feed, seq, prev, at, encode_body(Text(text)), self.checkpoint(seq))
        self.posts.append(post)
        return post

    def write_many(self, count: int) -> list[Post]:
        """Add so many posts."""
        return [self.write(f"post {len(self.posts)}") for _ in range(count)]

    def checkpoint(self, seq: int) -> Checkpoint | None:
        """Return what the post with this number commits to."""
        if not checkpoints.is_due(seq):
            return None
        hashes = [post.header.hash for post in self.posts[seq - checkpoints.EVERY : seq]]
        return Checkpoint(checkpoints.merkle_root(hashes), hashes[0])

    def head(self, at: int = NOW, writers: tuple[ChannelWriter, ...] = ()) -> FeedHead:
        """Sign where the feed ends."""
        last = self.posts[-1].header.hash if self.posts else NOTHING
        return make_head(self.seed, self.feed, len(self.posts), last, at, "news", writers)

    def old_head(self, at: int = NOW, writers: tuple[ChannelWriter, ...] = ()) -> FeedHead:
        """Sign the same without the field `details`, as it was before there were any."""
        head = self.head(at, writers)
        raw = encode(decode(head.raw, len(head.raw))[:-1])
        return replace(head, raw=raw, signature=prim.sign(self.seed, "chan head", raw))

    def known(self, seq: int) -> Post | None:
        """Return a post, as a store does that has them all."""
        return self.posts[seq] if seq < len(self.posts) else None
