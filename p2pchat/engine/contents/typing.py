"""Applies the content typing, which is shown and never stored."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Typing
from p2pchat.core.delivery import Route
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact

TELL_EVERY_MS = 5_000


def apply(tx: Transaction, contact: Contact, content: Content, payload: Typing, route: Route) -> None:
    """Tell the faces, unless typing is turned off. From a relay, it is too old."""
    if tx.listened and route != Route.MAILBOX and settings.typing(tx.db):
        tx.event("typing", chat=contact.chat.hex(), typing=payload.writing)


def tell(tx: Transaction, contact: Contact, *, writing: bool) -> bool:
    """Tell a contact over an existing link that the user is typing, at most every five seconds, and once when they
    stop. Return whether it was sent.
    """
    told = tx.memory.typing.get(contact.id)
    if not settings.typing(tx.db) or (told is not None and tx.recent(told, TELL_EVERY_MS) if writing else told is None):
        return False
    if not outbound.send_fleeting(tx, contact, Typing(writing)):
        return False
    if writing:
        tx.memory.typing[contact.id] = tx.now
    else:
        del tx.memory.typing[contact.id]
    return True
