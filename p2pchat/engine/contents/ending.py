"""Deletes messages whose time is over, with everything about them, and chats that are being cleared."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import trio

from p2pchat.engine.contacts import forgetting
from p2pchat.engine.contents import about
from p2pchat.engine.delivery import read_receipts
from p2pchat.engine.files import taking_back
from p2pchat.engine.runtime.clock_watch import ClockWatch
from p2pchat.engine.runtime.effects import Effects
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError
from p2pchat.store import chats as store_chats
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store import timers as store_timers
from p2pchat.store import waiting as store_waiting
from p2pchat.store.database import Database

MAX_ENDED_AT_ONCE = 500
CHECK_EVERY_SECONDS = 20.0
"""Seconds between two checks: a machine that slept may not have counted the time."""
GATHER_SECONDS = 1.0
"""Messages that end within these seconds are deleted in one transaction, because each one is followed by a checkpoint
so that the words leave the disk.
"""
RETRY_SECONDS = 60.0

log = logging.getLogger(__name__)


def end(tx: Transaction) -> bool:
    """Delete messages whose time is over, and the next part of a chat that is being cleared. Return whether there is
    more, for the next transaction.
    """
    clearing = forgetting.go_on_clearing(tx)
    rows = store_timers.ended(tx.db, tx.counted, MAX_ENDED_AT_ONCE)
    taking_back.note(tx, store_files.of(tx.db, [row.pk for row in rows]).values())
    for row in rows:
        about.withdraw(tx, row)
        about.unquote(tx, row)
        store_messages.delete(tx.db, row.pk)
        tx.event("state", id=row.id.hex(), chat=row.chat.hex(), state="deleted", route=None, at=None)
    ended = store_timers.end_drafts(tx.db, tx.counted)
    for chat in ended:
        unread = read_receipts.shown(store_chats.unread(tx.db, chat))
        tx.event("chat", id=chat.hex(), **unread, timer=tx.timer(chat) or None, draft="")
    if rows or ended or store_waiting.expire(tx.db, tx.counted):
        tx.erased = True
    return clearing or len(rows) == MAX_ENDED_AT_ONCE


class Endings:
    """Runs `end` when a message's time is over. submit, read: those of the committer."""

    def __init__(
        self,
        submit: Callable[..., Awaitable[Any]],
        read: Callable[..., Awaitable[Any]],
        clock_watch: ClockWatch,
    ) -> None:
        self._submit, self._read = submit, read
        self._clock_watch = clock_watch
        self._next = inf
        self._erased = True  # the run before may have been cut short between a commit and its checkpoint
        self._wake = trio.Event()

    def committed(self, effects: Effects) -> None:
        """After a commit, check whether a message ends sooner now, or whether deleted words are still in the log."""
        self._erased |= effects.erased
        if self._erased or (effects.ends_at is not None and effects.ends_at < self._next):
            self._wake.set()

    async def clean_log(self) -> None:
        """Erase what was deleted from the database's log too, now or as soon as that is possible."""
        cleaned = False
        try:
            cleaned = await self._read(Database.checkpoint)
        finally:
            if not cleaned:
                self._erased = True
                self._wake.set()

    async def run(self) -> None:
        """Delete what is due, until cancelled."""
        while True:
            try:
                await self._wait()
                while await self._submit(end):
                    pass  # others had their turn
                if self._erased:
                    self._erased = False
                    await self.clean_log()
                await trio.sleep(GATHER_SECONDS)
            except P2PChatError as error:  # a full disk now may have room soon
                log.warning("messages that have ended could not be deleted: %s", type(error).__name__)
                await trio.sleep(RETRY_SECONDS)

    async def _wait(self) -> None:
        """Wait until something is due, or was deleted."""
        while not self._erased:
            self._wake = trio.Event()
            ends_at = await self._read(store_timers.next_end)
            self._next = inf if ends_at is None else ends_at
            while not self._wake.is_set():
                self._clock_watch.check()
                left = (self._next - self._clock_watch.counted) / 1000
                if left <= 0:
                    return
                with trio.move_on_after(left if left == inf else min(left, CHECK_EVERY_SECONDS)):
                    await self._wake.wait()
