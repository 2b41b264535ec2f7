"""Seals our contents for a group, under the epoch that only its members can read.

A content waits while there is no such epoch: after a removal that was made beside another change, until somebody has
merged the two. It is sealed in the transaction that saves it, or in the one that adopts the epoch: the step of our
chain, the item and the rows that carry it are on disk together, before anything leaves.
"""

from __future__ import annotations

from p2pchat.core.content import decode_content
from p2pchat.core.groups import chains, messages
from p2pchat.core.groups.items import MessageItem
from p2pchat.core.ids import ChatId, EventId, MessageId
from p2pchat.engine.groups import carriage, past, transcript
from p2pchat.engine.runtime.effects import GroupContent
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups.groups import GroupRow

MAX_UNSENT_AT_ONCE = 64
"""Contents that waited for an epoch and are sealed in one transaction; the rest follows in the next."""
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
        if not _seal(tx, row, unsent.message, unsent.content):
            return
        store_items.sent(tx.db, unsent.pk)
    if len(rows) == MAX_UNSENT_AT_ONCE:
        tx.later(None, send_waiting, chat)


def _seal(tx: Transaction, row: GroupRow, message: MessageId, content: bytes) -> bool:
    """Seal a content with the next key of our chain; return False if there is no epoch to send it under."""
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
    past.keep(tx, row, written.message, decode_content(content))
    carriage.send(tx, row, epoch, MessageItem(row.member, written.message.number, written.body), message)
    return True


def heads_of(row: GroupRow) -> tuple[EventId, ...]:
    """Return the newest events of a group's log that are here."""
    return tuple(EventId(row.heads[start : start + ID_BYTES]) for start in range(0, len(row.heads), ID_BYTES))
