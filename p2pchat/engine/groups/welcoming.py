"""Tells new members what they need: the secret of the epoch that made them members, and the whole log."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from p2pchat.core.contents import GroupWelcome
from p2pchat.core.groups import welcome
from p2pchat.core.groups.events import GroupEvent
from p2pchat.core.groups.state import Member
from p2pchat.core.groups.welcome import Welcome
from p2pchat.core.ids import EpochId, MemberId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import history, reach
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups.groups import GroupRow

log = logging.getLogger(__name__)


def can_send(tx: Transaction, row: GroupRow) -> bool:
    """Return whether the log of a group is not too long for newcomers."""
    return welcome.fits(*store_events.size(tx.db, row.chat))


def send(tx: Transaction, row: GroupRow, contact: Contact, member: MemberId, epoch: EpochId, secret: bytes) -> None:
    """Send a member who is a contact the secret of an epoch, and the log; nothing if that is too long."""
    if not can_send(tx, row):
        log.warning("the log of a group is too long to be sent")
        return
    told = tuple(event.event for event in store_events.all(tx.db, row.chat))
    for part in welcome.cut_welcome(Welcome(row.group_id, member, epoch, secret, told)):
        outbound.queue(tx, contact, GroupWelcome(part))
    outbound.nudge(tx, contact)


def welcome_siblings(
    tx: Transaction, row: GroupRow, event: GroupEvent, secret: bytes, members: Mapping[MemberId, Member]
) -> None:
    """Send the secret of an epoch to those whom we added, and who cannot compute it: they were added beside the epoch
    from which it went on, so they do not have that. members: of the epoch.
    """
    if event.prev_epoch is None:
        return
    ours = {
        member: contact
        for member, contact in reach.within(tx, row.chat).items()
        if member in members and members[member].added_by == row.member and members[member].added_in != event.id
    }
    for member in sorted(history.lack(tx, row.chat, event.prev_epoch, ours)):
        send(tx, row, ours[member], member, event.id, secret)
