"""Handing on what others write in a channel, at relays of our own, for a follower who wants to (decision 0092).

A feed proves itself, so a relay takes it from anybody: a channel outlives the relays that its writer has chosen. The
bodies of the newest posts are kept for that, and a run of posts is put as the writer signed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from p2pchat.core.channels import bodies, frames
from p2pchat.core.channels.feed import Feed
from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.ids import WriterKey
from p2pchat.engine.delivery.queues import MAX_RELAYS
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.ports import Relay
from p2pchat.store import channels as store_channels
from p2pchat.store import messages as store_messages
from p2pchat.store import relays as store_relays
from p2pchat.store.channels import ChannelRow
from p2pchat.store.database import Database

KEPT_BODIES = frames.MAX_WANTED
"""Bodies of the newest posts of a feed that are kept: what a relay gets that has none of it."""


@dataclass(frozen=True, slots=True)
class Handed:
    """What is known of a feed that is handed on. first: of the posts whose bodies are here, without a gap, but for
    those that were deleted or withdrawn.
    """

    count: int
    first: int
    head: FeedHead | None


def relays_of(db: Database, row: ChannelRow) -> tuple[Relay, ...]:
    """Return the relays of our own at which we hand on a channel, besides its own."""
    if not row.mirrors:
        return ()
    peers = {way.peer for way in row.relays}
    rows = [relay for relay in store_relays.all(db) if relay.peer not in peers]
    return tuple(Relay(relay.peer, relay.reached_at, relay.token) for relay in rows[:MAX_RELAYS])


def change(tx: Transaction, row: ChannelRow, *, mirrors: bool) -> None:
    """Hand on a channel from now on, or no longer. Raises NotNow where that means nothing."""
    if mirrors and row.is_ours:
        raise NotNow("Your relays mirror your channel already", hint="`p2pchat channel relays` shows and changes them.")
    if mirrors and not store_relays.all(tx.db):
        raise NotNow("You have no relay to hand it on at", hint="Add one with `p2pchat relays add`.")
    if mirrors == row.mirrors:
        return
    store_channels.mirror(tx.db, row.chat, mirrors=mirrors)
    if not mirrors:
        store_channels.drop_bodies(tx.db, row)
    tx.channels_changed = True


def trim(tx: Transaction, row: ChannelRow, feed: Feed, added: int) -> None:
    """Drop bodies that are not kept any more, after so many posts were added to a feed that others write."""
    behind = feed.count - KEPT_BODIES
    store_channels.drop_bodies_between(tx.db, row.chat, feed.name, behind - added, behind)


def lacking(db: Database, row: ChannelRow, name: FeedName) -> int | None:
    """Return the number of the first of the newest posts of a feed whose body is not here, None if all are, or it is
    not handed on.
    """
    feed = store_channels.feed(db, row, name.writer)
    if not row.mirrors or name.writer == row.writer or feed.is_empty or feed.fork is not None:
        return None
    page = store_channels.page(db, row.chat, name, max(feed.first, feed.count - KEPT_BODIES), KEPT_BODIES)
    return next((post.header.seq for post in page if post.body is None and _may_keep(db, row, post)), None)


def fill(tx: Transaction, row: ChannelRow, name: FeedName, posts: Sequence[Post]) -> None:
    """Keep the bodies of posts that are here without, but for those whose message was deleted or withdrawn."""
    feed = store_channels.feed(tx.db, row, name.writer)
    store_channels.put_feed(tx.db, row.chat, feed)  # with its sender, which an older version has not saved
    for post in posts:
        known = store_channels.post(tx.db, row.chat, name, post.header.seq)
        if known is None or post.body is None or known.header.hash != post.header.hash:
            continue
        if post.header.seq >= feed.count - KEPT_BODIES and _may_keep(tx.db, row, post):
            store_channels.put_body(tx.db, row.chat, name, post)


def passed_on(db: Database, row: ChannelRow, name: FeedName, posts: Sequence[Post]) -> list[Post]:
    """Return posts as they are handed on: one that was deleted here or withdrawn without its body."""
    kept = (_may_keep(db, row, post) and not _is_withdrawn(db, row, name, post) for post in posts)
    return [post if whole else replace(post, body=None) for post, whole in zip(posts, kept, strict=True)]


def _is_withdrawn(db: Database, row: ChannelRow, name: FeedName, post: Post) -> bool:
    """Return whether a post that is not here as a message is known to be withdrawn."""
    return store_channels.is_withdrawn(db, row.chat, name, bodies.message_id(post))


def _may_keep(db: Database, row: ChannelRow, post: Post) -> bool:
    """Return whether the body of a post is kept: it became no message, or one that is still shown."""
    sender, id = store_channels.sender_of(post.header.writer), bodies.message_id(post)
    message = store_messages.get(db, row.chat, sender, id)
    if message is None:
        return not store_messages.was_erased(db, row.chat, sender, id)
    return message.deleted_at is None


def handed(db: Database, row: ChannelRow, name: FeedName) -> Handed | None:
    """Return what is handed on of a feed; None if nothing is: it is frozen, or the channel was forgotten."""
    if store_channels.get(db, row.chat) is None:
        return None
    feed = store_channels.feed(db, row, WriterKey(name.writer))
    if feed.fork is not None:
        return None
    page = store_channels.page(db, row.chat, name, max(feed.first, feed.count - KEPT_BODIES), KEPT_BODIES)
    first = feed.count
    for post in reversed(page):
        if post.header.seq != first - 1 or (post.body is None and _may_keep(db, row, post)):
            break
        first = post.header.seq
    return Handed(feed.count, first, feed.head)
