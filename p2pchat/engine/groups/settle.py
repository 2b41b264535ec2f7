"""At the end of each transaction: what came about groups, and what is to be sent to them.

Both wait for the end because groups are a floor above the contents by which they travel. It is the same transaction:
the ack of an item, what it changed and what is passed on of it are on disk together.
"""

from __future__ import annotations

from p2pchat.core.contents import (
    GroupAsk,
    GroupHistory,
    GroupItem,
    GroupJoin,
    GroupLost,
    GroupMember,
    GroupOffer,
    GroupRefusal,
    GroupSeen,
    GroupWant,
    GroupWelcome,
)
from p2pchat.core.groups import items
from p2pchat.core.ids import ChatId
from p2pchat.engine.groups import (
    carriage,
    catching_up,
    duties,
    gaps,
    joining,
    links,
    log_duties,
    past,
    receipts,
    receive,
    sending,
    summary,
)
from p2pchat.engine.runtime.effects import GroupArrival
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import chats as store_chats
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.items import NOBODY


def settle(tx: Transaction) -> None:
    """Take what came, send what is to be sent, and tell the faces what changed."""
    joins = []
    while tx.group_arrivals:
        arrivals, tx.group_arrivals = tx.group_arrivals, []
        for arrival in arrivals:
            contact = tx.contact(arrival.contact)
            if contact is None or contact.state != ContactState.CONTACT:
                continue
            if isinstance(arrival.payload, GroupJoin):
                joins.append((contact, arrival.payload))
            else:
                _take(tx, contact, arrival)
    joining.answered(tx, joins)
    for chat in list(tx.groups_changed):
        duties.check(tx, chat)
        log_duties.settle(tx, chat)
    for content in tx.group_contents:
        sending.send(tx, content)
    for chat in tx.groups_changed:
        _tell(tx, chat)


def _take(tx: Transaction, contact: Contact, arrival: GroupArrival) -> None:
    payload = arrival.payload
    if isinstance(payload, GroupAsk):
        links.asked(tx, contact, payload)
    elif isinstance(payload, GroupOffer):
        joining.offered(tx, contact, payload)
    elif isinstance(payload, GroupWelcome):
        welcomed = joining.welcomed(tx, contact, payload)
        if welcomed is not None:
            receive.take_waiting(tx, welcomed, arrival.route)
            _take_early(tx, contact, welcomed, arrival)
            catching_up.caught_up(tx, welcomed)
    elif isinstance(payload, GroupHistory):
        past.take(tx, contact, payload)
    elif isinstance(payload, GroupRefusal):
        joining.refused(tx, contact, payload)
    elif isinstance(payload, GroupMember):
        introduced = joining.introduced(tx, contact, payload)
        if introduced is not None:
            _take_early(tx, contact, introduced, arrival)
    elif isinstance(payload, GroupLost):
        catching_up.lost(tx, contact, payload)
    elif isinstance(payload, GroupWant):
        gaps.wanted(tx, contact, payload)
    elif isinstance(payload, GroupSeen):
        receipts.seen(tx, contact, payload)
    elif isinstance(payload, GroupItem):
        row = store_groups.of_group(tx.db, payload.group)
        chat = None if row is None else store_chats.get(tx.db, row.chat)
        if row is None or chat is None or chat.ended_at is not None:
            joins = store_joins.get(tx.db, payload.group, contact.id) is not None
            if joins:  # it has overtaken their welcome
                _keep_early(tx, contact, payload)
            if joins or row is None or chat is None or not _has_keys(tx, row.chat):
                return
        sender = store_members.of_contact_in(tx.db, row.chat, contact.id)
        tag = payload.sealed[: items.TAG_BYTES]
        if not sender and not store_epochs.with_tag(tx.db, row.chat, tag):  # who knows no more than the group's id
            _keep_early(tx, contact, payload)  # would push out what waits of members; or it has overtaken who they are
            return
        by = sender[0] if sender else NOBODY
        receive.take(tx, row, payload.sealed, arrival.route, frozenset({*payload.known, *sender}), by)


def _has_keys(tx: Transaction, chat: ChatId) -> bool:
    """Return whether we can read anything of a group."""
    return any(epoch.header for epoch in store_epochs.of(tx.db, chat))


def _keep_early(tx: Transaction, contact: Contact, payload: GroupItem) -> None:
    if len(payload.sealed) in items.SIZES:
        id = items.item_id(payload.sealed)
        store_items.keep_early(tx.db, contact.id, payload.group, id, payload.sealed, tx.now)


def _take_early(tx: Transaction, contact: Contact, chat: ChatId, arrival: GroupArrival) -> None:
    """Take what a contact sent of a group before we were in it, or knew that they are."""
    row, sender = store_groups.get(tx.db, chat), store_members.of_contact_in(tx.db, chat, contact.id)
    by = sender[0] if sender else NOBODY
    for sealed in [] if row is None else store_items.take_early(tx.db, contact.id, row.group_id):
        now = store_groups.get(tx.db, chat)
        if now is not None:
            receive.take(tx, now, sealed, arrival.route, carriage.NOBODY_ELSE, by)


def _tell(tx: Transaction, chat: ChatId) -> None:
    shown = summary.of_chat(tx, chat) if tx.listened else None
    if shown is not None:
        tx.event("group", **shown)
