"""Notes in the database which blobs are on the disk: those of all fetches in one sync and one transaction.

A blob is noted after its bytes are synced, so what the database says is here is here after a power cut too. While one
transaction commits, what is written meanwhile gathers for the next; so messages never wait for more than one of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import trio

from p2pchat.engine.files.fetch import FileFetch
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.wakeup import Wakeup
from p2pchat.store import files as store_files
from p2pchat.store.files import FileRow, FileState

SAVE_EVERY = 32
"""Blobs of one file, 2 MiB, after which it is synced at once: a power cut loses no more than these, and what came while
they were being saved. A process that is killed loses none of them: see `fetcher`.
"""
SAVE_SECONDS = 0.5
"""Seconds after which fewer are synced too."""

Whole = Callable[[Transaction, FileRow], object]


class Progress:
    """Saves what fetches have written. submit, beside: those of the committer. whole: what follows in the transaction
    in which a file has all its blobs.
    """

    def __init__(
        self,
        submit: Callable[..., Awaitable[Any]],
        beside: Callable[[Callable[[], object]], Awaitable[object]],
        whole: Whole,
    ) -> None:
        self._submit, self._beside, self._whole = submit, beside, whole
        self._due: dict[FileFetch, None] = {}
        self._written = Wakeup()
        self._enough = Wakeup()

    def note(self, fetch: FileFetch) -> None:
        """Save soon what a fetch has written."""
        self._due[fetch] = None
        self._written.set()
        if len(fetch.unsaved) >= SAVE_EVERY or fetch.plan.whole:
            self._enough.set()

    async def run(self) -> None:
        """Save until cancelled."""
        while True:
            await self._written.wait()
            with trio.move_on_after(SAVE_SECONDS):
                await self._enough.wait()
            self._written.clear()
            self._enough.clear()
            due, self._due = self._due, {}
            await self._save([(fetch, tuple(fetch.unsaved)) for fetch in due if fetch.unsaved])

    async def _save(self, batch: Sequence[tuple[FileFetch, Sequence[int]]]) -> None:
        synced = []
        for fetch, slots in batch:
            try:
                await self._beside(partial(fetch.sealed.sync))
                synced.append((fetch, slots))
            except Exception as error:  # noqa: BLE001 - the disk of one file does not stop the others
                fetch.fail(error)
        try:
            await self._submit(self._mark, [(fetch.moving.row, slots) for fetch, slots in synced])
        except Exception as error:  # noqa: BLE001 - what was not noted is fetched again
            for fetch, _ in synced:
                fetch.fail(error)
            return
        for fetch, slots in synced:
            del fetch.unsaved[: len(slots)]
            fetch.saved(slots)

    def _mark(self, tx: Transaction, batch: Sequence[tuple[FileRow, Sequence[int]]]) -> None:
        for known, slots in batch:
            row = store_files.get(tx.db, known.message)
            if row is None or row.space != known.space or row.state != FileState.WAITING:
                continue  # deleted or paused meanwhile
            if store_files.mark(tx.db, row, slots) == row.layout.chunks:
                self._whole(tx, row)
