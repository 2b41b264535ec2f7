"""Tells those whom we added what they cannot read: an event that was made beside the one that added them.

It is sealed under an epoch that came before them. Whoever added somebody has a session with them, and so passes it on,
sealed under an epoch that they have. The same is done for all by whoever merges two epochs (`changes`).
"""

from __future__ import annotations

from p2pchat.core.groups.items import EventItem
from p2pchat.core.ids import EpochId, MemberId
from p2pchat.engine.groups import carriage, history, reach
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow


def tell(tx: Transaction, row: GroupRow, epoch: EpochRow, raw: bytes) -> None:
    """Pass on an event that came sealed under `epoch` to those whom we added and who do not have that."""
    state = history.log_of(tx, row.chat).state
    ours = {
        member: contact
        for member, contact in reach.within(tx, row.chat).items()
        if member in state.members and state.members[member].added_by == row.member
    }
    for member in sorted(history.lack(tx, row.chat, epoch.id, ours)):
        theirs = next((head.id for head in state.epoch_heads if _has(tx, row, member, head.id)), None)
        under = None if theirs is None else store_epochs.get(tx.db, row.chat, theirs)
        if under is not None:
            carriage.send_to(tx, row, ours[member], under, EventItem(raw))


def _has(tx: Transaction, row: GroupRow, member: MemberId, epoch: EpochId) -> bool:
    return not history.lack(tx, row.chat, epoch, [member])
