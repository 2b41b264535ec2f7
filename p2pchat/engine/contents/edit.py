"""Applies the content edit: a new text for a message."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Edit, Text
from p2pchat.core.contents.edit import EDITABLE_FOR_MS
from p2pchat.core.delivery import Route
from p2pchat.core.ids import first_device
from p2pchat.engine.contents import about
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.runtime import naming
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store import mentions as store_mentions
from p2pchat.store import outbox as store_outbox
from p2pchat.store import remarks
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.messages import ME, MessageRow

UNDER_WAY_FOR_MS = EDITABLE_FOR_MS + 31 * DAY_MS
"""An edit that arrives later than this after its message was not written in time, whatever it says."""
MAX_VERSION_BYTES = 4 * 2**20
"""What the earlier texts of one contact's messages may take up, but for the first text of each. Beyond that, the oldest
are forgotten.
"""


def apply(tx: Transaction, contact: Contact, content: Content, payload: Edit, route: Route) -> None:
    """Show the new text if it is the newest, and keep the others as versions."""
    row = about.find(tx, contact, content, payload.message, contact.id, latest_only=False)
    if row is None or row.kind != Text.KIND.number or content.sent_at > row.sent_at + EDITABLE_FOR_MS:
        return
    if tx.passed > (row.received_at or tx.passed) + UNDER_WAY_FOR_MS:
        return
    if remarks.edit(tx.db, row, content.message_id, payload.written, content.sent_at).shown:
        if contact.group is not None:
            store_mentions.put(tx.db, row.pk, payload.mentions)
        about.changed(tx, contact, row, "edit")
    _bound(tx, row, max(len(row.text.encode()), len(payload.written.encode())))


def _bound(tx: Transaction, row: MessageRow, size: int) -> None:
    """Keep what a contact's earlier texts take up within its bound, after one more of at most `size` bytes. They are
    counted once and then estimated, and at the bound a quarter of it goes: so an edit does not cost as much as there
    are versions.
    """
    whose = row.chat, row.sender
    known = tx.memory.version_bytes.get(whose)
    if known is None:
        known = remarks.version_bytes(tx.db, *whose)
    else:
        known += size + remarks.VERSION_BYTES
    if known > MAX_VERSION_BYTES:
        remarks.trim_versions(tx.db, *whose, MAX_VERSION_BYTES * 3 // 4)
        known = remarks.version_bytes(tx.db, *whose)
    tx.memory.version_bytes[whose] = known


def write(tx: Transaction, contact: Contact, row: MessageRow, text: str) -> None:
    """Edit one of our texts, and tell the contact. Raises NotNow, TextTooLong, or UsageError."""
    outbound.check_text(text)
    if row.sender != ME or row.kind != Text.KIND.number:
        raise UsageError("Only texts that you sent can be edited")
    if tx.now > row.sent_at + EDITABLE_FOR_MS and contact.state != ContactState.SELF:
        raise NotNow("A message can be edited for 48 hours", hint="Send another one that corrects it.")
    about.check(contact, row)
    payload = Edit(row.id, text, naming.named_in(tx.db, contact, text))
    group_rules.check_post(tx, contact, payload)
    message_id = tx.new_message_id()
    edited = remarks.edit(tx.db, row, message_id, text, tx.now)
    if store_outbox.forget_messages(tx.db, first_device(contact.id), edited.trimmed):
        tx.dropped[contact.id] = None  # nobody would know any more what is to be taken back with the message
    about.tell(tx, contact, row, payload, message_id)
