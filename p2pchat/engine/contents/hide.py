"""Applies the content hide: removes a member's message for all, and shows who did that, and why."""

from __future__ import annotations

from p2pchat.core.content import Content, newest_message_id
from p2pchat.core.contents import Hide
from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, MessageId, member_of
from p2pchat.engine.contents import about, delete
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store import messages as store_messages
from p2pchat.store import remarks
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.messages import ME, MessageRow


def apply(tx: Transaction, contact: Contact, content: Content, payload: Hide, route: Route) -> None:
    """Hide the message, if whoever says so has the right to it by what we know of the group now."""
    group = None if contact.group is None else store_groups.get(tx.db, contact.group)
    if group is None or not group_rules.may_hide(tx, group, member_of(contact.id), payload.member):
        return
    author = about.author_of(tx, contact, 0, payload.member)
    row = None if author is None else store_messages.get(tx.db, contact.chat, author, payload.message)
    if row is None:
        about.find(tx, contact, content, payload.message, author, latest_only=True)
        return
    id = min(content.message_id, newest_message_id(tx.now + DAY_MS))
    _hide(tx, contact, row, contact.id, id, payload.reason)


def put(tx: Transaction, contact: Contact, row: MessageRow, reason: str) -> None:
    """Hide a message of another member for all; whether our role allows it was asked. Raises NotNow or UsageError."""
    if row.sender == ME:
        raise UsageError("You wrote that yourself", hint="`p2pchat delete ID --for-both` deletes it for all.")
    about.check(contact, row)
    if row.kind not in delete.RETRACTABLE:
        raise UsageError("Only what a member wrote can be hidden")
    before = remarks.hiding_of(tx.db, row.pk)
    message_id = tx.new_id_above(None if before is None else before.id)
    outbound.queue(tx, contact, Hide(row.id, member_of(row.sender), reason), message_id=message_id)
    outbound.nudge(tx, contact)
    _hide(tx, contact, row, ME, message_id, reason)


def _hide(tx: Transaction, contact: Contact, row: MessageRow, sender: ContactId, id: MessageId, reason: str) -> None:
    """Note who has hidden a message. What its author deleted stays deleted, and nothing else."""
    gone = row.deleted_at is not None
    if row.kind not in delete.RETRACTABLE or (gone and remarks.hiding_of(tx.db, row.pk) is None):
        return
    if not remarks.hide(tx.db, row.pk, sender, id, reason):
        return
    if gone:
        about.changed(tx, contact, row, Hide.KIND.name)
    else:
        delete.take_away(tx, contact, row, Hide.KIND.name)
