"""Applies the content bundle: keys for beginning a session with the contact who made it."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import NewBundle
from p2pchat.core.delivery import Route
from p2pchat.core.prekeys import open_bundle
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.store import contacts as store_contacts
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: NewBundle, route: Route) -> None:
    """Save the bundle if it has the keys that are pinned for this contact."""
    try:
        bundle = open_bundle(payload.encoded)
    except CannotOpen:
        return
    if bundle.identity == contact.identity and bundle.device == contact.device:
        store_contacts.update(tx.db, contact.id, bundle=bundle.encoded)
        tx.forget_contact(contact.id)
