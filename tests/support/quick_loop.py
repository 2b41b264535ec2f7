"""An asyncio loop whose short waits cost no time, for tests of the screen.

Textual's pilot sleeps 20 ms after every key, and Textual's timers sleep as long between two frames. Where nothing is
ready and the next timer is due within `JUMP_SECONDS`, this loop sets its clock forward to it. Longer waits, and those
for threads and sockets without a timer, are what they always are.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from textual import _time

T = TypeVar("T")
JUMP_SECONDS = 0.06
"""Three frames of a screen, and a batch of its events."""
GLANCE_SECONDS = 0.0002
"""How long threads and sockets may have something to say before the clock is set forward."""


class _Selector(selectors.DefaultSelector):
    """Waits for a glance where the loop wants to sleep for a short time; `jumped` is the rest, in seconds."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or not GLANCE_SECONDS < timeout <= JUMP_SECONDS:
            return super().select(timeout)
        events = super().select(GLANCE_SECONDS)
        if not events:
            self.jumped += timeout
        return events


class QuickLoop(asyncio.SelectorEventLoop):
    """The loop. Its clock is `jumped` seconds ahead of the real one."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """The time of this loop, in seconds."""
        return super().time() + self._jumping.jumped


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run one asyncio test to its end, and Textual's timers by the loop's clock."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=QuickLoop) as runner:
        patch.setattr(_time, "get_time", runner.get_loop().time)
        return runner.run(main)
