"""What relays hand out of a channel, in one transaction: the core says what may be added; texts become messages.

The signatures were checked by the net. A gap, a fork, or posts that nobody hands out any more are noted in the feed,
and shown with the channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from p2pchat.core.channels import bodies
from p2pchat.core.channels.feed import Feed, Gap, begin, skip_to, take_earlier, take_head, take_post
from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.contents import AnyPayload, Delete, Edit, Text
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import ChatId, ContactId, WriterKey
from p2pchat.engine.channels import correcting, details, mirroring
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.store import channels as store_channels
from p2pchat.store import chats as store_chats
from p2pchat.store import messages as store_messages
from p2pchat.store.channels import ChannelRow
from p2pchat.store.messages import ME, MessageRow


def take(
    tx: Transaction,
    chat: ChatId,
    name: FeedName,
    head: FeedHead | None,
    posts: Sequence[Post],
    *,
    skips: bool = False,
) -> int | None:
    """Take what a relay has handed out of one feed: a head, and posts in order. skips: posts before these are with
    nobody any more. Return the number of the post that is wanted next, None if the channel was forgotten or the feed is
    frozen.
    """
    row = store_channels.get(tx.db, chat)
    if row is None:
        return None
    before = store_channels.feed(tx.db, row, name.writer)
    feed, added = _added(tx, row, before, head, posts, skips=skips)
    if feed != before:
        store_channels.put_feed(tx.db, chat, feed)
        mine, names = name.writer == row.writer, names_in(tx, row) if added else None
        for post in added:
            store_channels.add_post(tx.db, chat, post, body=mine or row.mirrors)
            _show(tx, row, post, ME if mine else store_channels.sender_of(name.writer), names)
        if row.mirrors:
            mirroring.trim(tx, row, feed, 0 if mine else len(added))
            tx.channels_to_hand_on[chat] = None
        _note(tx, row, before, feed)
    return None if feed.fork is not None else feed.count


def take_older(tx: Transaction, chat: ChatId, name: FeedName, posts: Sequence[Post]) -> int:
    """Take posts of one feed from before the first that is here, in order; return how many were added. Raises
    CannotOpen if they do not lead to it.
    """
    row = store_channels.get(tx.db, chat)
    if row is None:
        return 0
    before = store_channels.feed(tx.db, row, name.writer)
    feed = take_earlier(before, posts, lambda seq: store_channels.post(tx.db, chat, name, seq))
    if feed == before:
        return 0
    store_channels.put_feed(tx.db, chat, feed)
    mine = name.writer == row.writer
    for post in posts:
        store_channels.add_post(tx.db, chat, post, body=mine)
        _show(tx, row, post, ME if mine else store_channels.sender_of(name.writer), None, earlier=True)
    return len(posts)


def _added(
    tx: Transaction, row: ChannelRow, feed: Feed, head: FeedHead | None, posts: Sequence[Post], *, skips: bool
) -> tuple[Feed, list[Post]]:
    """Return the feed with what may be added to it, and the posts that were added."""

    def known(seq: int) -> Post | None:
        here = next((post for post in added if post.header.seq == seq), None)
        return here or store_channels.post(tx.db, row.chat, feed.name, seq)

    added: list[Post] = []
    most = _most(tx, row, feed.name)
    is_new = feed.is_empty and (feed.head is None or feed.head.count > 0)
    if is_new and head is not None and posts and posts[0].header.seq:
        page = [post for post in posts if post.header.seq < head.count]  # a post may be newer than the head
        try:  # a new reader begins with the last page
            begun = begin(feed.name, head, page)
        except CannotOpen:  # a relay that has the head alone may say where the posts are
            return take_head(feed, head, known), []
        added += [post for post in page if most is None or post.header.seq < most]
        if not added:
            return feed, []
        last = added[-1].header
        feed = replace(begun, count=last.seq + 1, last=last.hash, head=feed.head)
    for post in posts:
        try:
            if skips and head is not None and post.header.seq > feed.count:
                feed = skip_to(take_head(feed, head, known), post)
            grown = take_post(feed, post, known, most)
        except (Gap, CannotOpen):
            break
        if grown.count > feed.count:
            added.append(post)
        feed = grown
    if head is not None:
        feed = take_head(feed, head, known)
    return feed, added


def _most(tx: Transaction, row: ChannelRow, name: FeedName) -> int | None:
    """Return how many posts of another writer count; None for the channel's own feed."""
    if name.is_own:
        return None
    head = store_channels.feed(tx.db, row, WriterKey(row.key)).head
    return 0 if head is None else head.most(name.writer)


def names_in(tx: Transaction, row: ChannelRow) -> views.MemberNames | None:
    """Return the names of those who write in a channel, for `save_message`; None where no face listens."""
    chat = store_chats.get(tx.db, row.chat)
    return views.MemberNames(store_channels.names(tx.db, row, chat.name)) if tx.listened and chat is not None else None


def _show(
    tx: Transaction,
    row: ChannelRow,
    post: Post,
    sender: ContactId,
    names: views.MemberNames | None,
    *,
    earlier: bool = False,
) -> None:
    """Save what a post says as a message; nothing where it cannot be read, or is of a kind that is not known here."""
    if post.body is None:
        return
    name = FeedName(row.key, post.header.writer)
    try:
        payload = bodies.open_body(row.secret, name, post.header.seq, post.body)
    except CannotOpen:
        return
    if isinstance(payload, Edit | Delete):
        correcting.take(tx, row, post, payload, sender)
    elif isinstance(payload, Text):
        saved = save_message(tx, row, post, payload, sender, names, earlier=earlier)
        if saved is not None:
            correcting.came(tx, row, name, saved)


def save_message(
    tx: Transaction,
    row: ChannelRow,
    post: Post,
    payload: AnyPayload,
    sender: ContactId,
    names: views.MemberNames | None,
    *,
    earlier: bool = False,
) -> MessageRow | None:
    """Save a post as a message and tell the faces; None if it is there already, or was deleted here. names: of those
    who write in the channel (`names_in`). earlier: somebody asked for it, who scrolls up: it is read, and no news for
    anybody, which its route says.
    """
    mine = sender == ME
    message = MessageRow(
        id=bodies.message_id(post),
        chat=row.chat,
        sender=sender,
        kind=payload.number,
        seq=post.header.seq + 1,
        text=payload.text(),
        sent_at=post.header.at,
        state=DeliveryState.RECEIVED if not mine else DeliveryState.STORED if earlier else DeliveryState.SAVED,
        received_at=None if mine else tx.now,
        route=Route.HISTORY if earlier else None if mine else Route.MAILBOX,
        read_at=tx.now if earlier and not mine else None,
    )
    inserted = store_messages.insert(tx.db, message)
    if inserted is None:
        return None
    tx.message_saved()
    message = message._replace(pk=inserted.pk, late=inserted.late)
    if names is not None and not earlier:
        if not mine:
            tx.unread[row.chat] = None
        tx.event("message", **views.message(message, names))
    return message


def _note(tx: Transaction, row: ChannelRow, before: Feed, feed: Feed) -> None:
    """Tell the faces what has changed about the channel itself, and keep the name that it has now."""
    head = feed.head
    if feed.name.is_own and head is not None and head.name and not row.is_ours:
        chat = store_chats.get(tx.db, row.chat)
        was = None if before.head is None else before.head.name
        if chat is not None and head.name != chat.name and was is not None and head.name != was:
            store_chats.update(tx.db, row.chat, name=head.name)
            tx.memory.named.clear()
    shows = [(one.fork is None, one.missing, one.withheld) for one in (before, feed)]
    if shows[0] != shows[1]:
        tx.event("channel", chat=row.chat.hex(), forked=feed.fork is not None, missing=feed.missing)
    if feed.name.is_own and head is not None and head != before.head:
        details.moved(tx, row, before.head, head)
    if feed.fork is not None and before.fork is None:
        tx.channels_changed = True
    if feed.name.is_own and head is not None and (before.head is None or before.head.writers != head.writers):
        tx.channels_changed = True
