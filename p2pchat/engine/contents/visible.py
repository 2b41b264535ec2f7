"""What every visible kind does: it is a message in the chat of its sender."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.content import Content
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import direct_chat
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import Contact
from p2pchat.store.messages import MessageRow


def insert(tx: Transaction, contact: Contact, content: Content, route: Route) -> None:
    """Store what came as a message, and tell faces, unless it is here already by (sender, message id)."""
    row = MessageRow(
        id=content.message_id,
        chat=direct_chat(contact.id),
        sender=contact.id,
        kind=content.type,
        seq=content.seq,
        text=content.payload.text(),
        sent_at=content.sent_at,
        received_at=tx.now,
        state=DeliveryState.RECEIVED,
        route=route,
    )
    if store_messages.insert(tx.db, row) and tx.listened:
        tx.unread[row.chat] = None
        late = store_messages.is_late(tx.db, row)
        tx.event("message", **views.message(replace(row, late=late), contact.name))
