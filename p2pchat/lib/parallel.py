"""Work that several cores can share because it leaves Python's lock to others: signatures, above all.

The caller waits, so what comes of it does not depend on how threads take turns, and no event loop takes part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 4
"""Beside which other work of this process and of others goes on."""
MIN_SHARE = 16
"""Values below which it is not worth waking a thread."""


def each(function: Callable[[T], R], values: Sequence[T]) -> list[R]:
    """Return what `function` returns for each value, in their order. It must be pure, may run in any thread, and should
    spend its time in code that does not hold Python's lock. An exception that it raises is raised here.
    """
    shares = min(_threads(), len(values) // MIN_SHARE)
    if shares < 2:
        return [function(value) for value in values]
    size = -(-len(values) // shares)
    cut = [values[start : start + size] for start in range(0, len(values), size)]
    others = [_pool().submit(_all, function, share) for share in cut[1:]]
    made = _all(function, cut[0])
    for other in others:
        made += other.result()
    return made


def _all(function: Callable[[T], R], values: Sequence[T]) -> list[R]:
    return [function(value) for value in values]


@cache
def _threads() -> int:
    """Return how many threads work at once, with the caller's."""
    return min(MAX_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, _threads() - 1), "parallel")
