"""What all visible kinds have in common: they are messages in the sender's chat."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core.content import Content
from p2pchat.core.contents import File, Text
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import ChatId
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


def is_plain(content: Content) -> bool:
    """Return whether a content is a text and nothing more, as `insert_all` takes it: no answer, and not timed."""
    return isinstance(content.payload, Text) and content.reply_to is None and not content.expire_s


def insert_all(
    tx: Transaction, chat: ChatId, came: Sequence[tuple[Contact, Content]], route: Route
) -> list[MessageRow | None]:
    """Save plain texts of several members of a group, in this order, as `insert` does each of them; return for each
    the message, None if it was there already. It takes a few statements for all of them.
    """
    rows = [_row(tx, author, content, route) for author, content in came]
    saved: list[MessageRow | None] = []
    mentions = list[tuple[int, tuple[MentionedMember, ...]]]()
    for row, inserted, (_, content) in zip(rows, store_messages.insert_all(tx.db, chat, rows), came, strict=True):
        if inserted is None:
            saved.append(None)
            continue
        tx.message_saved()
        saved.append(row._replace(pk=inserted.pk, late=inserted.late))
        if isinstance(content.payload, Text) and content.payload.mentions:
            mentions.append((inserted.pk, content.payload.mentions))
    store_mentions.add_all(tx.db, mentions)
    new = [row for row in saved if row is not None]
    if tx.listened and new:
        tx.unread[chat] = None
        names = naming.of_members(tx.db, chat, new, {author.id: author.name for author, _ in came})
        for row in new:
            tx.event("message", **views.message(row, names))
    return saved


def save(tx: Transaction, contact: Contact, content: Content, route: Route) -> MessageRow | None:
    """Save a content as a message and return it; None if it is there already. `show` tells the faces."""
    row = _row(tx, contact, content, route)
    saved = insert_row(tx, row)
    if saved is not None and row.expire_s:  # a quote that came before it would outlive it
        remarks.unquote(tx.db, row.chat, row.id)
    if saved is not None and contact.group is not None and isinstance(content.payload, Text | File):
        store_mentions.add(tx.db, saved.pk, content.payload.mentions)
    return saved


def _row(tx: Transaction, contact: Contact, content: Content, route: Route) -> MessageRow:
    """Return the message that a content makes."""
    quiet = content.kind.quiet
    return MessageRow(
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
        read_at=tx.now if quiet else None,
        reply_to=content.reply_to,
        quote=_quote(tx, contact, content),
        expire_s=0 if quiet else content.expire_s,
    )


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
