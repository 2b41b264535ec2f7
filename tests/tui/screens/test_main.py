"""The main screen in windows of all sizes: what is shown, and what is folded away."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.tui import preferences
from p2pchat.tui.app import ChatApp
from p2pchat.tui.screens.main import BOTH, WIDE
from tests.tui.app_helpers import story
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode


def folded(app: ChatApp) -> bool:
    return not app.main.listed


def test_the_list_folds_away_where_it_is_narrow(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path, (WIDE, 24)) as (app, pilot):
            assert not folded(app)
            await pilot.resize_terminal(WIDE - 1, 24)
            await pilot.pause()
            assert folded(app)
            await pilot.press("f2")
            await pilot.pause()
            assert not folded(app)
            assert app.main.chat_list.has_focus
            await pilot.press("down", "enter")
            await until(pilot, lambda: folded(app))
            assert app.main.composer.has_focus
            await pilot.resize_terminal(BOTH - 1, 24)
            await pilot.press("f2")
            await pilot.pause()
            assert app.main.chat_list.size.width >= BOTH - 2
            await pilot.press("escape")
            await pilot.pause()
            assert folded(app)

    run(main())


def test_a_list_folded_by_hand_stays_so(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press("ctrl+b")
            await until(pilot, lambda: folded(app))
            assert preferences.read(tmp_path).preferences.folded
        async with opened(node, tmp_path) as (app, _pilot):
            assert folded(app)

    run(main())


def test_where_the_list_is_away_the_status_line_says_what_it_would(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)
    node.knocks("Eve")

    async def main() -> None:
        async with opened(node, tmp_path, (80, 24)) as (app, pilot):
            await pilot.pause()
            text = str(app.main.status.render())
            assert "1 request Ctrl+R" in text
            assert "1 unread Alt+A" in text

    run(main())


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (40, 12), (20, 6), (10, 3), (1, 1)])
def test_no_size_breaks_it(tmp_path: Path, size: tuple[int, int]) -> None:
    node = FakeNode()
    bob, _ = story(node)

    async def main() -> None:
        async with opened(node, tmp_path, size) as (app, pilot):
            node.says(bob, "a message that is longer than the screen is wide")
            await pilot.press(*"hi", "ctrl+j", "/", "f2", "f2", "escape")
            await pilot.resize_terminal(100, 30)
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert app.is_running
            if size >= (20, 6):
                assert app.main.conversation.size.height >= 1
                assert app.main.composer.size.height >= 1

    run(main())
