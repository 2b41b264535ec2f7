"""What the mouse does in a conversation, beside what a whole one with nothing else shows (test_two_terminals)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.events import MouseMove
from textual.pilot import Pilot
from textual.widgets import OptionList, TextArea

from p2pchat.tui.app import ChatApp
from p2pchat.tui.screens.menu import MenuScreen
from p2pchat.tui.screens.select import SelectScreen
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take


async def there(app: ChatApp, pilot: Pilot[Any], words: str) -> tuple[int, int]:
    """Where these words stand on the screen, when they do and nothing moves; the list at the left repeats some."""
    before = ""
    while words not in before or before != take(app).shown:
        before = take(app).shown
        await pilot.pause()
    return max((line.rindex(words), y) for y, line in enumerate(take(app).text) if words in line)


async def click(app: ChatApp, pilot: Pilot[Any], words: str, *, button: int = 1) -> None:
    await pilot.click(offset=await there(app, pilot, words), button=button)
    await pilot.pause()


def copied(app: ChatApp) -> str:
    return app.clipboard


def test_what_is_said_in_a_chat_can_be_clicked(tmp_path: Path) -> None:
    """The rest of a conversation by mouse is in `tests/process/test_two_terminals.py`."""
    node = FakeNode()
    bob = node.friend("Bob")
    node.friend("Carol")
    asked = node.says(bob, "are we on for tonight?")
    node.says(bob, "see https://lamp.example/seven")
    node._do_react(asked["id"], "\N{THUMBS UP SIGN}")
    node.said(bob, "yes, at eight")
    node.history[bob][-1] |= {"reply_to": asked["id"], "quote": node._quote(asked["id"])}

    async def main() -> None:
        async with opened(node, tmp_path, (120, 40)) as (app, pilot):
            await click(app, pilot, "Bob  are we on")
            await until(
                pilot, lambda: (at := app.main.conversation.selected) is not None and at.id == asked["id"]
            )  # the quoted one
            x, y = await there(app, pilot, " \N{THUMBS UP SIGN} 1")
            await pilot.click(offset=(x + 1, y))  # takes it away again
            await until(pilot, lambda: node.named("react"))
            assert node.named("react")[0]["emoji"] == ""
            await click(app, pilot, "https://lamp", button=3)
            await until(pilot, lambda: isinstance(app.screen, MenuScreen))
            await click(app, pilot, "o      open the link")
            await until(pilot, lambda: copied(app) == "https://lamp.example/seven")
            await click(app, pilot, "Carol", button=3)
            await until(pilot, lambda: app.screen is not app.main)
            await click(app, pilot, "Esc back")
            await click(app, pilot, "F1 help")
            await click(app, pilot, "Esc back")
            await click(app, pilot, "^P palette")
            await until(pilot, lambda: app.screen is not app.main)

    run(main())


def test_a_part_of_a_text_is_copied_with_the_mouse_or_with_keys(tmp_path: Path) -> None:
    node = FakeNode()
    bob = node.friend("Bob")
    node.says(bob, "the door is 7712, and the lamp is on")

    async def main() -> None:
        async with opened(node, tmp_path, (120, 40)) as (app, pilot):
            x, y = await there(app, pilot, "7712")
            await pilot.mouse_down(offset=(x, y))
            await pilot._post_mouse_events([MouseMove], offset=(x + 3, y), button=1)
            await pilot.mouse_up(offset=(x + 3, y))
            await until(pilot, lambda: app.main.conversation.marks.text == "7712")
            await pilot.press("ctrl+c")
            await until(pilot, lambda: copied(app) == "7712")
            await pilot.press("escape")
            await until(pilot, lambda: app.main.conversation.marks.text == "")
            await pilot.press("ctrl+up", "s")
            await until(pilot, lambda: isinstance(app.screen, SelectScreen) and isinstance(app.focused, TextArea))
            await pilot.press(*["shift+right"] * 8, "y")
            await until(pilot, lambda: copied(app) == "the door")
            assert app.screen is app.main
            assert not app.query(OptionList)

    run(main())
