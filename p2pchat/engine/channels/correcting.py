"""What a writer says later about a post of theirs: another text for it, or that it is withdrawn.

Both are posts of the same feed, which become no messages. One about a post that is not here waits for it: a reader
begins with the last page, and may scroll up to it later.
"""

from __future__ import annotations

from p2pchat.core.channels import bodies
from p2pchat.core.channels.posts import FeedName, Post
from p2pchat.core.contents import Delete, Edit, Text
from p2pchat.core.ids import ChatId, ContactId
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import channels as store_channels
from p2pchat.store import messages as store_messages
from p2pchat.store import partners, remarks
from p2pchat.store.channels import ChannelRow, PostRemark
from p2pchat.store.messages import ME, MessageRow

MAX_WAITING = 1_000
"""Posts of one feed that are not here and about which something is kept."""


def take(tx: Transaction, row: ChannelRow, post: Post, payload: Edit | Delete, sender: ContactId) -> None:
    """Apply what a post says about an earlier one of the same feed, or keep it until that comes."""
    written = payload.written if isinstance(payload, Edit) else None
    remark = PostRemark(payload.message, post.header.seq, post.header.hash, post.header.at, written)
    message, name = store_messages.get(tx.db, row.chat, sender, payload.message), FeedName(row.key, post.header.writer)
    if message is not None:
        _apply(tx, row, name, message, remark)
    elif not store_messages.was_erased(tx.db, row.chat, sender, payload.message):
        store_channels.keep_remark(tx.db, row.chat, name, remark, MAX_WAITING)


def came(tx: Transaction, row: ChannelRow, name: FeedName, message: MessageRow) -> None:
    """Apply what was said about a post of this feed that has just come, as a message."""
    remark = store_channels.take_remark(tx.db, row.chat, name, message.id)
    if remark is not None:
        _apply(tx, row, name, message, remark)


def _apply(tx: Transaction, row: ChannelRow, name: FeedName, message: MessageRow, remark: PostRemark) -> None:
    """Show another text, or none. An id follows from a whole post, so that only later ones can name it."""
    if message.deleted_at is not None or message.kind != Text.KIND.number:
        return
    if remark.text is not None:
        version = bodies.version_id(remark.number, remark.hash)
        if remarks.edit(tx.db, message, version, remark.text, remark.at).shown:
            _changed(tx, row.chat, message, Edit.KIND.name)
        return
    remarks.retract(tx.db, message, tx.now, tx.counted)
    store_channels.drop_bodies_between(tx.db, row.chat, name, message.seq - 1, message.seq)
    if message.sender != ME and message.read_at is None:
        tx.unread[row.chat] = None
    tx.erased = True
    _changed(tx, row.chat, message, "deleted")


def _changed(tx: Transaction, chat: ChatId, message: MessageRow, what: str) -> None:
    """Tell the faces what a message is now."""
    partner, now = partners.of(tx.db, chat), store_messages.by_pk(tx.db, message.pk)
    if tx.listened and partner is not None and now is not None:
        notes = remarks.of_message(tx.db, now)
        shown = views.message(now, naming.of_one(tx.db, partner, now, notes), notes, tx.counted - tx.now)
        tx.event("changed", **shown, what=what, notify=False)
