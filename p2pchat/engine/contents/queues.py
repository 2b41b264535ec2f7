"""Applies the content queues: where to deposit for a contact."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Queues
from p2pchat.core.delivery import Route
from p2pchat.engine.contacts import news, relay_web
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: Queues, route: Route) -> None:
    """Use these queues from now on, and tell the contact ours if they do not know them."""
    news.take_queues(tx, contact, content.message_id, payload.queues)
    relay_web.told_by_contact(tx, contact, payload.descriptors)
    news.tell_queues(tx, contact)
