"""Opens items of a group, whoever brought them: a message, an event of the log, or a part of one of those.

The same item may come again and by any way; its id tells. One of an unknown tag waits for its epoch, and an event for
its parents, in bounded numbers. Whoever seals an item is a member, and still anything in it may be a lie: a message
proves its author by a signature, an event its right by the log. What cannot be opened changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum, auto

from p2pchat.core.content import decode_content
from p2pchat.core.contents import GroupMeet
from p2pchat.core.delivery import Route
from p2pchat.core.groups import chains, events, items, messages
from p2pchat.core.groups.events import GroupEvent
from p2pchat.core.groups.items import MessageItem, PartItem
from p2pchat.core.ids import ChatId, ItemId, MemberId, sender_of
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.groups import adopting, carriage, gaps, history, reach, sending, siblings, transcript
from p2pchat.engine.groups.adopting import EventOutcome
from p2pchat.engine.groups.item_batch import ItemBatch, has_room, stored_bytes
from p2pchat.engine.groups.opening import OpenedItem, OpenedMessage, open_all
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.store import chats as store_chats
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.items import NOBODY, WaitingItem

log = logging.getLogger(__name__)


class ItemOutcome(Enum):
    """What became of an item."""

    TAKEN = auto()
    """Others may want it."""
    NEW = auto()
    """The same, and what waited may wait for this."""
    DROPPED = auto()
    """It says nothing, and never will."""


def take(
    tx: Transaction,
    row: GroupRow,
    sealed: bytes,
    route: Route,
    known: frozenset[MemberId] | None,
    by: MemberId = NOBODY,
) -> None:
    """Handle an item that came. known: members who have it, as whoever brought it says; None: it is where all find
    it. by: the member who brought it, `NOBODY` for one whom we do not know.
    """
    with ItemBatch(tx, row, route) as batch:
        if _take(batch, items.item_id(sealed), sealed, route, known, by):
            _take_waiting(batch, route)


def take_all(tx: Transaction, row: GroupRow, sealed: Sequence[bytes], route: Route) -> None:
    """Handle items that came together from where all find them."""
    came = [(items.item_id(item), item) for item in sealed]
    with ItemBatch(tx, row, route, [id for id, _ in came]) as batch:
        opened = open_all(batch, row, came)
        for id, item in came:
            if _take(batch, id, item, route, None, NOBODY, opened.get(id)):
                _take_waiting(batch, route)


def take_waiting(tx: Transaction, chat: ChatId, route: Route) -> None:
    """Try what waits in a group, until nothing more comes of it."""
    row = store_groups.get(tx.db, chat)
    if row is not None:
        with ItemBatch(tx, row, route) as batch:
            _take_waiting(batch, route)


def _take_waiting(batch: ItemBatch, route: Route) -> None:
    again = True
    while again and batch.row is not None:
        again = False
        chat = batch.row.chat
        for waiting in store_items.waiting(batch.tx.db, chat):
            if batch.row is None:
                return
            if waiting.epoch is None and batch.epoch(waiting.item[: items.TAG_BYTES]) is None:
                continue
            store_items.waits_no_more(batch.tx.db, chat, waiting.id)
            if waiting.epoch is None:
                again |= _take(batch, ItemId(waiting.id), waiting.item, route, carriage.NOBODY_ELSE, waiting.member)
            elif (epoch := store_epochs.by_pk(batch.tx.db, waiting.epoch)) is not None:
                again |= _open(batch, epoch, waiting, route)


def _take(
    batch: ItemBatch,
    id: ItemId,
    sealed: bytes,
    route: Route,
    known: frozenset[MemberId] | None,
    by: MemberId,
    opened: OpenedItem | None = None,
) -> bool:
    """Handle one item; return whether something may be opened now that could not be before. opened: what is in it, if
    it was opened already.
    """
    tx, row = batch.tx, batch.row
    if row is None:
        return False
    if batch.was_seen(id):
        if known is None:
            sending.was_read(batch.tx, row, id)
        return False
    try:
        epoch = batch.epoch(items.tag_of(sealed))
    except CannotOpen:
        return False
    if epoch is None:
        store_items.wait(tx.db, row.chat, id, sealed, tx.now, by)
        return False
    if not epoch.header:  # of a group that we have left, perhaps by what came just before
        return False
    try:
        if opened is None:
            opened = OpenedItem(items.open_item(sealed, epoch.id, batch.secrets(epoch)))
    except CannotOpen:  # no member has sealed it; who brings such can make any number, so they are not noted
        return False
    batch.see(id)
    try:
        outcome = _apply(batch, row, epoch, opened, route)
    except CannotOpen:
        outcome = ItemOutcome.DROPPED
    if outcome is ItemOutcome.DROPPED:
        log.debug("an item of a group was dropped")
        return False
    now = batch.row
    # those who have what it waits for can use it at once
    if now is not None and known is not None and not _was_removed(tx, now):
        carriage.pass_on(tx, now, epoch, opened.item, sealed, known, by)
    return outcome is ItemOutcome.NEW


def _open(batch: ItemBatch, epoch: EpochRow, waiting: WaitingItem, route: Route) -> bool:
    """Handle what was open already, and waited; return as `_take`."""
    assert batch.row is not None
    try:
        opened = OpenedItem(items.open_whole(waiting.item))
        return _apply(batch, batch.row, epoch, opened, route, waiting.at) is ItemOutcome.NEW
    except CannotOpen:
        return False


def _apply(
    batch: ItemBatch, row: GroupRow, epoch: EpochRow, opened: OpenedItem, route: Route, since: int | None = None
) -> ItemOutcome:
    """Apply what is in an item of an epoch. since: when (ms) one came that waited. Raises CannotOpen if it is not
    valid.
    """
    tx, item = batch.tx, opened.item
    if isinstance(item, PartItem):
        whole = batch.parts.keep(item.part)
        if whole is None:
            return ItemOutcome.TAKEN
        outcome = _apply(batch, row, epoch, OpenedItem(items.open_whole(whole)), route)
        return (
            outcome if outcome is not ItemOutcome.DROPPED else ItemOutcome.TAKEN
        )  # the others need all parts, to see that
    if isinstance(item, MessageItem) and _was_removed(tx, row):
        raw = item.encode()
        store_items.wait(tx.db, row.chat, items.item_id(raw), raw, since or tx.now, item.member, epoch.pk)
        return ItemOutcome.TAKEN
    if isinstance(item, MessageItem):
        return _message(batch, row, epoch, item, route, opened.message)
    event = events.decode_unverified(item.event)
    batch.write()  # an event may delete chains, send what waited, and change all that was read
    try:
        adopted = adopting.take(tx, row, event)
    finally:
        batch.forget()
    if adopted in (EventOutcome.WAITING, EventOutcome.LATER):
        id = items.item_id(item.event)
        store_items.wait(tx.db, row.chat, id, item.encode(), since or tx.now, _account(tx, row, event), epoch.pk)
        return ItemOutcome.TAKEN if adopted is EventOutcome.WAITING else ItemOutcome.DROPPED
    siblings.tell(tx, row, epoch, item.event)
    return ItemOutcome.NEW if adopted is EventOutcome.CHANGED else ItemOutcome.TAKEN


def _account(tx: Transaction, row: GroupRow, event: GroupEvent) -> MemberId:
    """Return on whose account an event waits: all authors of whom nothing is known yet, of whom anybody can make any
    number, share one.
    """
    return event.author_id if event.author_id in history.log_of(tx, row.chat).added else NOBODY


def _message(
    batch: ItemBatch, row: GroupRow, epoch: EpochRow, item: MessageItem, route: Route, opened: OpenedMessage | None
) -> ItemOutcome:
    """Open a message, move its author's chain on, and do what it says. opened: the message, if it was opened before
    others were taken, which may have changed what it is to be opened with.
    """
    tx = batch.tx
    member, chain = batch.member(item.member), batch.chain(epoch.pk, item.member)
    if member is None or chain is None or item.member == row.member:
        return ItemOutcome.DROPPED
    if not has_room(tx, item):
        log.info("a member of a group writes more than one may have us store")
        return ItemOutcome.DROPPED
    if opened is not None and opened.before == chain and opened.sign == member.sign:
        read = opened.read
    else:
        read = messages.read(
            row.group_id,
            epoch.id,
            item.member,
            member.sign,
            chain,
            item.number,
            item.body,
            lambda number: store_epochs.skipped(tx.db, epoch.pk, item.member, number),
            lambda count: tx.memory.group_limits.may_skip(row.chat, item.member, count, tx.now),
        )
    if read.found.used:
        store_epochs.use_skipped(tx.db, epoch.pk, item.member, item.number)
    else:
        batch.put_chain(epoch.pk, item.member, read.found.chain)
    if read.found.skipped:
        store_epochs.skip(tx.db, epoch.pk, item.member, read.found.skipped, tx.now)
        of_sender, of_group = chains.surplus(*store_epochs.count_skipped(tx.db, row.chat, item.member))
        store_epochs.trim_skipped(tx.db, row.chat, of_sender, item.member)
        store_epochs.trim_skipped(tx.db, row.chat, of_group)
        gaps.skipped(tx, row, epoch, item.member, range(chain.next, item.number))
        batch.gaps.pop(epoch.pk, None)
    transcript.read(batch, row, epoch, read.message, item.body)
    tx.storage_limits.spend(sender_of(item.member), stored_bytes(item), tx.now, unread=False)
    batch.knows(member, b"".join(read.message.log_heads))
    try:
        content = decode_content(read.message.content)
    except CannotOpen:  # its author's node is newer, or lies
        return ItemOutcome.TAKEN
    unwanted = not content.kind.in_group or reach.is_blocked(tx, member.contact)
    if not unwanted and group_rules.may_post(tx, row, member, content):
        batch.texts.apply(row, batch.author(item.member), read.message, content)
        if isinstance(content.payload, GroupMeet):  # it says which contact somebody is
            batch.write()
            batch.forget()
    return ItemOutcome.TAKEN


def _was_removed(tx: Transaction, row: GroupRow) -> bool:
    """Return whether we are no member any more. Messages wait then: they are shown if the removal turns out void."""
    if row.epoch is not None:
        return False
    chat = store_chats.get(tx.db, row.chat)
    return chat is None or chat.ended_at is not None
