"""A conversation of somebody who uses nothing but the mouse, and the pages that are there for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.events import MouseMove, Paste
from textual.pilot import Pilot
from textual.widgets import OptionList

from p2pchat.tui.app import ChatApp
from p2pchat.tui.screens.menu import MenuScreen
from p2pchat.tui.screens.select import SelectScreen
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take


async def there(app: ChatApp, pilot: Pilot[Any], words: str) -> tuple[int, int]:
    """Where these words stand on the screen, when they do; the list at the left repeats some of them."""
    await until(pilot, lambda: words in take(app).shown)
    return max((line.rindex(words), y) for y, line in enumerate(take(app).text) if words in line)


async def click(app: ChatApp, pilot: Pilot[Any], words: str, *, button: int = 1) -> None:
    await pilot.click(offset=await there(app, pilot, words), button=button)
    await pilot.pause()


async def paste(app: ChatApp, pilot: Pilot[Any], text: str) -> None:
    """What the middle button does in a terminal."""
    app.post_message(Paste(text))
    await until(pilot, lambda: text in take(app).shown)


def copied(app: ChatApp) -> str:
    return app.clipboard


def test_a_whole_conversation_with_the_mouse_alone(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = node.friend("Bob"), node.friend("Carol")
    asked = node.says(bob, "are we on for tonight?")
    link = node.says(bob, "see https://lamp.example/seven")
    node.says(carol, "hello from Carol")

    async def main() -> None:
        async with opened(node, tmp_path, (120, 40)) as (app, pilot):
            await click(app, pilot, "Bob")
            await click(app, pilot, "are we on")
            await click(app, pilot, "r reply")
            await paste(app, pilot, "yes, at eight")
            await click(app, pilot, "Enter send")
            await until(pilot, lambda: node.named("send"))
            assert node.named("send") == [{"chat": bob, "text": "yes, at eight", "reply_to": asked["id"]}]
            await click(app, pilot, "Bob  are we on")
            await until(
                pilot, lambda: (at := app.main.conversation.selected) is not None and at.id == asked["id"]
            )  # the quoted one
            await click(app, pilot, "+ react")
            await click(app, pilot, "1 👍")
            await until(pilot, lambda: node.named("react"))
            emoji = node.named("react")[0]["emoji"]
            x, y = await there(app, pilot, f" {emoji} 1")
            await pilot.click(offset=(x + 1, y))  # takes it away again
            await until(pilot, lambda: len(node.named("react")) == 2)
            assert node.named("react")[1]["emoji"] == ""
            await click(app, pilot, "yes, at eight", button=3)
            await until(pilot, lambda: isinstance(app.screen, MenuScreen))
            await click(app, pilot, "e      edit")
            await paste(app, pilot, ", or nine")
            await click(app, pilot, "Enter send")
            await until(pilot, lambda: node.named("edit"))
            assert node.named("edit")[0]["text"] == "yes, at eight, or nine"
            await click(app, pilot, "https://lamp", button=3)
            await click(app, pilot, "o      open the link")
            await until(pilot, lambda: copied(app) == "https://lamp.example/seven")
            await click(app, pilot, "▎ are we on", button=3)
            await click(app, pilot, "p      pin")
            await until(pilot, lambda: node._find_message(asked["id"])["pinned"])
            await click(app, pilot, "see https", button=3)
            await click(app, pilot, "d      delete")
            await until(pilot, lambda: "Delete this message" in take(app).shown)
            await click(app, pilot, "Delete        Keep")
            await until(pilot, lambda: node.named("delete"))
            assert node.named("delete") == [{"id": link["id"]}]
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
            await until(pilot, lambda: isinstance(app.screen, SelectScreen))
            await pilot.pause()
            await pilot.press(*["shift+right"] * 8, "y")
            await until(pilot, lambda: copied(app) == "the door")
            assert app.screen is app.main
            assert not app.query(OptionList)

    run(main())
