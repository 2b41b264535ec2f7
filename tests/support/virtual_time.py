"""Tests that are coroutines: each runs under trio, in virtual time or in real time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from math import inf
from typing import Any, ParamSpec

import trio
from trio.testing import MockClock

from tests.support.processes import PATIENCE
from tests.support.waiting import within

P = ParamSpec("P")


def virtual(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test in virtual time, which moves on whenever nothing else can."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        trio.run(partial(test, *args, **kwargs), clock=MockClock(autojump_threshold=0))

    return run


def real(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test that waits for sockets."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        trio.run(partial(test, *args, **kwargs))

    return run


@contextmanager
def patience(seconds: float = PATIENCE) -> Iterator[None]:
    """Fail after so many real seconds, also where a `MockClock` goes faster."""
    going = trio.lowlevel.current_clock()
    with within(seconds * max(1.0, going.rate if isinstance(going, MockClock) else 1.0)):
        yield


def keep_threads_out() -> None:
    """From now on have nothing done in a thread of trio's where time jumps: while a real one worked, or had not yet
    begun, more of it would pass the slower the machine is.
    """
    in_thread: Any = trio.to_thread.run_sync

    @wraps(in_thread)
    async def run_sync(function: Callable[..., object], *args: object, **options: Any) -> object:
        going = trio.lowlevel.current_clock()
        if not isinstance(going, MockClock) or going.autojump_threshold == inf:
            return await in_thread(function, *args, **options)
        await trio.lowlevel.checkpoint()
        return function(*args)

    vars(trio.to_thread)["run_sync"] = run_sync
