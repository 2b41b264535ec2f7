"""Keeps one host alive: whatever ends it, it is started again, with the same key and the same handlers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import trio

from p2pchat.lib.backoff import Backoff

if TYPE_CHECKING:
    from trio_typing import TaskStatus

log = logging.getLogger("p2pchat.net")

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
GOOD_RUN = 300.0  # seconds after which a host counts as healthy, and the next failure as a first one


class Runnable(Protocol):
    """Something that can be supervised: `run` reports that it has started, and may be called again after it ended."""

    async def run(self, *, task_status: TaskStatus[None] = ...) -> None:
        """Run until cancelled, and report started once it works."""
        ...


class Supervisor:
    """Runs a host for ever. `restarts` counts how often it had to be started again; `waiting` is true in between."""

    def __init__(self, host: Runnable) -> None:
        self._host = host
        self.restarts = 0
        self.waiting = False

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the host, again after each failure, until cancelled. Reports started when the host first has.

        Only that first start may fail: then its error is raised, since nothing was running that could be kept alive (a
        port that is taken, for example).
        """
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        first = _Once(task_status)
        while True:
            began = trio.current_time()
            try:
                await self._host.run(task_status=first)
                log.error("the network ended by itself")
            except Exception as error:
                if not first.started_once:
                    raise
                log.error("the network failed: %s", _names(error))
            if trio.current_time() - began >= GOOD_RUN:
                backoff.reset()
            self.waiting = True
            await trio.sleep(backoff.pause())
            self.waiting = False
            self.restarts += 1


class _Once:
    """Reports that the host has started, the first time only."""

    def __init__(self, task_status: TaskStatus[None]) -> None:
        self._task_status = task_status
        self.started_once = False

    def started(self, value: None = None) -> None:
        if not self.started_once:
            self.started_once = True
            self._task_status.started(value)


def _names(error: BaseException) -> str:
    """Return the kinds of error, without their texts, which may contain addresses."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(_names(nested) for nested in error.exceptions)
    return type(error).__name__
