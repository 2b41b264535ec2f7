"""Going to a message: by a search, a pin, a date, what is unread; from hit to hit, and back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from p2pchat.tui.app import ChatApp
from p2pchat.tui.screens.find import FindScreen
from p2pchat.tui.screens.pinned import PinnedScreen
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take

Steps = Callable[[ChatApp, "Pilot[Any]", FakeNode, str], Coroutine[Any, Any, None]]


def with_history(folder: Path, steps: Steps) -> None:
    """A chat with three lamps in it, far from each other, and one in another chat."""

    async def main() -> None:
        node = FakeNode()
        carol = node.friend("Carol")
        node.says(carol, "Carol has a lamp too", ago=timedelta(days=9))
        bob = node.friend("Bob")
        for number in range(120):
            words = "a lamp, number" if number in (5, 50, 100) else "message"
            node.says(bob, f"{words} {number}", ago=timedelta(hours=130 - number))
        node.read_upto = {bob: 110, carol: 1}
        async with opened(node, folder) as (app, pilot):
            await until(pilot, lambda: app.state.current == bob)
            await steps(app, pilot, node, bob)

    run(main())


def selected(app: ChatApp) -> str:
    message = app.main.conversation.selected
    return "" if message is None else message.text


async def goes_to(app: ChatApp, pilot: Pilot[Any], text: str) -> None:
    await until(pilot, lambda: app.screen is app.main and selected(app) == text)
    assert text in take(app).shown


def notices(app: ChatApp) -> str:
    return " ".join(each.message for each in app._notifications)


async def search(app: ChatApp, pilot: Pilot[Any], key: str, words: str, hits: int) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, FindScreen))
    await pilot.press(*words)
    await until(pilot, lambda: f"{hits} found" in take(app).shown)
    await pilot.press("enter")


def test_from_hit_to_hit_with_marks_and_back(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("ctrl+up")
        before = selected(app)
        await search(app, pilot, "ctrl+f", "lamp", 3)
        await goes_to(app, pilot, "a lamp, number 100")
        assert "Hit 1 of 3. n older, N newer, b back." in notices(app)
        assert app.main.conversation.search_marks == "lamp"
        for key, number in (("n", 50), ("n", 5), ("N", 50)):
            await pilot.press(key)
            await goes_to(app, pilot, f"a lamp, number {number}")
        await pilot.press("n", "n")
        await until(pilot, lambda: "That was the oldest hit." in notices(app))
        await pilot.press("b")
        await goes_to(app, pilot, before)
        assert app.main.conversation.search_marks == ""

    with_history(tmp_path, steps)


def test_everywhere_goes_to_the_other_chat_and_back(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await search(app, pilot, "alt+s", "lamp too", 1)
        await goes_to(app, pilot, "Carol has a lamp too")
        assert app.state.shown is not None
        assert app.state.shown.label == "Carol"
        await pilot.press("b")
        await until(pilot, lambda: app.state.current == bob and "message 119" in take(app).shown)

    with_history(tmp_path, steps)


def test_pins_dates_and_what_is_unread(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("alt+g")
        await until(pilot, lambda: "Nothing is pinned here" in take(app).shown)
        await pilot.press("escape")
        node._changed(node.history[bob][3], "pin", pinned=True)
        await pilot.press(*"/pinned", "enter")
        await until(pilot, lambda: isinstance(app.screen, PinnedScreen) and "message 3" in take(app).shown)
        await pilot.press("enter")
        await goes_to(app, pilot, "message 3")
        await pilot.press("escape", *f"/jump {node.history[bob][60]['sent_at']}", "enter")
        await goes_to(app, pilot, "message 60")
        await pilot.press("escape", *"/jump 2999-01-01", "enter")
        await until(pilot, lambda: "There is no message from then" in notices(app))
        await pilot.press(*"/jump", "enter")
        await until(pilot, lambda: "Give a time" in notices(app))
        node.read_upto[bob] = 90
        await pilot.press("alt+u")
        await goes_to(app, pilot, "message 90")
        node.read_upto[bob] = 120
        await pilot.press("escape", "alt+u")
        await until(pilot, lambda: "Nothing is unread" in notices(app))

    with_history(tmp_path, steps)
