"""Applies the content text: a message in the chat."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Text
from p2pchat.core.delivery import Route
from p2pchat.engine.contents.visible import insert
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact


def apply(tx: Transaction, contact: Contact, content: Content, payload: Text, route: Route) -> None:
    """Save the text, and tell the faces."""
    insert(tx, contact, content, route)
