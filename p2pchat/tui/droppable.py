"""Work for a worker that may end before it begins: the screen is closed, or the app ends, in the same moment."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any


class Droppable:
    """A coroutine that is closed if nobody awaits it, in place of Python's warning that nobody did."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, Any]:
        """Run it. (As a generator, which has hold of this object for as long as it runs.)"""
        return (yield from self._work.__await__())

    def __del__(self) -> None:
        self._work.close()
