"""Alarms: something is to be looked at again after a while."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Generic, TypeVar

import trio

from p2pchat.lib.wakeup import Wakeup

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """`ring(what)` is called when its time has come; once for each time it was set."""

    def __init__(self, ring: Callable[[K], object]) -> None:
        self._ring = ring
        self._times: dict[K, float] = {}
        self._sooner = Wakeup()

    def __iter__(self) -> Iterator[K]:
        return iter(self._times)

    def set(self, what: K, seconds: float) -> None:
        """Ring for `what` in so many seconds, unless it is set already."""
        if what not in self._times:
            self._times[what] = trio.current_time() + seconds
            self._sooner.set()

    def clear(self, what: K) -> None:
        """Cancel the timer for `what`, if one is set."""
        self._times.pop(what, None)

    async def run(self) -> None:
        """Call back for each timer when it is due, until cancelled."""
        while True:
            self._sooner.clear()
            with trio.move_on_at(min(self._times.values(), default=inf)):
                await self._sooner.wait()
            now = trio.current_time()
            for what in [what for what, at in self._times.items() if at <= now]:
                self.clear(what)
                self._ring(what)
