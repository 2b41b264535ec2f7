"""Applies the content pin: shows a message at the top of the chat, for both."""

from __future__ import annotations

from p2pchat.core.content import Content, newest_message_id
from p2pchat.core.contents import Pin
from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, MessageId, first_device
from p2pchat.engine.contents import about
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS
from p2pchat.store import outbox as store_outbox
from p2pchat.store import remarks
from p2pchat.store.contacts import Contact
from p2pchat.store.messages import ME, MessageRow


def apply(tx: Transaction, contact: Contact, content: Content, payload: Pin, route: Route) -> None:
    """Pin or unpin the message, if this is the newest pin for it. An id from the future counts as one of tomorrow;
    otherwise nobody could remove such a pin.
    """
    author = about.author_of(tx, contact, payload.author, payload.member)
    row = about.find(tx, contact, content, payload.message, author, latest_only=True)
    if row is None:
        return
    message_id = min(content.message_id, newest_message_id(tx.now + DAY_MS))
    if _note(tx, contact, row, contact.id, message_id, content.sent_at, pinned=payload.pinned):
        about.changed(tx, contact, row, "pin")


def put(tx: Transaction, contact: Contact, row: MessageRow, *, pinned: bool) -> None:
    """Pin or unpin a message, and tell the contact. Raises NotNow or UsageError."""
    about.check(contact, row)
    said = Pin(row.id, about.author_for(row), pinned, about.member_for(contact, row))
    group_rules.check_post(tx, contact, said)
    before = remarks.pin_of(tx.db, row.pk)
    message_id = tx.new_id_above(None if before is None else before.id)
    _note(tx, contact, row, ME, message_id, tx.now, pinned=pinned)
    about.tell(tx, contact, row, said, message_id)


def _note(
    tx: Transaction, contact: Contact, row: MessageRow, sender: ContactId, id: MessageId, at: int, *, pinned: bool
) -> bool:
    """Save a pin, and stop sending our earlier ones for the message. Return whether this changes anything."""
    before = remarks.pin_of(tx.db, row.pk)
    changed = remarks.pin(tx.db, row.pk, sender, id, at, pinned=pinned, latest=newest_message_id(tx.now + DAY_MS))
    ours = [] if before is None or before.sender != ME or before == remarks.pin_of(tx.db, row.pk) else [before.id]
    if store_outbox.forget_messages(tx.db, first_device(contact.id), ours):
        tx.dropped[contact.id] = None
    return changed
