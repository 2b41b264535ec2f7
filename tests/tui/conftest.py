"""What the tests of the screen share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from textual.pilot import Pilot

from p2pchat.errors import P2PChatError
from p2pchat.locations import Profile
from p2pchat.tui.app import ChatApp
from p2pchat.tui.node_client import NodeClient
from tests.support.processes import PATIENCE
from tests.support.quick_loop import run
from tests.support.zones import anywhere
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take

__all__ = ["opened", "run", "until"]


@pytest.fixture(autouse=True)
def everything_can_be_shown() -> Iterator[None]:
    """Everybody's clock shows the same, and the terminal can show everything."""
    with anywhere():
        yield


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Let the app work until something is so."""
    deadline = monotonic() + PATIENCE  # by the real clock: what is waited for may be in a thread
    while not condition():
        assert monotonic() < deadline, f"waited in vain, and the screen shows\n{take(pilot.app).shown}"
        await pilot.pause()


@asynccontextmanager
async def opened(
    node: FakeNode,
    folder: Path,
    size: tuple[int, int] = (120, 30),
    *,
    clock: Callable[[], float] = lambda: 0.0,
    ready: bool = True,
    passphrase: str | None = None,
    passphrase_command: Callable[[], str] | None = None,
) -> AsyncIterator[tuple[ChatApp, Pilot[P2PChatError]]]:
    """The app on this node, with all it shows at first on the screen; `folder` holds its profile."""
    (folder / "profile.db").touch()
    profile = Profile(folder)

    def now() -> datetime:
        return node.now.astimezone()

    app = ChatApp(
        profile,
        node=NodeClient(profile, node.open),
        clock=clock,
        now=now,
        passphrase=passphrase,
        passphrase_command=passphrase_command,
    )
    async with app.run_test(size=size) as pilot:
        if ready:
            await until(pilot, lambda: app.settled)
        yield app, pilot
