"""A stage for one screen: a small app that shows it, and remembers what it asked for and what it was dismissed with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual import on
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen

from p2pchat.tui import themes
from p2pchat.tui.intents import CopyText, SaveText
from tests.tui import pictures

OPEN = object()
"""The result of a screen that is still there."""

SIZES = ((80, 24), (120, 40), (40, 12), (20, 6))


class Stage(App[object]):
    """The app. `turns_text` is what the real one says where p2pchat turns right-to-left text."""

    turns_text = True

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.DARK
        self.shown = screen
        self.result: Any = OPEN
        self.copied: list[str] = []
        self.saved: list[SaveText] = []

    def on_mount(self) -> None:
        """Show it."""
        self.push_screen(self.shown, self._dismissed)

    def _dismissed(self, result: Any) -> None:
        self.result = result

    @on(CopyText)
    def _copy(self, intent: CopyText) -> None:
        self.copied.append(intent.text)

    @on(SaveText)
    def _save(self, intent: SaveText) -> None:
        self.saved.append(intent)

    @property
    def text(self) -> str:
        """What can be read, lines trimmed."""
        return "\n".join(pictures.take(self).text)

    @property
    def words(self) -> str:
        """The same without frames and line breaks."""
        return " ".join(self.text.replace("│", " ").split())


@asynccontextmanager
async def stage(
    screen: Screen[Any], size: tuple[int, int] = (80, 24), *, held: bool = False
) -> AsyncIterator[tuple[Stage, Pilot[object]]]:
    """The screen on its stage. `held`: its node does not answer yet, so do not wait for that."""
    app = Stage(screen)
    async with app.run_test(size=size) as pilot:
        await (pilot.pause() if held else settled(pilot))
        yield app, pilot


async def settled(pilot: Pilot[object]) -> None:
    """Everything that was begun has ended, and is on the screen."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: Pilot[object], *keys: str) -> None:
    """Press keys, and let everything they began end."""
    await pilot.press(*keys)
    await settled(pilot)


async def type_in(pilot: Pilot[object], text: str) -> None:
    """Type a text."""
    await press(pilot, *("space" if char == " " else char for char in text))


async def click_on(app: Stage, pilot: Pilot[object], words: str) -> None:
    """Click where these words stand."""
    for y, line in enumerate(pictures.take(app).text):
        if words in line:
            await pilot.click(offset=(line.index(words), y))
            await settled(pilot)
            return
    raise AssertionError(f"{words!r} is not on the screen:\n{app.text}")
