"""What every test shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio.abc import Clock

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], clock: Clock | None = None) -> T:
    """Run one trio test to its end; a MockClock makes its time virtual."""
    return trio.run(main, clock=clock)
