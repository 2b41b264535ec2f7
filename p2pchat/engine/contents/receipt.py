"""Applies the content receipt: our messages that it names were delivered or read."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Receipt
from p2pchat.core.contents.receipt import DELIVERED, READ
from p2pchat.core.delivery import DeliveryEvent, Route
from p2pchat.core.ids import first_device
from p2pchat.engine.delivery import states
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import HOUR_MS
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store.contacts import Contact

SLOW_MS = HOUR_MS
"""A receipt older than this was slow, or its sender's clock is behind ours."""


def apply(tx: Transaction, contact: Contact, content: Content, payload: Receipt, route: Route) -> None:
    """Delete delivered contents from the outbox, and advance the messages' states."""
    device = first_device(contact.id)
    event = DeliveryEvent.READ if payload.event == READ else DeliveryEvent.DELIVERED
    tx.sessions.dequeued(device, store_outbox.forget_messages(tx.db, device, payload.ids))
    if payload.event == DELIVERED and content.sent_at < tx.now - SLOW_MS:
        for message in store_messages.mine(tx.db, contact.chat, payload.ids[:1]):
            tx.clock_hints.answered(contact.id, content.sent_at, message.sent_at, tx.now)
    chat = contact.chat
    waiting = store_files.not_whole(tx.db, chat, payload.ids) if tx.gives_files(chat) else set()
    if waiting:  # their node has the message, but not its file
        states.advance(tx, chat, waiting, DeliveryEvent.RESUMED, None)  # those that had failed are there after all
        states.advance(tx, chat, waiting, DeliveryEvent.STORED, route)
        if event == DeliveryEvent.READ:
            store_messages.note_read(tx.db, chat, waiting, tx.now)
    states.advance(tx, chat, [id for id in payload.ids if id not in waiting], event, route)
    states.passed_on(tx, payload.ids, route)
