"""Applies the content delete: removes a message's text and file, but not the fact that there was one."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Delete, File, Text
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.engine.contents import about
from p2pchat.engine.delivery import outbound
from p2pchat.engine.files import transfers
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.store import messages as store_messages
from p2pchat.store import remarks
from p2pchat.store import waiting as store_waiting
from p2pchat.store.contacts import WRITABLE, Contact
from p2pchat.store.messages import ME, MessageRow

RETRACTABLE = frozenset({Text.KIND.number, File.KIND.number})
"""Kinds that their author can delete for both."""


def apply(tx: Transaction, contact: Contact, content: Content, payload: Delete, route: Route) -> None:
    """Delete the message, or remember to delete it when it arrives."""
    chat = contact.chat
    row = store_messages.get(tx.db, chat, contact.id, payload.message)
    if row is not None:
        if row.deleted_at is None or remarks.unhide(tx.db, row.pk):
            take_away(tx, contact, row)
        return
    store_waiting.forget(tx.db, chat, payload.message, contact.id)
    absent = MessageRow(
        id=payload.message,
        chat=chat,
        sender=contact.id,
        kind=Text.KIND.number,
        seq=payload.seq,
        text="",
        sent_at=content.sent_at,
        received_at=tx.now,
        read_at=tx.now,
        deleted_at=tx.now,
        state=DeliveryState.RECEIVED,
        route=route,
    )
    if store_messages.insert(tx.db, absent) and tx.listened:
        tx.event("message", **views.message(absent, naming.of_one(tx.db, contact, absent)))


def retract(tx: Transaction, contact: Contact, row: MessageRow) -> None:
    """Delete one of our messages on both sides. Raises NotNow or UsageError."""
    if row.sender != ME or row.kind not in RETRACTABLE:
        raise UsageError(
            "Only messages that you sent can be deleted for both", hint="Leave out --for-both to delete it here."
        )
    if contact.state not in WRITABLE:
        raise NotNow(f"{contact.name} cannot be told now", hint="Delete it here only.")
    if row.deleted_at is not None and not remarks.unhide(tx.db, row.pk):
        return
    take_away(tx, contact, row)
    outbound.queue(tx, contact, Delete(row.id, row.seq))
    outbound.nudge(tx, contact)


def take_away(tx: Transaction, contact: Contact, row: MessageRow, what: str = "deleted") -> None:
    """Remove what a message says, and tell the faces `what` happened to it."""
    about.withdraw(tx, row)
    transfers.deleted(tx, row, tell=False)
    remarks.retract(tx.db, row, tx.now, tx.counted)
    about.unquote(tx, row)
    if row.expire_s:
        tx.ends(row.expires_at or tx.counted + 1000 * row.expire_s)
    if row.sender != ME and row.read_at is None:
        tx.unread[row.chat] = None
        tx.storage_limits.recount(row.sender)
    about.changed(tx, contact, row, what)
    tx.erased = True
