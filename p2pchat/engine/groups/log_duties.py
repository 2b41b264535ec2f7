"""What comes of the logs of groups, what became of what was put there, and whose relays carry a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from p2pchat.core import mailbox
from p2pchat.core.delivery import DeliveryEvent, Route
from p2pchat.core.groups import items
from p2pchat.core.groups.epochs import Leaf
from p2pchat.core.groups.log_relays import (
    LOGS,
    MAX_ADDRESS,
    MAX_LOG_RELAYS,
    MAX_SEALS,
    MAX_TOKEN,
    LogRelay,
    make_log_relays,
)
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId, MessageId
from p2pchat.engine.delivery import states
from p2pchat.engine.groups import changes, duties, history, logs, receive
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.store import relays as store_relays
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import logs as store_logs
from p2pchat.store.groups.groups import GroupRow

_FINAL = (mailbox.DONE, mailbox.MALFORMED, mailbox.NOT_ALLOWED)
"""Codes after which an item is not put again."""


def settle(tx: Transaction, chat: ChatId) -> None:
    """Do what follows for the logs of a group when something about it has changed."""
    row = store_groups.present(tx.db, chat)
    if row is None:
        tx.memory.logs_due.pop(chat, None)
        return
    _name_relays(tx, row)
    logs.settle(tx, row)


def check_all(tx: Transaction) -> None:
    """Do what is due for the logs of groups, where it is our turn by now."""
    for chat in list(tx.memory.logs_due):
        settle(tx, chat)


def came(tx: Transaction, pk: int, sealed: Sequence[bytes], upto: int) -> None:
    """Take items of the log with this pk, and note how far it was read. What is not of its epoch is no item."""
    log = store_logs.get(tx.db, pk)
    epoch = None if log is None else store_epochs.by_pk(tx.db, log.epoch)
    if log is None or epoch is None or not epoch.header:
        return
    store_logs.read_upto(tx.db, pk, upto)
    row = store_groups.get(tx.db, log.chat)
    fitting = [item for item in sealed if len(item) in items.SIZES and item.startswith(epoch.tag)]
    if row is not None and fitting:
        receive.take_all(tx, row, fitting, Route.MAILBOX)


def read_upto(tx: Transaction, places: Mapping[int, int]) -> None:
    """Note how far logs, by pk, were read, where nothing new has come."""
    for pk, place in places.items():
        store_logs.read_upto(tx.db, pk, place)


def placed(tx: Transaction, pk: int, results: Sequence[tuple[int, MessageId | None, int]]) -> None:
    """Note what became of items that were to be put into a log: (pk, message, code of `core.mailbox`)."""
    log = store_logs.get(tx.db, pk)
    if log is None:
        return
    store_logs.done(tx.db, pk, [item for item, _, code in results if code in _FINAL])
    stored = [message for _, message, code in results if message is not None and code == mailbox.DONE]
    states.advance(tx, log.chat, stored, DeliveryEvent.STORED, Route.MAILBOX)
    epoch = store_epochs.by_pk(tx.db, log.epoch)
    if epoch is not None and not epoch.header and not store_logs.waits(tx.db, log.epoch):  # of a group that we left
        store_epochs.remove(tx.db, log.epoch)
        tx.group_logs_changed = True


def _name_relays(tx: Transaction, row: GroupRow) -> None:
    """Name relays of ours for a group that has none, or make a key for its admins where these have changed; the most
    senior who may does so at once, the others in turn if it is not done. That is done before the group is so large that
    it needs them, while everybody is sure to hear of it.
    """
    state = history.log_of(tx, row.chat).state
    if row.member not in state.members or row.role > Role.ADMIN:
        tx.memory.logs_due.pop(row.chat, None)
        return
    admins = [member for member in state.members.values() if member.role <= Role.ADMIN]
    known = LOGS.read(state.settings)
    relays = _own_relays(tx) if known is None else list(known.relays)
    sealed = sorted(member.id for member in admins)[:MAX_SEALS]
    if not relays or (known is not None and sorted(member for member, _ in known.seals) == sealed):
        tx.memory.logs_due.pop(row.chat, None)
        return
    if duties.is_our_turn(tx, tx.memory.logs_due, row.chat, state, row.member):
        leaves = [Leaf(member.id, member.leaf) for member in admins]
        made = make_log_relays(row.group_id, relays, leaves, tx.random)
        with suppress(NotNow):
            changes.change_setting(tx, row, LOGS.key, made.value())


def _own_relays(tx: Transaction) -> list[LogRelay]:
    """Return relays of ours that others may reach."""
    fitting = [
        LogRelay(relay.peer, relay.reached_at[0], relay.token)
        for relay in store_relays.all(tx.db)
        if relay.kept and len(relay.reached_at[0]) <= MAX_ADDRESS and len(relay.token) <= MAX_TOKEN
    ]
    return fitting[:MAX_LOG_RELAYS]
