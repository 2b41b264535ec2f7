"""Applies the content addresses: where a contact is dialled."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Addresses
from p2pchat.core.delivery import Route
from p2pchat.engine.contacts import news
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: Addresses, route: Route) -> None:
    """Dial the contact at these addresses from now on."""
    news.take_ways(tx, contact, content.message_id, payload.ways, payload.next)
