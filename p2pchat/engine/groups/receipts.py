"""Counts of who has read a message in a group: told by members who choose to, to its author alone, as far as the two
are contacts.

Whoever reads tells each author once a minute at most, in the session of the two, which range of numbers that was; so a
busy group costs no more than a quiet one, and no third member learns anything.
"""

from __future__ import annotations

from p2pchat.core.contents import GroupSeen
from p2pchat.core.ids import ChatId
from p2pchat.engine.contents import about
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import messages as store_messages
from p2pchat.store import partners
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups import receipts as store_receipts
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.receipts import ReadRange

MAX_SHOWN = 64
"""Messages of ours of which faces are told at once that one more has read them."""


def switch(tx: Transaction, row: GroupRow, *, wanted: bool) -> None:
    """Begin or cease to tell members what we read in a group. What was read before is told to nobody."""
    if bool(row.receipts) != wanted:
        store_groups.update(tx.db, row.chat, receipts=int(wanted))
        store_receipts.forget(tx.db, row.chat)
        tx.groups_changed[row.chat] = None


def begin(tx: Transaction) -> None:
    """After a start, know in which groups members have yet to be told."""
    tx.memory.receipts_due.update(dict.fromkeys(store_receipts.chats_untold(tx.db)))


def tell_all(tx: Transaction) -> None:
    """Tell members which messages of theirs we have read."""
    for chat in list(tx.memory.receipts_due):
        _tell(tx, chat)


def seen(tx: Transaction, contact: Contact, payload: GroupSeen) -> None:
    """Count a member among those who have read messages of ours; no more than we have written, and each once."""
    row = store_groups.present_of(tx.db, payload.group)
    if row is None:
        return
    newest = store_messages.next_seq(tx.db, row.chat) - 1
    for member in store_members.of_contact_in(tx.db, row.chat, contact.id):
        read = ReadRange(payload.first, min(payload.last, newest))
        before = store_receipts.seen(tx.db, row.chat, member)
        if read.last < read.first or (before is not None and read.last <= before.last):
            continue
        store_receipts.put_seen(tx.db, row.chat, member, read)
        _show(tx, row, read if before is None else ReadRange(max(read.first, before.last + 1), read.last))


def _tell(tx: Transaction, chat: ChatId) -> None:
    row = store_groups.present(tx.db, chat)
    del tx.memory.receipts_due[chat]
    if row is None or not row.receipts:
        return
    for member, read in store_receipts.untold(tx.db, chat):
        author = store_members.get(tx.db, chat, member)  # whoever was removed learns nothing more of the group
        contact = None if author is None or author.contact is None else tx.contact(author.contact)
        if contact is not None and contact.state == ContactState.CONTACT and not contact.for_group:
            outbound.queue(tx, contact, GroupSeen(row.group_id, *read))
            outbound.nudge(tx, contact)
    store_receipts.told(tx.db, chat)


def _show(tx: Transaction, row: GroupRow, read: ReadRange) -> None:
    """Tell the faces that one more has read these messages of ours."""
    partner = partners.of(tx.db, row.chat) if tx.listened else None
    if partner is None:
        return
    for pk in store_receipts.newly(tx.db, row.chat, read, MAX_SHOWN):
        message = store_messages.by_pk(tx.db, pk)
        if message is not None:
            about.changed(tx, partner, message, "seen")
