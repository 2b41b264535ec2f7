"""What groups need as time passes: keys deleted that nobody needs, and new ones made where it is our turn."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.groups.epochs import CHAINS_MS, LINKS_MS, EpochAge, EpochDeletion, to_delete
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId
from p2pchat.engine.groups import (
    adopting,
    catching_up,
    duties,
    gaps,
    history,
    log_duties,
    logs,
    own_keys,
    receipts,
    receive,
    recovery_actions,
    sending,
)
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.effects import Effects
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError
from p2pchat.lib.times import DAY_MS, HOUR_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.store import chats as store_chats
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import joins as store_joins

Step = Callable[[Any], object]
TURN_SECONDS = 60.0
KEEP_SEEN_MS = 60 * DAY_MS
"""How long an item is remembered. Later its epoch is gone, and nothing of it can be opened."""
OFFER_MS = 30 * DAY_MS
"""How long a contact may take to answer an offer: one that stays could be answered after a removal."""

log = logging.getLogger(__name__)


def begin(tx: Transaction) -> bool:
    """After a start, see what is due, and return whether there are groups at all."""
    chats = sorted(store_groups.chats(tx.db))
    catching_up.skip_copied(tx)
    gaps.begin(tx)
    receipts.begin(tx)
    for chat in chats:
        sending.note_late(tx, chat)
        row = store_groups.present(tx.db, chat)
        if row is not None and row.role <= Role.ADMIN:
            duties.check(tx, chat)
            log_duties.settle(tx, chat)
    if chats:
        tidy(tx)
    return bool(chats)


def tidy(tx: Transaction) -> None:
    """Delete what no group needs any more, and renew keys that are old."""
    for chat in sorted(store_groups.chats(tx.db)):
        _delete_epochs(tx, chat)
        receive.take_waiting(tx, chat, Route.MAILBOX)
        catching_up.check(tx, chat)
        duties.check(tx, chat)
        log_duties.settle(tx, chat)
        recovery_actions.confirm(tx, chat)
        own_keys.check(tx, chat)
        store_items.forget_surplus(tx.db, chat)
    logs.tick(tx)
    own_keys.tick(tx)
    store_epochs.drop_skipped(tx.db, tx.passed - CHAINS_MS)
    store_items.forget_seen(tx.db, tx.passed - KEEP_SEEN_MS)
    store_items.forget_waiting(tx.db, tx.passed - CHAINS_MS)
    store_joins.expire_offers(tx.db, tx.passed - OFFER_MS)


def _delete_epochs(tx: Transaction, chat: ChatId) -> None:
    if tx.agreed:
        store_epochs.over_by(tx.db, chat, tx.now)
    rows, kept = {row.id: row for row in store_epochs.of(tx.db, chat)}, store_chats.get(tx.db, chat)
    if kept is not None and kept.ended_at is not None:
        if rows and tx.passed >= kept.ended_at + LINKS_MS:
            for row in rows.values():
                store_epochs.remove(tx.db, row.pk)
            tx.erased = tx.group_logs_changed = True
            adopting.end(tx, chat)
        return
    if len(rows) < 2:
        return
    ages = {
        row.id: EpochAge(row.over_since, row.exporter is not None, max(0, (row.over_since or 0) - row.adopted_at))
        for row in rows.values()
    }
    # while nobody may know of a change of ours, another one may go on from the same epoch
    merged = len(history.log_of(tx, chat).state.epoch_heads) == 1 and not store_items.keeps_sent(tx.db, chat)
    for epoch, deletion in to_delete(ages, tx.passed, merged=merged):
        if deletion is EpochDeletion.ALL:
            store_epochs.remove(tx.db, rows[epoch].pk)
        else:
            store_epochs.drop_links(tx.db, rows[epoch].pk)
        tx.erased = True


class GroupUpkeep:
    """Does what is due, while there are groups."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._wake = Wakeup()

    def committed(self, effects: Effects) -> None:
        """After a commit, begin to look after groups if there are any."""
        if effects.groups_changed or effects.group_work:
            self._wake.set()

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        begun = await self._attempt(self._committer.submit, begin)
        if begun is False:
            await self._wake.wait()
        tidied_at = trio.current_time()
        while True:
            self._wake.clear()
            memory = self._committer.memory
            due = (memory.keys_due, memory.logs_due, memory.gaps, memory.receipts_due, memory.lost_members, memory.late)
            turns = begun is None or any(due)
            with trio.move_on_after(TURN_SECONDS if turns else HOUR_SECONDS):
                await self._wake.wait()
                await trio.sleep(TURN_SECONDS)
            if begun is None:
                begun = await self._attempt(self._committer.submit, begin)
            steps = (duties.check_all, gaps.check_all, receipts.tell_all, log_duties.check_all)
            for step in (*steps, catching_up.answer_all, sending.send_late):
                await self._attempt(self._committer.submit, step)
            if not turns or trio.current_time() >= tidied_at + HOUR_SECONDS:
                tidied_at = trio.current_time()
                await self._attempt(self._committer.submit, tidy)
                await self._attempt(self._committer.read, Database.checkpoint)

    async def _attempt(self, run: Callable[[Step], Awaitable[object]], step: Step) -> object | None:
        """Do one of the steps, so that one that fails keeps none of the others from being done. Return what it returns,
        None if it failed.
        """
        try:
            return await run(step)
        except P2PChatError as error:  # a full disk now may have room in an hour
            log.warning("groups could not be looked after: %s", type(error).__name__)
            return None
