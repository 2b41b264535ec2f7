"""That somebody is writing is shown, and nothing else."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Typing
from p2pchat.core.delivery import Route
from p2pchat.core.ids import direct_chat
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact

TELL_EVERY_MS = 5_000


def apply(tx: Transaction, contact: Contact, content: Content, payload: Typing, route: Route) -> None:
    """Tell faces, unless a person wants neither to tell nor to see it. From a relay it is old."""
    if tx.listened and route != Route.MAILBOX and settings.typing(tx.db):
        tx.event("typing", chat=direct_chat(contact.id).hex(), typing=payload.writing)


def tell(tx: Transaction, contact: Contact, *, writing: bool) -> bool:
    """Tell a contact over a link that is there, at most every five seconds, and once when it stops; whether it was."""
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
