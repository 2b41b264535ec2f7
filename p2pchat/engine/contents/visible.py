"""What all visible kinds have in common: they are messages in the sender's chat."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import File, Text
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import files as store_files
from p2pchat.store import mentions as store_mentions
from p2pchat.store import messages as store_messages
from p2pchat.store import remarks
from p2pchat.store import timers as store_timers
from p2pchat.store.contacts import Contact
from p2pchat.store.files import FileRow
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.remarks import Remarks, quoted


def insert(tx: Transaction, contact: Contact, content: Content, route: Route) -> None:
    """Save a content as a message and tell the faces, unless it is there already, by (sender, message id)."""
    row = save(tx, contact, content, route)
    if row is not None:
        show(tx, contact, row)


def save(tx: Transaction, contact: Contact, content: Content, route: Route) -> MessageRow | None:
    """Save a content as a message and return it; None if it is there already. `show` tells the faces."""
    ends = content.expire_s if not content.kind.quiet else 0
    row = MessageRow(
        id=content.message_id,
        chat=contact.chat,
        sender=contact.id,
        kind=content.type,
        seq=content.seq,
        text=content.payload.text(),
        sent_at=content.sent_at,
        received_at=tx.now,
        state=DeliveryState.RECEIVED,
        route=route,
        read_at=tx.now if content.kind.quiet else None,
        reply_to=content.reply_to,
        quote=_quote(tx, contact, content),
        expire_s=ends,
    )
    saved = insert_row(tx, row)
    if saved is not None and ends:  # a quote that came before it would outlive it
        remarks.unquote(tx.db, row.chat, row.id)
    if saved is not None and contact.group is not None and isinstance(content.payload, Text | File):
        store_mentions.add(tx.db, saved.pk, content.payload.mentions)
    return saved


def insert_row(tx: Transaction, row: MessageRow) -> MessageRow | None:
    """Save a message, and return it with its number; None if it is there already, or was deleted here."""
    inserted = store_messages.insert(tx.db, row)
    if inserted is None:
        return None
    tx.message_saved()
    return row._replace(pk=inserted.pk, late=inserted.late)


def show(tx: Transaction, contact: Contact, row: MessageRow, file: FileRow | None = None) -> None:
    """Tell the faces about a message that was just saved, with its file if it has one."""
    if tx.listened:
        if row.read_at is None:
            tx.unread[row.chat] = None
        answered = None if row.reply_to is None else quoted(tx.db, row.chat, row.reply_to)
        quoted_file = None if answered is None else store_files.get(tx.db, answered.pk)
        notes = Remarks(quoted=answered, file=file, quoted_file=quoted_file)
        tx.event("message", **views.message(row, naming.of_one(tx.db, contact, row, notes), notes))


def _quote(tx: Transaction, contact: Contact, content: Content) -> str:
    """Return what a reply says of the message that it answers; nothing where that was taken away, or is to be. Where
    messages of this chat disappear, or did, one that is not here may be one of those: nobody could tell when it ends.
    """
    quote = content.payload.quoted()
    if content.reply_to is None or not quote:
        return ""
    chat = contact.chat
    row = quoted(tx.db, chat, content.reply_to)
    if row is not None:
        gone = row.deleted_at is not None or bool(row.expire_s)
    else:
        gone = store_timers.get(tx.db, chat) is not None or any(
            store_messages.was_erased(tx.db, chat, who, content.reply_to) for who in (contact.id, ME)
        )
    return "" if gone else quote
