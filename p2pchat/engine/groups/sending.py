"""Seals our contents for a group, under the epoch that only its members can read.

A content waits while there is no such epoch: after a removal that was made beside another change, until somebody has
merged the two. It is sealed in the transaction that saves it, or in the one that adopts the epoch: the step of our
chain, the item and the rows that carry it are on disk together, before anything leaves.

What goes into logs is kept until we read it there ourselves. Whoever was away may put it into logs of an epoch that has
been over for days, which nobody reads any more: if we come to know of a later epoch first, it is sealed again under
that. Those who have it already know its id.
"""

from __future__ import annotations

from p2pchat.core.content import decode_content
from p2pchat.core.groups import chains, events, messages
from p2pchat.core.groups.events import GroupEvent
from p2pchat.core.groups.items import EventItem, MessageItem
from p2pchat.core.ids import ChatId, EventId, ItemId, MessageId
from p2pchat.engine.groups import carriage, history, past, transcript
from p2pchat.engine.runtime.effects import GroupContent
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import MINUTE_MS
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.items import EVENT

MAX_UNSENT_AT_ONCE = 64
"""Contents that waited for an epoch and are sealed in one transaction; the rest follows in the next."""
SETTLE_MS = MINUTE_MS
"""How old an epoch is before something is sealed again under it: whoever comes back hears of many in a row."""
ID_BYTES = 32


def send(tx: Transaction, waiting: GroupContent) -> None:
    """Seal a content of ours and have it carried, or keep it until there is an epoch for it."""
    row = store_groups.present(tx.db, waiting.chat)
    if row is None:
        return
    before = store_items.unsent(tx.db, row.chat, 1)
    if before or not _seal(tx, row, waiting.message, waiting.content):
        store_items.leave_unsent(tx.db, row.chat, waiting.message, waiting.content)


def send_waiting(tx: Transaction, chat: ChatId) -> None:
    """Seal, in order, the contents that waited for an epoch; the rest follows in the next transaction."""
    row = store_groups.get(tx.db, chat)
    if row is None:
        return
    rows = store_items.unsent(tx.db, row.chat, MAX_UNSENT_AT_ONCE)
    for unsent in rows:
        if unsent.message == EVENT:
            sealed = _seal_event(tx, row, unsent.content)
        else:
            sealed = _seal(tx, row, unsent.message, unsent.content, again=unsent.epoch is not None)
        if not sealed:
            return
        store_items.sent(tx.db, unsent.pk)
    if len(rows) == MAX_UNSENT_AT_ONCE:
        tx.later(None, send_waiting, chat)


def was_read(tx: Transaction, row: GroupRow, item: ItemId) -> None:
    """Note that an item was read in a log of its epoch. What is ours need not be kept any more then: all members read
    it there, or will, unless some have gone on to another epoch before.
    """
    tx.group_items_seen.append(item)
    kept = store_items.kept_sent(tx.db, row.chat, item)
    epoch = None if kept is None else history.sending_epoch(tx, row)
    if kept is not None and epoch is not None and epoch.pk == kept.epoch:
        store_items.sent(tx.db, kept.pk)


def note_late(tx: Transaction, chat: ChatId) -> None:
    """Note if something of ours was sealed for other epochs than the present one and not read in their logs yet."""
    row = store_groups.get(tx.db, chat)
    epoch = None if row is None or row.epoch is None else store_epochs.get(tx.db, chat, row.epoch)
    if epoch is not None and store_items.keeps_sent_under_others(tx.db, chat, epoch.pk):
        tx.memory.late[chat] = None


def send_late(tx: Transaction) -> None:
    """Seal again, under the present epochs, what is ours and may be in logs that nobody reads any more."""
    for chat in list(tx.memory.late):
        row = store_groups.present(tx.db, chat)
        epoch = None if row is None else history.sending_epoch(tx, row)
        if row is None:
            del tx.memory.late[chat]
        elif epoch is not None and not tx.recent(epoch.adopted_at, SETTLE_MS):
            del tx.memory.late[chat]
            store_items.leave_unsent_again(tx.db, chat, epoch.pk)
            send_waiting(tx, chat)


def keep_event(tx: Transaction, row: GroupRow, event: GroupEvent, epoch: EpochRow, item: ItemId) -> None:
    """Keep an event of ours until we read it in a log, as a content. epoch: the one that it makes, or under which it
    was sealed. item: its last.
    """
    store_items.keep_sent(tx.db, row.chat, EVENT, events.without_rekey(event), epoch.pk, item)


def _seal_event(tx: Transaction, row: GroupRow, event: bytes) -> bool:
    """Seal an event of ours again; return False if there is no epoch to send it under."""
    epoch = None if row.epoch is None else store_epochs.get(tx.db, row.chat, row.epoch)
    if epoch is None:
        return False
    item = carriage.send(tx, row, epoch, EventItem(event))
    if item is not None:
        store_items.keep_sent(tx.db, row.chat, EVENT, event, epoch.pk, item)
    return True


def _seal(tx: Transaction, row: GroupRow, message: MessageId, content: bytes, *, again: bool = False) -> bool:
    """Seal a content with the next key of our chain; return False if there is no epoch to send it under. again: it was
    sealed before, under another one.
    """
    epoch = None if row.epoch is None else store_epochs.get(tx.db, row.chat, row.epoch)
    chain = None if epoch is None else store_epochs.chain(tx.db, epoch.pk, row.member)
    if epoch is None or chain is None or chain.next > chains.MAX_NUMBER:
        return False
    written = messages.write(
        row.group_id,
        epoch.id,
        row.member,
        row.sign_seed,
        chain,
        heads_of(row),
        transcript.newest(tx, epoch),
        content,
        tx.random,
    )
    store_epochs.put_chain(tx.db, epoch.pk, row.member, written.chain)
    transcript.wrote(tx, epoch, written.message, written.body)
    if not again:
        past.keep(tx, row, written.message, decode_content(content))
    item = carriage.send(tx, row, epoch, MessageItem(row.member, written.message.number, written.body), message)
    if item is not None:
        store_items.keep_sent(tx.db, row.chat, message, content, epoch.pk, item)
    return True


def heads_of(row: GroupRow) -> tuple[EventId, ...]:
    """Return the newest events of a group's log that are here."""
    return tuple(EventId(row.heads[start : start + ID_BYTES]) for start in range(0, len(row.heads), ID_BYTES))
