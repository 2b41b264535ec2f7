"""A file that is read as far as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable

import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core.files import CHUNK_BYTES


class HeldSource:
    """A file of so many full chunks, of zeros, whose reading stops in the middle of its chunk `held`, counted from 0.
    read: how many chunks were read.
    """

    def __init__(self, chunks: int, held: int) -> None:
        self.size = chunks * CHUNK_BYTES
        self.read = 0
        self._held = held
        self._go_on = threading.Event()
        self._stopped = trio.Event()

    def chunk(self, number: int) -> bytes:
        if number == self._held:
            trio.from_thread.run_sync(self._stopped.set)
            self._go_on.wait()
        self.read += 1
        return bytes(CHUNK_BYTES)

    def check(self) -> None:
        """It does not change."""

    def close(self) -> None:
        """It holds nothing."""

    async def cancel(self, function: Callable[[], object]) -> bool:
        """Run `function`, which reads this, in a thread, and cancel it where the reading stops. Return whether it ended
        by that.
        """
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, function)
                with trio.CancelScope(shield=True):
                    await self._stopped.wait()
                    scope.cancel()
                    await wait_all_tasks_blocked()
                    self._go_on.set()
        return scope.cancelled_caught
