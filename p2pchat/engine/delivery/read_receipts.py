"""Marks messages as read, and tells their senders.

`read` notes it in the transaction; `finish`, at the end of the transaction, queues the receipts, 64 ids in each, and
tells the faces. A receipt is sent only to a contact, only for messages that were unread until then, and only while the
setting is on: a message read while it was off is never reported later.
"""

from __future__ import annotations

from p2pchat.core.contents.receipt import MAX_RECEIPTS, READ, Receipt
from p2pchat.core.ids import ChatId, MessageId, direct_contact
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime import naming, settings, withholding
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import chats as store_chats
from p2pchat.store import timers as store_timers
from p2pchat.store.chats import Unread
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import receipts as store_receipts


def read(tx: Transaction, contact: Contact, up_to: int | None) -> Unread:
    """Mark what the contact wrote as read, up to the message with this pk or completely (None). Return what is still
    unread.
    """
    chat = contact.chat
    ids = store_chats.read(tx.db, chat, up_to, tx.now, tx.counted)
    if ids:
        tx.unread[chat] = None
        tx.ends(store_timers.next_end(tx.db))
        tx.storage_limits.recount(contact.id)
        withholding.recheck(tx, contact.id)
    if ids and contact.group is not None:
        _note_in_group(tx, contact.group, ids)
    elif ids and settings.read_receipts(tx.db):
        tx.read.setdefault(contact.id, []).extend(ids)
    return store_chats.unread(tx.db, chat)


def _note_in_group(tx: Transaction, chat: ChatId, ids: list[MessageId]) -> None:
    """Note what was read in a group for its authors, if the user lets them be told; `engine.groups.receipts` does."""
    row = store_groups.get(tx.db, chat)
    if row is not None and row.receipts:
        store_receipts.note(tx.db, chat, ids)
        tx.memory.receipts_due[chat] = None
        tx.group_work = True


def finish(tx: Transaction) -> None:
    """At the end of a transaction, queue the receipts, then an event for every chat whose unread messages changed."""
    for contact_id, ids in tx.read.items():
        contact = tx.contact(contact_id)
        if contact is None or contact.state != ContactState.CONTACT:
            continue
        for start in range(0, len(ids), MAX_RECEIPTS):
            outbound.queue(tx, contact, Receipt(READ, tuple(ids[start : start + MAX_RECEIPTS])))
    for chat in tx.unread:
        left = store_chats.unread(tx.db, chat)
        mentions = {} if tx.contact(direct_contact(chat)) else {"mentions": naming.mentioned(tx.db, chat)}
        tx.event("chat", id=chat.hex(), **shown(left), **mentions, timer=tx.timer(chat) or None)


def shown(left: Unread) -> dict[str, object]:
    """Return a chat's unread count and first unread message, as faces are told."""
    return {"unread": left.count, "first_unread": None if left.first is None else left.first.hex()}
