"""Work that ends before it begins is dropped without a word."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from textual.screen import ModalScreen

from p2pchat.tui.base import BaseApp
from p2pchat.tui.droppable import Droppable
from p2pchat.tui.screens.panel import Panel


async def work() -> int:
    await asyncio.sleep(0)
    return 7


def test_what_is_awaited_is_done() -> None:
    async def main() -> None:
        assert await Droppable(work()) == 7

    asyncio.run(main())


def by_the_app(run_worker: Callable[[Awaitable[Any]], object]) -> None:
    BaseApp.begin(SimpleNamespace(run_worker=run_worker, saying=lambda done: BaseApp.saying(None, done)), work())  # type: ignore[arg-type]


def by_a_panel(run_worker: Callable[[Awaitable[Any]], object]) -> None:
    panel: Any = Panel()
    panel.run_worker(panel._work(Droppable(work()), None))


@pytest.mark.parametrize("begin", [by_the_app, by_a_panel])
def test_what_is_dropped_is_not_complained_about(begin: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[object] = []
    monkeypatch.setattr(ModalScreen, "run_worker", lambda self, done, *options, **more: dropped.append(done))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)  # others are about what other tests left
        begin(dropped.append)
        assert dropped
        dropped.clear()
        gc.collect()
    assert not [one for one in said if one.category is RuntimeWarning]
