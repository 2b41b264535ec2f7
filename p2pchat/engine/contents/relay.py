"""Applies the content relay: a contact offers to be a relay, or does so no more."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import ContactRelay
from p2pchat.core.delivery import Route
from p2pchat.engine.contacts import contact_relays
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: ContactRelay, route: Route) -> None:
    """Save the offer; the user decides whether the relay is used."""
    contact_relays.told(tx, contact, content.message_id, payload.relay)
