"""Carries items: everything that is said in a group goes this way out, by every way there is."""

from __future__ import annotations

from p2pchat.core.contents import GroupItem
from p2pchat.core.groups import items
from p2pchat.core.groups.epochs import EpochSecrets
from p2pchat.core.groups.items import EventItem, MessageItem
from p2pchat.core.ids import MemberId, MessageId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import logs, pairwise
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow

NOBODY_ELSE: frozenset[MemberId] = frozenset()


def secrets_of(epoch: EpochRow) -> EpochSecrets:
    """Return what is kept of an epoch; b"" in place of what was deleted."""
    return EpochSecrets(epoch.header, epoch.join_key or b"", epoch.exporter or b"", epoch.topic)


def send(
    tx: Transaction, row: GroupRow, epoch: EpochRow, item: MessageItem | EventItem, message: MessageId | None = None
) -> None:
    """Seal a message or an event under an epoch, and carry it. message: the id of what is ours to be followed."""
    sealed = items.seal_items(item, epoch.id, secrets_of(epoch), items.SIZES[0], tx.random)
    used = logs.are_used(tx, row)
    places = logs.of_epoch(tx, row, epoch) if used else []
    # whoever does not hear of a change may not know which logs to read
    everybody = not used or isinstance(item, EventItem)
    for part in sealed:
        pk = store_items.see(tx.db, row.chat, items.item_id(part), part if places else None, tx.now)
        if pk is not None:
            logs.queue(tx, row, places, pk, message if part is sealed[-1] else None)
        followed = message if part is sealed[-1] else None
        pairwise.carry(tx, row, epoch, part, NOBODY_ELSE, followed, everybody=everybody)


def send_to(tx: Transaction, row: GroupRow, contact: Contact, epoch: EpochRow, item: EventItem) -> None:
    """Seal an event under an epoch for one member who is a contact."""
    for part in items.seal_items(item, epoch.id, secrets_of(epoch), items.SIZES[0], tx.random):
        outbound.queue(tx, contact, GroupItem(row.group_id, part))
    outbound.nudge(tx, contact)


def pass_on(tx: Transaction, row: GroupRow, epoch: EpochRow, sealed: bytes, known: frozenset[MemberId]) -> None:
    """Carry an item that came to those who may lack it. known: members who have it, as whoever it came from says."""
    pairwise.carry(tx, row, epoch, sealed, known, None, everybody=not logs.are_used(tx, row))
