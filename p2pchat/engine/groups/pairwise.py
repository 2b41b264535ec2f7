"""Carries items to members who are contacts: each item is a content of its own in the session with them.

In a small group everybody gets everything so, through ordinary outboxes, whether they are on line or not; and whoever
gets something new passes it on to those of their contacts there whom the sender does not name as served. So two members
who do not know each other read each other, as long as somebody knows both. In a larger group only contacts with a link
are told, since everybody reads the logs.
"""

from __future__ import annotations

from p2pchat.core.contents import GroupItem
from p2pchat.core.contents.group_item import MAX_KNOWN
from p2pchat.core.ids import MemberId, MessageId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import reach
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow

MAX_PAIRWISE = 8
"""Members of a group up to which every item is carried to every member who is a contact."""


def carry(
    tx: Transaction,
    row: GroupRow,
    epoch: EpochRow,
    sealed: bytes,
    known: frozenset[MemberId],
    message: MessageId | None,
    *,
    everybody: bool,
    doubted: frozenset[MemberId] = frozenset(),
) -> None:
    """Queue an item of an epoch for the members who are contacts and have that, without those who have the item.
    message: the id under which receipts for it are followed. everybody: for those who have no link now too; they find
    it in no log. doubted: of those who have the item, whom that is only said of; they are told if they have a link.
    """
    targets = []
    for member, contact in reach.within(tx, row.chat).items():
        if member in known - doubted or store_epochs.chain(tx.db, epoch.pk, member) is None:  # added after it
            continue
        if (everybody and member not in doubted) or tx.net.route(contact.id) is not None:
            targets.append((member, contact))
    served = tuple(sorted(known | {row.member, *(member for member, _ in targets)}))[:MAX_KNOWN]
    for _, contact in targets:
        outbound.queue(tx, contact, GroupItem(row.group_id, sealed, served), message_id=message)
        outbound.nudge(tx, contact)
