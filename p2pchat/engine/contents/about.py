"""What remarks on messages have in common: they find the message or wait for it, and tell the faces what it is now."""

from __future__ import annotations

from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import Payload
from p2pchat.core.contents.target import OURS, THEIRS
from p2pchat.core.ids import ContactId, MemberId, MessageId, direct_contact, first_device, member_of, sender_of
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store import remarks
from p2pchat.store import waiting as store_waiting
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.messages import ME, MessageRow

WAIT_FOR_MS = 30 * DAY_MS
"""How long a remark waits for its message: one that has not come by then has failed at its sender."""


def author_of(tx: Transaction, contact: Contact, author: int, member: MemberId | None) -> ContactId | None:
    """Return the sender of a message that a content of this contact names; None for what says nothing here. member: the
    author, in a group, where there is more than one other.
    """
    if author == OURS:
        return contact.id
    if author != THEIRS:
        return None
    if contact.group is None:
        return ME
    group = None if member is None else store_groups.get(tx.db, contact.group)
    if member is None or group is None:
        return None
    return ME if member == group.member else sender_of(member)


def author_for(row: MessageRow) -> int:
    """Return how a content of ours says whose message this is."""
    return OURS if row.sender == ME else THEIRS


def member_for(contact: Contact, row: MessageRow) -> MemberId | None:
    """Return the author of a message, as a content of ours names them in a group; None for ourselves."""
    return None if contact.group is None or row.sender == ME else member_of(row.sender)


def find(
    tx: Transaction,
    contact: Contact,
    content: Content,
    message: MessageId,
    author: ContactId | None,
    *,
    latest_only: bool,
) -> MessageRow | None:
    """Return the message that a content is about. Where it is not here, and was not deleted here, the content waits for
    it; `latest_only`: of its kind only the newest says anything.
    """
    if author is None:
        return None
    chat = contact.chat
    row = store_messages.get(tx.db, chat, author, message)
    if row is not None:
        return None if row.deleted_at is not None else row
    if not store_messages.was_erased(tx.db, chat, author, message):
        until = tx.counted + (min(WAIT_FOR_MS, 1000 * content.expire_s) if content.expire_s else WAIT_FOR_MS)
        store_waiting.add(
            tx.db,
            chat,
            message,
            author,
            content.type,
            content.message_id,
            encode_content(content),
            until,
            sender=contact.id,
            latest_only=latest_only,
        )
        tx.memory.waiting[chat] = True
        tx.ends(until)
    return None


def changed(tx: Transaction, contact: Contact, row: MessageRow, what: str, *, notify: bool = False) -> None:
    """Tell the faces what a message is now. `notify`: the user should be notified."""
    if not tx.listened:
        return
    now = store_messages.get(tx.db, row.chat, row.sender, row.id)
    if now is not None:
        notes = remarks.of_message(tx.db, now)
        names = naming.of_one(tx.db, contact, now, notes)
        shown = views.message(now, names, notes, tx.counted - tx.now)
        tx.event("changed", **shown, what=what, notify=notify)


def check(contact: Contact, row: MessageRow) -> None:
    """Raise UsageError if there can be no more remarks on a message, or NotNow if the contact cannot be told."""
    if row.deleted_at is not None:
        raise UsageError("That message was deleted")
    outbound.check_writable(contact)


def tell(tx: Transaction, contact: Contact, row: MessageRow, payload: Payload, message_id: MessageId) -> None:
    """Tell the contact, and the faces, about our remark on a message; the remark ends with the message."""
    outbound.queue(
        tx,
        contact,
        payload,
        message_id=message_id,
        expire_s=row.expire_s,
        keep_until=keep_until(tx, row),
    )
    outbound.nudge(tx, contact)
    changed(tx, contact, row, payload.KIND.name)


def keep_until(tx: Transaction, row: MessageRow) -> int | None:
    """Return until when (ms, wall clock) a relay may keep what we say about a message; None for as long as it likes."""
    if not row.expire_s:
        return None
    return tx.now + (1000 * row.expire_s if row.expires_at is None else row.expires_at - tx.counted)


def withdraw(tx: Transaction, row: MessageRow) -> None:
    """Stop sending one of our messages, or our remarks on one; to be called while their ids are still known."""
    contact_id = direct_contact(row.chat)
    store_items.withdraw(tx.db, row.chat, remarks.contents_of_ours(tx.db, row))
    if store_outbox.forget_messages(tx.db, first_device(contact_id), remarks.contents_of_ours(tx.db, row)):
        tx.dropped[contact_id] = None


def unquote(tx: Transaction, row: MessageRow) -> None:
    """Delete the quotes of a message, in replies to it and in our replies waiting to be sent."""
    outbound.send_unquoted(tx, direct_contact(row.chat), remarks.unquote(tx.db, row.chat, row.id))
