"""The inbox: what waits for a transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from p2pchat.core.ids import InputSource
from p2pchat.lib.wakeup import Wakeup

MAX_BATCH = 256
MAX_LAZY_SECONDS = 0.05
MAX_LAZY = 32
"""Acks change nothing that anyone waits for: they ride on the next transaction, or make one after 50 ms or 32 of
them.
"""


@dataclass(eq=False)
class Input:
    """One function to run in a transaction, and who is told of its end. `sender`: the contact whose link it belongs to,
    or the relay; `brief`: it does little, whatever is in the store (see `Worker`).
    """

    run: Callable[..., Any]
    args: tuple[object, ...]
    sender: InputSource | None = None
    brief: bool = False
    then: Callable[[Input], object] | None = None
    result: Any = None
    error: BaseException | None = None


@dataclass
class Inbox:
    """What waits for a transaction; lazy inputs alone do not make one before `MAX_LAZY_SECONDS`."""

    waiting: deque[Input] = field(default_factory=deque)
    lazy: deque[Input] = field(default_factory=deque)
    wake: Wakeup = field(default_factory=Wakeup)
    room: Wakeup = field(default_factory=Wakeup)

    def put(self, item: Input, *, lazy: bool = False) -> None:
        """Queue an input; a `lazy` one waits for others to bring it along, for a while."""
        if lazy:
            self.lazy.append(item)
        else:
            self.waiting.append(item)
        if not lazy or len(self.lazy) in (1, MAX_LAZY):
            self.wake.set()

    def ready(self) -> bool:
        """Return whether a batch can be taken now."""
        return bool(self.waiting) or len(self.lazy) >= MAX_LAZY

    async def take(self) -> list[Input]:
        """Wait for inputs; acks come last, since a receipt in the same batch makes them needless."""
        while not self.ready():
            self.wake.clear()
            if self.lazy:
                with trio.move_on_after(MAX_LAZY_SECONDS):
                    await self.wake.wait()
                break
            await self.wake.wait()
        batch = [self.waiting.popleft() for _ in range(min(MAX_BATCH, len(self.waiting)))]
        batch += [self.lazy.popleft() for _ in range(min(MAX_BATCH, len(self.lazy)))]
        self.room.set()
        return batch
