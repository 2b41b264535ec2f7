"""Where we can be reached: contacts are told when that has changed, not each time a relay comes or goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

SETTLE = 2.0
"""Seconds until a change is told: others often follow it."""
HOLD = 30.0
"""Seconds until the next one is."""


class Whereabouts:
    """`tell` tells contacts what they do not know yet."""

    def __init__(self, tell: Callable[[], Awaitable[object]]) -> None:
        self._tell = tell
        self._due = trio.Event()
        self._moved = trio.Event()

    def changed(self) -> None:
        """Something about it is different, or may be."""
        self._due.set()
        self._moved.set()
        self._moved = trio.Event()

    async def moved(self) -> None:
        """Wait for the next change."""
        await self._moved.wait()

    async def run(self) -> None:
        """Tell what changes, in time."""
        while True:
            await self._due.wait()
            await trio.sleep(SETTLE)
            self._due = trio.Event()
            await self._tell()
            await trio.sleep(HOLD)
