"""Reading: what was unread and is no more, and who is told.

`read` notes it in the turn; `finish`, at the end of the turn, queues the receipts, 64 ids in one, and tells faces.
A receipt goes to a contact only, for what was unread until then only, and only while the setting says so: what was read
without telling is never told later.
"""

from __future__ import annotations

from p2pchat.core import content as contents
from p2pchat.engine import outbound, settings, withholding
from p2pchat.engine.turn import Turn
from p2pchat.store import chats as store_chats
from p2pchat.store.chats import Unread
from p2pchat.store.contacts import Contact


def read(turn: Turn, contact: Contact, up_to: int | None) -> Unread:
    """A person has read what the contact wrote, up to the message with this pk or all of it; what is left."""
    ids = store_chats.read(turn.db, contact.id, up_to, turn.now)
    if ids:
        turn.unread[contact.id] = None
        turn.storage_limits.recount(contact.id)
        withholding.look_again(turn, contact.id)
    if ids and settings.read_receipts(turn.db):
        turn.read.setdefault(contact.id, []).extend(ids)
    return store_chats.unread(turn.db, contact.id)


def finish(turn: Turn) -> None:
    """The end of a turn: receipts, then the event of every chat of which something else is unread now."""
    for contact_id, ids in turn.read.items():
        contact = turn.contact(contact_id)
        if contact is None or contact.state != "contact":
            continue
        for start in range(0, len(ids), contents.MOST_RECEIPTS):
            some = ids[start : start + contents.MOST_RECEIPTS]
            outbound.queue(turn, contact, contents.RECEIPT, contents.receipt_payload(contents.READ, some))
    for chat in turn.unread:
        left = store_chats.unread(turn.db, chat)
        turn.event("chat", id=chat.hex(), **shown(left))


def shown(left: Unread) -> dict[str, object]:
    """What is unread, as faces are told it."""
    return {"unread": left.count, "first_unread": None if left.first is None else left.first.hex()}
