"""A pin puts a message at the top of the chat, for both."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Pin
from p2pchat.core.delivery import Route
from p2pchat.engine.contents import about
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import remarks
from p2pchat.store.contacts import Contact
from p2pchat.store.messages import ME, MessageRow


def apply(tx: Transaction, contact: Contact, content: Content, payload: Pin, route: Route) -> None:
    """Pin the message, or take the pin away, if that is the newest that was said of it."""
    author = about.author_of(contact, payload.author)
    row = about.find(tx, contact, content, payload.message, author, latest_only=True)
    if row is None:
        return
    if remarks.pin(tx.db, row.pk, contact.id, content.message_id, content.sent_at, pinned=payload.pinned):
        about.changed(tx, contact, row, "pin")


def put(tx: Transaction, contact: Contact, row: MessageRow, *, pinned: bool) -> None:
    """Pin a message, or take the pin away, and tell the contact. Raises NotNow or UsageError."""
    about.check(contact, row)
    message_id = tx.new_id_above(remarks.pin_of(tx.db, row.pk))
    remarks.pin(tx.db, row.pk, ME, message_id, tx.now, pinned=pinned)
    about.tell(tx, contact, row, Pin(row.id, about.author_for(row), pinned), message_id)
