"""How much is done in one go: what a test counts, by steps of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from trio.lowlevel import Task


class Steps(trio.abc.Instrument):
    """Counts calls. `most`: how many of them one step of a task made, between two times that others had a turn."""

    def __init__(self) -> None:
        self.calls = 0
        self.most = 0
        self._before = 0

    def before_task_step(self, task: Task) -> None:
        self._before = self.calls

    def after_task_step(self, task: Task) -> None:
        self.most = max(self.most, self.calls - self._before)


@contextmanager
def counted(patch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[Steps]:
    """Count the calls of one function, within a running loop."""
    steps, function = Steps(), getattr(owner, name)

    def counting(*args: Any, **named: Any) -> Any:
        steps.calls += 1
        return function(*args, **named)

    with patch.context() as inside:
        inside.setattr(owner, name, counting)
        trio.lowlevel.add_instrument(steps)
        try:
            yield steps
        finally:
            trio.lowlevel.remove_instrument(steps)
