"""The page of settings, what it writes, and what the person's file changes while the screen is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import OptionList

from p2pchat.errors import NodeGone
from p2pchat.tui.app import ChatApp
from p2pchat.tui.preferences import FILE, SETTINGS, read
from p2pchat.tui.screens.settings import NODE_SETTINGS, SettingsScreen
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take


def peopled() -> FakeNode:
    node = FakeNode()
    bob = node.friend("Bob")
    node.says(bob, "are we on for tonight?")
    node.said(bob, "yes, at eight")
    return node


def notices(app: ChatApp) -> str:
    return " ".join(each.message for each in app._notifications)


async def page(app: ChatApp, pilot: Pilot[Any]) -> OptionList:
    await pilot.press("f3")
    await until(pilot, lambda: isinstance(app.screen, SettingsScreen) and app.screen.query("OptionList"))
    await pilot.pause()
    return app.screen.query_one(OptionList)


async def choose(pilot: Pilot[Any], listed: OptionList, name: str) -> None:
    listed.highlighted = listed.get_option_index(name)
    await pilot.press("enter")


def test_settings_change_the_screen_and_the_file(tmp_path: Path) -> None:
    node = peopled()

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            listed = await page(app, pilot)
            assert {option.id for option in listed.options} == {
                *(each.name for each in SETTINGS),
                *(name for name, _, _ in NODE_SETTINGS),
            }
            before = take(app).shown
            await choose(pilot, listed, "clock")
            await choose(pilot, listed, "motion")
            await choose(pilot, listed, "motion")
            await until(pilot, lambda: app.animation_level == "none")
            await choose(pilot, listed, "read_receipts")
            await until(pilot, lambda: node.settings["read_receipts"] is False)
            await choose(pilot, listed, "lan")
            await until(pilot, lambda: node.settings["lan"] == "on")
            await choose(pilot, listed, "port_mapping")
            await until(pilot, lambda: node.settings["port_mapping"] is False)
            await choose(pilot, listed, "quiet_hours")
            await pilot.press(*"25:00-7", "enter")
            await until(pilot, lambda: "must be" in take(app).shown)
            await pilot.press("ctrl+u", *"22:00-7:30", "enter")
            await until(pilot, lambda: "22:00-7:30" in take(app).shown)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.main)
            await until(pilot, lambda: any(half in take(app).shown for half in (" am", " pm")))
            assert take(app).shown != before
        kept = read(tmp_path).preferences
        assert (kept.clock, kept.motion, kept.quiet_hours) == ("12h", "reduced", "22:00-7:30")

    run(main())


def test_a_file_that_changes_holds_at_once_and_says_what_is_wrong(tmp_path: Path) -> None:
    node = peopled()
    lines = [
        'theme = "nord"',
        'density = "compact"',
        "bell = 3",
        "enter_sends = false",
        "[keys]",
        'invite = "f9"',
        'fly = "f8"',
        'requests = "f9"',
    ]

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            assert "Enter send" in take(app).shown
            (tmp_path / FILE).write_text("\n".join(lines))
            app.wishes.reload()
            await pilot.pause()
            assert (app.theme, app.main.conversation._feed.look.compact) == ("nord", True)
            for wrong in ("line 3: bell must be", "line 7: fly: there is no such action", "line 8: requests: F9 is"):
                assert wrong in notices(app)
            shown = take(app).shown
            assert "Alt+Enter send · Enter new line" in shown
            assert "F9 invite" in shown
            await pilot.press(*"two", "enter", *"lines", "alt+enter")
            await until(pilot, lambda: node.named("send"))
            assert node.named("send")[0]["text"] == "two\nlines"
            await pilot.press("f9")
            await until(pilot, lambda: app.screen is not app.main)
            await pilot.press("escape", "f1")
            await until(pilot, lambda: "F9" in take(app).shown and "invite a friend" in take(app).shown)
            await pilot.press("escape")
            await page(app, pilot)
            assert "line 3: bell must be" in take(app).shown
            (tmp_path / FILE).unlink()
            app.wishes.reload()
            await pilot.pause()
            assert "line 3" not in take(app).shown
            await pilot.press("escape", "ctrl+n")
            await until(pilot, lambda: app.screen is not app.main)

    run(main())


def test_settings_are_there_without_a_node_and_without_a_place_to_keep_them(tmp_path: Path) -> None:
    node = peopled()
    (tmp_path / FILE).mkdir()

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.fail["settings"] = NodeGone()
            listed = await page(app, pilot)
            assert {option.id for option in listed.options} == {each.name for each in SETTINGS}
            await choose(pilot, listed, "density")
            await until(pilot, lambda: app.main.conversation._feed.look.compact)
            await until(pilot, lambda: "lasts only until" in notices(app))

    run(main())
