"""Where turns run: in a thread, so that the loop goes on while the disk works; but a brief one at once.

Waking a thread and being woken by it takes a good part of a small turn's time. So a turn of few inputs that do little
runs in the loop's own thread for as long as the last such, wherever they ran, were quick: on a slow disk all go to the
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import trio

T = TypeVar("T")

BRIEF_BATCH = 4
"""Inputs of a brief transaction. Where more have gathered many are coming, and while a thread works still more can
gather.
"""
BRIEF_SECONDS = 0.005
"""Seconds for which a brief transaction may stop the loop."""
SMOOTHING = 0.9
"""By this the longest brief transaction counts less with each further one: one slow moment of a disk is not for
ever.
"""


def check_cancelled() -> None:
    """In a worker thread, raise trio.Cancelled if the task that waits for it has been cancelled. Elsewhere do nothing.
    What takes long calls this now and then, because a thread cannot be ended from outside.
    """
    with suppress(RuntimeError):  # the thread is not one of trio's
        trio.from_thread.check_cancelled()


class Worker:
    """Runs functions that work on the database, one at a time."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._took = 0.0

    async def __call__(self, function: Callable[..., T], *args: object, brief: bool = False) -> T:
        """`function(*args)`; `brief` if nothing but a slow disk can make it last."""
        if not brief:
            return await trio.to_thread.run_sync(function, *args)
        if self._took < BRIEF_SECONDS:
            return self._timed(function, *args)
        return await trio.to_thread.run_sync(self._timed, function, *args)

    def _timed(self, function: Callable[..., T], *args: object) -> T:
        began = self._clock()
        try:
            return function(*args)
        finally:
            self._took = max(self._clock() - began, SMOOTHING * self._took)
