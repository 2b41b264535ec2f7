"""Which logs at relays a group has, and what is to be put into them.

Each epoch has a log of its own at each relay of the group, with keys that all members of the epoch compute. What is
sealed under an epoch goes into its logs, an event too: so whoever was away begins with the logs of the newest epoch
that it knows, and finds there what leads to the next. `log_carrier` reads and appends.

A small group uses none: there everybody gets everything in the sessions of contacts, and no relay sees that there is a
group. Who manages a group says which relays it has, and anybody can found one with us; so it is bounded how many relays
one group has us go to, and how many logs it has us read.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from p2pchat.core.groups.epochs import CHAINS_MS, LINKS_MS
from p2pchat.core.groups.log_relays import LOGS, MAX_LOG_RELAYS, LogRelay
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import MessageId
from p2pchat.engine.groups import history, pairwise
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import logs as store_logs
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.logs import LogRow

MAX_BOTH = 256
"""Members of a group up to which its events go to contacts too, whether they have a link or not."""
READ_ON_MS = LINKS_MS
"""How long the logs of an epoch that is over are read all the time, and those of a relay that the group has left at
all."""
VISITED_MS = CHAINS_MS
"""How long the former are read now and then, as long as the epoch is kept: of who was away while another one was made,
and wrote, all comes there."""
MAX_READ_ON = 96
"""Logs of one group that are read on, at most; with three relays, those of 32 epochs."""
MAX_READ_ON_FULL = 256
"""Where something of ours is yet to be put into them, of no more than this."""
MAX_HEADS = 8
"""Epochs of one group whose logs are used, where several stand beside each other."""
MAX_LEFT_RELAYS = 2 * MAX_LOG_RELAYS
"""Relays that a group has left and whose logs are read on: an admin could name others all day, and send all there."""


class GroupWay(Enum):
    """How what is said in a group is carried."""

    CONTACTS = auto()
    """In the sessions of those who are contacts, and by nothing else: it is small, or has no logs."""
    BOTH = auto()
    """By its logs, and to contacts who may do with hearing of it sooner, or at all."""
    LOGS = auto()
    """By its logs. Contacts with a link hear of what fits into one item: what is longer, as new keys for thousands are,
    would be sent to each of them once more.
    """


def way_of(tx: Transaction, row: GroupRow, settings: Mapping[str, Any]) -> GroupWay:
    """Return how a group with these settings is carried now."""
    members = store_members.count(tx.db, row.chat, max(pairwise.MAX_PAIRWISE, MAX_BOTH) + 1)
    if members <= pairwise.MAX_PAIRWISE or LOGS.read(settings) is None:
        return GroupWay.CONTACTS
    return GroupWay.BOTH if members <= MAX_BOTH else GroupWay.LOGS


def of_epoch(tx: Transaction, row: GroupRow, epoch: EpochRow, settings: Mapping[str, Any]) -> list[LogRow]:
    """Return the logs of an epoch, those that are used from now on too. settings: of the group."""
    known = store_logs.of_epoch(tx.db, epoch.pk)
    log_relays = LOGS.read(settings)
    if log_relays is None:
        return known
    in_use = {(log.at, log.admin) for log in known if log.until is None}
    missing = [relay for relay in log_relays.relays if (relay, log_relays.admin) not in in_use]
    before = {log.at for log in store_logs.of(tx.db, row.chat)} if missing else set[LogRelay]()
    for relay in missing:
        if relay in before or tx.memory.group_limits.may_move(row.chat, tx.now):
            store_logs.put(tx.db, row.chat, epoch.pk, relay, log_relays.admin)
            tx.group_logs_changed = True
    return store_logs.of_epoch(tx.db, epoch.pk) if missing else known


def settle(tx: Transaction, row: GroupRow) -> None:
    """Use the logs of the newest epochs of a group, if it is large enough for that, and read those of earlier ones on
    for a while.
    """
    state, used = history.log_of(tx, row.chat).state, set[int]()
    log_relays = None if way_of(tx, row, state.settings) is GroupWay.CONTACTS else LOGS.read(state.settings)
    wanted = set() if log_relays is None else {(relay, log_relays.admin) for relay in log_relays.relays}
    for head in state.epoch_heads[:MAX_HEADS] if wanted else ():
        epoch = store_epochs.get(tx.db, row.chat, head.id)
        if epoch is not None:
            used |= {log.pk for log in of_epoch(tx, row, epoch, state.settings) if (log.at, log.admin) in wanted}
    peers = {relay.peer for relay, _ in wanted}
    for log in store_logs.of(tx.db, row.chat):
        until = tx.latest + (VISITED_MS if log.relay in peers else READ_ON_MS)
        if (log.until is None and log.pk not in used) or (log.relay not in peers and (log.until or 0) > until):
            store_logs.retire(tx.db, log.pk, until)
            tx.group_logs_changed = True
    for relay in store_logs.left_relays(tx.db, row.chat)[MAX_LEFT_RELAYS:]:
        store_logs.leave(tx.db, row.chat, relay)
        tx.group_logs_changed = True
    if store_logs.trim_retired(tx.db, row.chat, MAX_READ_ON, MAX_READ_ON_FULL):
        tx.group_logs_changed = True


def read_on(tx: Transaction, log: LogRow) -> None:
    """Read the log of an epoch that is over as long as if that were over since now: what we have just put there may be
    a change that we made long ago, and others may have put another one there meanwhile.
    """
    store_logs.retire(tx.db, log.pk, tx.latest + VISITED_MS)


def is_visited(log: LogRow, now: int) -> bool:
    """Return whether a log is read now and then only. now: ms."""
    return log.until is not None and READ_ON_MS < log.until - now < VISITED_MS - READ_ON_MS


def tick(tx: Transaction) -> None:
    """Forget the logs that were read for the last time, and look again at which are read all the time."""
    if store_logs.expire(tx.db, tx.passed) or store_logs.any_retired(tx.db):
        tx.group_logs_changed = True


def queue(tx: Transaction, row: GroupRow, logs: list[LogRow], item: int, message: MessageId | None) -> None:
    """Have an item of ours put into these logs. item: its pk. message: the one that it carries."""
    for log in logs:
        store_logs.queue(tx.db, log.pk, item, message, admin=row.role <= Role.ADMIN)
        tx.group_logs_waiting[log.pk] = None
