"""Carries items: everything that is said in a group goes this way out, by every way there is."""

from __future__ import annotations

from p2pchat.core.contents import GroupItem
from p2pchat.core.groups import events, items
from p2pchat.core.groups.epochs import EpochSecrets
from p2pchat.core.groups.events import ChangeSetting
from p2pchat.core.groups.items import EventItem, Item, MessageItem
from p2pchat.core.groups.log_relays import LOGS
from p2pchat.core.ids import ItemId, MemberId, MessageId
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.groups import history, logs, pairwise
from p2pchat.engine.groups.logs import GroupWay
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow

NOBODY_ELSE: frozenset[MemberId] = frozenset()


def secrets_of(epoch: EpochRow) -> EpochSecrets:
    """Return what is kept of an epoch; b"" in place of what was deleted."""
    return EpochSecrets(epoch.header, epoch.join_key or b"", epoch.exporter or b"", epoch.topic)


def send(
    tx: Transaction, row: GroupRow, epoch: EpochRow, item: MessageItem | EventItem, message: MessageId | None = None
) -> ItemId | None:
    """Seal a message or an event under an epoch, and carry it; return its last item if it goes into logs, or None.
    message: the id of what is ours to be followed.
    """
    sealed = items.seal_items(item, epoch.id, secrets_of(epoch), items.SIZES[0], tx.random)
    # an event may itself say which logs there are, and the log is at hand; a message does without it
    known = isinstance(item, MessageItem)
    settings = group_rules.settings_of(row) if known else history.log_of(tx, row.chat).state.settings
    way = logs.way_of(tx, row, settings)
    places = logs.of_epoch(tx, row, epoch, settings) if way is not GroupWay.CONTACTS else []
    in_sessions = way is not GroupWay.LOGS or len(sealed) == 1
    everybody = way is GroupWay.CONTACTS or (in_sessions and _leads_on(item, way))
    for part in sealed:
        id = items.item_id(part)
        pk = store_items.see(tx.db, row.chat, id, part if places else None, tx.now)
        if not places:  # else it matters that it is read there: see `sending`
            tx.group_items_seen.append(id)
        if pk is not None:
            logs.queue(tx, row, places, pk, message if part is sealed[-1] else None)
        followed = message if part is sealed[-1] else None
        if in_sessions:
            pairwise.carry(tx, row, epoch, part, NOBODY_ELSE, followed, everybody=everybody)
    return items.item_id(sealed[-1]) if places else None


def _leads_on(item: MessageItem | EventItem, way: GroupWay) -> bool:
    """Return whether those have to hear of this in their sessions who have no link now: else they might not know which
    logs to read. In a large group all read its logs already, and only others than these are news.
    """
    if isinstance(item, MessageItem):
        return False
    action = events.decode_verified(item.event).action
    return way is GroupWay.BOTH or (isinstance(action, ChangeSetting) and action.key == LOGS.key)


def send_to(tx: Transaction, row: GroupRow, contact: Contact, epoch: EpochRow, item: EventItem) -> None:
    """Seal an event under an epoch for one member who is a contact."""
    for part in items.seal_items(item, epoch.id, secrets_of(epoch), items.SIZES[0], tx.random):
        outbound.queue(tx, contact, GroupItem(row.group_id, part))
    outbound.nudge(tx, contact)


def pass_on(
    tx: Transaction,
    row: GroupRow,
    epoch: EpochRow,
    item: Item,
    sealed: bytes,
    known: frozenset[MemberId],
    by: MemberId,
) -> None:
    """Carry an item that came to those who may lack it. known: members who have it, as whoever it came from says. by:
    the member who brought it.

    What was sealed while the group was small is in no log: whoever knows no more than that is told in a session, though
    the group may have grown by just this. The author of such an event could say that all have it, and tell one member
    alone. Those without a link are not told for that: it would come before what a member said before their removal.
    """
    small = not store_epochs.has_more_than(tx.db, epoch.pk, pairwise.MAX_PAIRWISE)
    everybody = small or logs.way_of(tx, row, group_rules.settings_of(row)) is GroupWay.CONTACTS
    doubted = known - {by} if small and isinstance(item, EventItem) else NOBODY_ELSE
    pairwise.carry(tx, row, epoch, sealed, known, None, everybody=everybody, doubted=doubted)
