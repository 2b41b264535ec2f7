"""What streams to relays read of the store: which channels there are, what is wanted of them, what is put."""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core.channels import frames
from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.ids import ChatId, WriterKey
from p2pchat.engine.channels import mirroring, writing
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import HOUR_MS
from p2pchat.ports import Relay
from p2pchat.store import channels as store_channels
from p2pchat.store.channels import ChannelRow
from p2pchat.store.database import Database

MAX_PUT_BYTES = 1 << 18
MAX_PUT_POSTS = 32
"""Posts that are put at once."""


class KeptChannel(NamedTuple):
    """A channel with its feeds: its own, and those of the writers that its newest head names. handing: our relays at
    which we put what others write.
    """

    row: ChannelRow
    feeds: tuple[FeedName, ...]
    handing: tuple[Relay, ...]


def every(db: Database) -> dict[ChatId, KeptChannel]:
    """Return every channel."""
    rows = store_channels.all(db)
    return {row.chat: KeptChannel(row, feeds_of(db, row), mirroring.relays_of(db, row)) for row in rows}


def feeds_of(db: Database, row: ChannelRow) -> tuple[FeedName, ...]:
    """Return the names of the feeds of a channel, its own first, without those that are frozen."""
    head = store_channels.feed(db, row, WriterKey(row.key)).head
    writers = () if head is None else head.writers
    names = row.own_feed, *(FeedName(row.key, writer.key) for writer in writers)
    return tuple(name for name in names if store_channels.feed(db, row, name.writer).fork is None)


def is_written(db: Database, row: ChannelRow) -> bool:
    """Return whether what we have written in a channel counts, by its newest head: only that is put."""
    if row.writer is None or row.is_ours:
        return row.is_ours
    head = store_channels.feed(db, row, WriterKey(row.key)).head
    most = 0 if head is None else head.most(row.writer)
    return most > 0 and store_channels.feed(db, row, row.writer).count <= most


def next_wanted(db: Database, chat: ChatId, name: FeedName) -> int:
    """Return the number of the next post that is wanted of a feed; NEWEST if no post of it is known, but for one that
    was followed before it had any.
    """
    row = store_channels.get(db, chat)
    if row is None:
        return frames.NEWEST
    feed = store_channels.feed(db, row, name.writer)
    nothing = feed.is_empty and (feed.head is None or feed.head.count > 0)
    return frames.NEWEST if nothing else feed.count


def first_here(db: Database, chat: ChatId, name: FeedName) -> int:
    """Return the number of the first post of a feed that is here; 0 also where none is, or no more of it is taken."""
    row = store_channels.get(db, chat)
    feed = None if row is None else store_channels.feed(db, row, name.writer)
    return 0 if feed is None or feed.is_empty or feed.fork is not None else feed.first


def count_of(db: Database, chat: ChatId, name: FeedName) -> int:
    """Return the number of posts of a feed."""
    row = store_channels.get(db, chat)
    return 0 if row is None else store_channels.feed(db, row, name.writer).count


def is_here(db: Database, row: ChannelRow, name: FeedName, seq: int) -> bool:
    """Return whether the post with this number is here."""
    return store_channels.post(db, row.chat, name, seq) is not None


def to_put(db: Database, row: ChannelRow, name: FeedName, start: int, new: bool) -> list[Post]:
    """Return the next posts that a relay gets, from number `start` on. new: it has none of the feed, so that it begins
    with the newest page.
    """
    if new and not start:
        start = max(0, store_channels.feed(db, row, name.writer).count - frames.MAX_WANTED)
    posts, left = list[Post](), MAX_PUT_BYTES
    for post in store_channels.page(db, row.chat, name, start, MAX_PUT_POSTS):
        if posts and post.header.size > left:
            break
        left -= post.header.size
        posts.append(post)
    return posts


def fresh_head(tx: Transaction, row: ChannelRow, now: int) -> FeedHead | None:
    """Return the head of our feed, signed anew if it is an hour old; None if the channel is gone or frozen."""
    if row.writer is None or store_channels.get(tx.db, row.chat) is None:
        return None
    feed = store_channels.feed(tx.db, row, row.writer)
    if feed.fork is not None:
        return None
    stale = feed.head is None or feed.head.count != feed.count or not feed.head.at <= now < feed.head.at + HOUR_MS
    return writing.sign_head(tx, row) if stale else feed.head
