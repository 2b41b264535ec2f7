"""Writing in a channel: the next post and the head of our own feed, signed and saved in one transaction.

After the commit `sync` has the relays keep them. A message is *stored* once one of them does.
"""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.core.channels import bodies, checkpoints, posts
from p2pchat.core.channels.feed import Feed, take_head, take_post
from p2pchat.core.channels.posts import ChannelWriter, Checkpoint, FeedHead, Post
from p2pchat.core.contents import Delete, Edit, Text
from p2pchat.core.delivery import DeliveryEvent, Route
from p2pchat.core.ids import MessageId, WriterKey
from p2pchat.engine.channels import correcting, reading
from p2pchat.engine.delivery import outbound, states
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.store import channels as store_channels
from p2pchat.store import chats as store_chats
from p2pchat.store.channels import ChannelRow
from p2pchat.store.messages import ME, MessageRow


def post_text(tx: Transaction, row: ChannelRow, text: str) -> MessageRow:
    """Write a text in a channel, and tell the faces. Raises NotNow where we may not write or the feed is frozen,
    TextTooLong, or UsageError for a text that is not valid.
    """
    outbound.check_text(text)
    post = _write(tx, row, Text(text))
    saved = reading.save_message(tx, row, post, Text(text), ME, reading.names_in(tx, row))
    assert saved is not None
    return saved


def edit(tx: Transaction, row: ChannelRow, message: MessageRow, text: str) -> None:
    """Write that a post of ours says another text. Raises as `post_text`, UsageError for what is no text of ours."""
    outbound.check_text(text)
    _check_ours(message)
    payload = Edit(message.id, text)
    correcting.take(tx, row, _write(tx, row, payload), payload, ME)


def withdraw(tx: Transaction, row: ChannelRow, message: MessageRow) -> None:
    """Write that a post of ours is withdrawn. Raises as `edit`."""
    _check_ours(message)
    payload = Delete(message.id, message.seq)
    correcting.take(tx, row, _write(tx, row, payload), payload, ME)


def _check_ours(message: MessageRow) -> None:
    if message.sender != ME or message.kind != Text.KIND.number:
        raise UsageError("Only texts that you posted can be edited, or deleted for all")
    if message.deleted_at is not None:
        raise UsageError("That message was deleted")


def _write(tx: Transaction, row: ChannelRow, payload: Text | Edit | Delete) -> Post:
    """Sign the next post of our feed and the head, and save both."""
    if row.seed is None or row.writer is None:
        raise NotNow("Only its writers post in this channel", hint="`p2pchat forget` stops following it.")
    feed = store_channels.feed(tx.db, row, row.writer)
    own = store_channels.feed(tx.db, row, WriterKey(row.key)).head
    if not row.is_ours and (own is None or own.most(row.writer) <= feed.count):
        raise NotNow("You do not write in this channel any more, or its newest head is not here yet")
    if feed.fork is not None:
        hint = "An old copy of this profile has written too. Found a new channel, and tell its followers elsewhere."
        raise NotNow("This channel has forked, and its followers take nothing more of it", hint=hint)
    body = bodies.encode_body(payload)
    if row.secret is not None:
        body = bodies.seal_body(row.secret, feed.name, feed.count, body, tx.random)
    mark = _checkpoint(tx, row, feed)
    post = posts.make_post(row.seed, feed.name, feed.count, feed.last, tx.now, body, mark)
    grown = take_post(feed, post, lambda seq: store_channels.post(tx.db, row.chat, feed.name, seq))
    store_channels.put_feed(tx.db, row.chat, grown)
    store_channels.add_post(tx.db, row.chat, post, body=True)
    sign_head(tx, row)
    tx.channels_written[row.chat] = None
    return post


def sign_head(
    tx: Transaction,
    row: ChannelRow,
    writers: tuple[ChannelWriter, ...] | None = None,
    details: bytes | None = None,
) -> FeedHead:
    """Sign where our feed ends now, and save it. writers: others who may write; None for those who may already.
    details: encoded; None for those of the head before.
    """
    assert row.seed is not None
    assert row.writer is not None
    feed = store_channels.feed(tx.db, row, row.writer)
    chat = store_chats.get(tx.db, row.chat)
    name = chat.name if chat is not None and row.is_ours and row.secret is None else None
    if writers is None:
        writers = () if feed.head is None else feed.head.writers
    if details is None and feed.head is not None:
        details = feed.head.details
    at = tx.now if feed.head is None else max(tx.now, feed.head.at + 1)
    head = posts.make_head(row.seed, feed.name, feed.count, feed.last, at, name, writers, details)
    store_channels.put_feed(
        tx.db, row.chat, take_head(feed, head, lambda seq: store_channels.post(tx.db, row.chat, feed.name, seq))
    )
    return head


def stored(tx: Transaction, row: ChannelRow, written: Iterable[Post]) -> None:
    """Note that a relay keeps these posts of ours."""
    ids: list[MessageId] = [bodies.message_id(post) for post in written]
    states.advance(tx, row.chat, ids, DeliveryEvent.STORED, Route.MAILBOX)


def _checkpoint(tx: Transaction, row: ChannelRow, feed: Feed) -> Checkpoint | None:
    """Return what the next post commits to, if it is one that does. Of a feed that was taken up again from a relay,
    which has no more than the newest posts, all of them have to be here: else NotNow.
    """
    if not checkpoints.is_due(feed.count):
        return None
    page = store_channels.page(tx.db, row.chat, feed.name, feed.count - checkpoints.EVERY, checkpoints.EVERY)
    hashes = [post.header.hash for post in page]
    if len(hashes) != checkpoints.EVERY:
        raise NotNow("Posts of this channel are missing here, without which the next one cannot be signed")
    return Checkpoint(checkpoints.merkle_root(hashes), hashes[0])
