"""Arrivals: work that many wait for is done in the order in which they came, a little at a time.

Without it everybody who comes at once is served at once: each a bit in turn, so that all are ready at the very end,
when the first have long given up.
"""

from __future__ import annotations

import heapq
from itertools import count

import trio

AT_ONCE = 8
"""How many go on before the loop has been round once: each works for a millisecond or less."""


class Arrivals:
    """`run` until cancelled. Whoever waits for a turn works without waiting for anything else until its next one."""

    def __init__(self) -> None:
        self._numbers = count()
        self._order = count()
        self._waiting: list[tuple[int, int, trio.Event]] = []
        self._wake = trio.Event()

    def number(self) -> int:
        """Those with a lower number are let through first."""
        return next(self._numbers)

    async def turn(self, number: int) -> None:
        """Wait for a turn."""
        event = trio.Event()
        heapq.heappush(self._waiting, (number, next(self._order), event))
        self._wake.set()
        await event.wait()

    async def run(self) -> None:
        """Give turns."""
        while True:
            await self._wake.wait()
            for _ in range(min(AT_ONCE, len(self._waiting))):
                heapq.heappop(self._waiting)[2].set()
            if not self._waiting:
                self._wake = trio.Event()
            await trio.lowlevel.checkpoint()
