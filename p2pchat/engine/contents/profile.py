"""Applies the content profile: a contact's name, read receipts, ways and queues."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import ContactProfile
from p2pchat.core.delivery import Route
from p2pchat.engine.contacts import news
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: ContactProfile, route: Route) -> None:
    """Apply what is newer than what is known, and tell the contact where we collect if they do not know."""
    news.tell_queues(tx, news.take_profile(tx, contact, content.message_id, payload))
