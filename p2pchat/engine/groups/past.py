"""What was written before somebody became a member, where the group lets newcomers read that.

Members keep the newest messages as their authors signed them. Whoever adds somebody sends these on, and the newcomer
checks every signature with the keys in the log: nobody can put words into anybody's mouth.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from p2pchat.core.content import Content, decode_content
from p2pchat.core.contents import GroupHistory, Text
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.groups import messages, welcome
from p2pchat.core.groups.messages import GroupMessage
from p2pchat.core.groups.past_rules import PastRules
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import HISTORY
from p2pchat.core.groups.state import Member
from p2pchat.core.ids import ChatId, EpochId, MemberId, sender_of
from p2pchat.core.text import clean_name
from p2pchat.engine.contents import visible
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.groups import history, reach
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS
from p2pchat.store import mentions as store_mentions
from p2pchat.store import messages as store_messages
from p2pchat.store import partners
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups import records as store_records
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.members import MemberRow
from p2pchat.store.messages import ME, MessageRow

TAKEN_FOR_MS = 7 * DAY_MS
"""How long after they joined a newcomer takes what was written before."""

log = logging.getLogger(__name__)


def keep(tx: Transaction, row: GroupRow, message: GroupMessage, content: Content) -> None:
    """Keep a message of ours or of another member for newcomers: a text that is to stay."""
    most = HISTORY.read(group_rules.settings_of(row))
    if not most or not isinstance(content.payload, Text) or content.expire_s:
        return
    sender = ME if message.member == row.member else sender_of(message.member)
    saved = store_messages.get(tx.db, row.chat, sender, content.message_id)
    if saved is not None and saved.deleted_at is None and saved.edited_at is None:
        store_records.add(tx.db, row.chat, saved.pk, messages.encode_record(message), most)


def send(tx: Transaction, row: GroupRow, contact: Contact) -> None:
    """Send somebody whom we have just added what was written before, as far as the group lets them read it."""
    most = HISTORY.read(history.log_of(tx, row.chat).state.settings)
    records = store_records.newest(tx.db, row.chat, most) if most else []
    if not records:
        return
    for part in welcome.cut_history(row.group_id, records):
        outbound.queue(tx, contact, GroupHistory(part))
    outbound.nudge(tx, contact)


def take(tx: Transaction, contact: Contact, payload: GroupHistory) -> None:
    """Keep a part of what was written before we joined; with the last one, show what its authors signed. Only whoever
    is a member of the group can tell us, and only soon after we joined.
    """
    whole = store_items.keep_part(tx.db, contact.id, payload.part, tx.now)
    if whole is None:
        return
    try:
        group, told = welcome.open_history(whole)
    except CannotOpen:
        log.info("the history of a group cannot be read")
        return
    row = store_groups.of_group(tx.db, group)
    if row is None or not store_members.of_contact_in(tx.db, row.chat, contact.id):
        return
    most = HISTORY.read(history.log_of(tx, row.chat).state.settings)
    if not most or tx.now - row.joined_at > TAKEN_FOR_MS:
        return
    readers, rules = dict[EpochId, Mapping[MemberId, Member]](), PastRules(history.log_of(tx, row.chat))
    for message in told[-most:]:
        try:
            author = _author(tx, row.chat, readers, message)
            messages.verify_message(message, author.sign)
            content = decode_content(message.content)
        except CannotOpen:
            log.info("a message in the history of a group is not signed by a member of that time")
            continue
        shown = isinstance(content.payload, Text) and not content.expire_s and message.member != row.member
        if not shown or reach.is_blocked(tx, store_members.contact_of(tx.db, row.chat, message.member)):
            continue
        if group_rules.might_post(tx, row, message.member, content, rules.of(message)):
            _name(tx, row, author)
            _show(tx, row, message.member, content)


def _name(tx: Transaction, row: GroupRow, author: Member) -> None:
    """Note how a member is called who was gone before we joined."""
    if author.id not in history.log_of(tx, row.chat).state.members:
        named = MemberRow(author.id, clean_name(author.name), int(author.role), author.sign, author.leaf, None)
        store_members.put(tx.db, row.chat, [named])
        store_members.leave(tx.db, row.chat, [author.id])


def _author(
    tx: Transaction, chat: ChatId, readers: dict[EpochId, Mapping[MemberId, Member]], message: GroupMessage
) -> Member:
    """Return who wrote a message. Raises CannotOpen where the log has no such epoch, or no such member, or where that
    one could only read.
    """
    if message.epoch not in readers:
        try:
            readers[message.epoch] = history.recipients(tx, chat, message.epoch)
        except KeyError:
            readers[message.epoch] = {}
    author = readers[message.epoch].get(message.member)
    if author is None or _reads_only(tx, chat, author):
        raise CannotOpen
    return author


def _reads_only(tx: Transaction, chat: ChatId, author: Member) -> bool:
    """Return whether somebody could only read when an epoch began, and can now: what they wrote was shown to nobody."""
    now = history.log_of(tx, chat).state.members.get(author.id)
    return author.role is Role.OBSERVER and (now is None or now.role is Role.OBSERVER)


def _show(tx: Transaction, row: GroupRow, author: MemberId, content: Content) -> None:
    """Save a message from before we joined, as read, and tell the faces; nothing if it is there."""
    message = MessageRow(
        id=content.message_id,
        chat=row.chat,
        sender=sender_of(author),
        kind=content.type,
        seq=content.seq,
        text=content.payload.text(),
        sent_at=content.sent_at,
        received_at=tx.now,
        state=DeliveryState.RECEIVED,
        route=Route.HISTORY,
        read_at=tx.now,
        reply_to=content.reply_to,
        quote=content.payload.quoted() if content.reply_to is not None else "",
    )
    saved, partner = visible.insert_row(tx, message), partners.of(tx.db, row.chat)
    if saved is not None and isinstance(content.payload, Text):
        store_mentions.add(tx.db, saved.pk, content.payload.mentions)
    if saved is not None and partner is not None:
        visible.show(tx, partner, saved)
