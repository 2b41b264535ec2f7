"""What every part of the screen may use of the app: the node, the state, the main screen, and ways to show messages.

Actions, palette and settings are given this base class; `app` implements it, so that nothing imports the app in a
circle.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from textual.filter import LineFilter, NoColor
from textual.screen import Screen

from p2pchat import errors
from p2pchat.tui import intents, preferences, terminal
from p2pchat.tui.droppable import Droppable
from p2pchat.tui.keymap import USUAL
from p2pchat.tui.model import Chat
from p2pchat.tui.node_client import NodeClient
from p2pchat.tui.rtl import drawn_within
from p2pchat.tui.screens.main import MainScreen
from p2pchat.tui.state import State
from p2pchat.tui.text import displayable_line, draws_unicode
from p2pchat.tui.themed import ThemedApp

if TYPE_CHECKING:
    from p2pchat.locations import Profile

Severity = Literal["information", "warning", "error"]
Result = TypeVar("Result")


class Rereads(Protocol):
    """Reads from the node what the screen shows (`reader.Reader`)."""

    async def reread(self) -> None:
        """Read everything again."""

    def refresh_status(self) -> None:
        """Update the status line."""

    def ask_status(self) -> None:
        """Ask the node how it is, and by which name it is known."""


class CanSilence(Protocol):
    """Notifies a user who is not looking (`notices.Notifier`)."""

    @property
    def says(self) -> str:
        """The text for the status line while notifications are silenced."""

    def silence(self, seconds: float | None) -> None:
        """Silence notifications for so long; None ends that."""


class BaseApp(ThemedApp):
    """The app without its actions: its parts, and how they show messages to the user."""

    main: MainScreen
    reader: Rereads
    notifier: CanSilence

    def __init__(self, profile: Profile, node: NodeClient, now: Callable[[], datetime]) -> None:
        super().__init__(driver_class=terminal.Terminal)
        self.profile = profile
        self.node = node
        self.now = now
        self.state = State()
        self._locale_has_unicode = draws_unicode(os.environ)
        self.loaded = preferences.read(profile.folder)
        self.preferences = self.loaded.preferences
        self.keymap = USUAL

    @property
    def turns_text(self) -> bool:
        """Whether right-to-left text is turned here, so that the terminal must not do it again."""
        return self.preferences.rtl in ("auto", "app")

    @property
    def draws_unicode(self) -> bool:
        """Whether lines and marks may be more than ASCII."""
        signs = self.preferences.signs
        return self._locale_has_unicode if signs == preferences.AUTO else signs == preferences.UNICODE

    @property
    def twelve_hours(self) -> bool:
        """Whether times of day are written with twelve hours."""
        return self.preferences.clock == "12h"

    def get_line_filters(self) -> Sequence[LineFilter]:
        """NO_COLOR takes every colour away. Textual decides how before it knows the theme, and made all of it black."""
        filters = [NoColor()] if self.no_color else super().get_line_filters()
        return filters if self.draws_unicode else [*filters, terminal.AsciiSigns()]

    # --- work, and what is said about it

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start an action that takes time; show an error if it fails."""
        self.run_worker(Droppable(self.saying(Droppable(work))))

    async def saying(self, work: Awaitable[None]) -> None:
        """Run an action; show an error if it fails."""
        try:
            await work
        except errors.P2PChatError as exc:
            self.say(self.said(exc), "error")

    async def ask(self, screen: Screen[Any]) -> Any:
        """Show a screen, and wait for and return the result with which it is dismissed."""
        self.clear_notifications()  # where there is little room they would lie over it
        return await self.push_screen_wait(screen)

    def say(self, text: str, severity: Severity = "information") -> None:
        """Show a line for a few seconds, in the corner. Names in it are not interpreted as markup."""
        self.notify(drawn_within(displayable_line(text), self.turns_text), severity=severity, markup=False)

    def said(self, error: errors.P2PChatError) -> str:
        """Return an error in this screen's words."""
        from p2pchat.tui.screens.panel import said

        return said(error)

    def write_to_terminal(self, sequence: str) -> None:
        """Write a control sequence to the terminal, bypassing Textual."""
        if not self.is_headless and self._driver is not None:
            self._driver.write(sequence)

    def use_mouse(self, on: bool) -> None:
        """Let the mouse be ours, or leave it to the terminal, which then selects text with it."""
        if isinstance(self._driver, terminal.Terminal):
            self._driver.use_mouse(on)

    def lend_terminal(self, program: Callable[[], Result]) -> Result:
        """Let another program use the terminal, and redraw everything after it. An exception of `program` is raised
        once the screen has the terminal back, because Textual does not restore it if an exception leaves `suspend`.
        """
        outcome: Future[Result] = Future()
        with self.suspend():
            try:
                outcome.set_result(program())
            except Exception as exc:  # noqa: BLE001 - it is raised below
                outcome.set_exception(exc)
        self.action_redraw()
        return outcome.result()

    def action_redraw(self) -> None:
        """Redraw everything: another program has written to the terminal, or this one was stopped."""
        self.write_to_terminal(terminal.CLEAR)
        self.screen.refresh(layout=True)
        self.refresh(repaint=True, layout=True)

    def copy(self, intent: intents.CopyText) -> None:
        """Put a text on the clipboard, and say how."""
        self.begin(self.copy_text(intent))

    async def copy_text(self, intent: intents.CopyText) -> None:
        """Put a text on the clipboard: through the terminal, which may silently refuse it, and through a desktop
        program if there is one.
        """
        fits = len(intent.text.encode()) <= terminal.MAX_COPIED
        if fits:
            self.copy_to_clipboard(intent.text)
        from p2pchat.tui import desktop  # not before the first picture

        tool = desktop.clipboard_tool(os.environ)
        if tool is not None and await desktop.copy(tool, intent.text):
            self.say(f"{intent.what} (with {tool.name}).")
        elif fits:
            self.say(
                f"{intent.what} through the terminal. If pasting gives nothing, your terminal does "
                f"not allow it; use /save."
            )
        else:
            self.say("That is too long for a terminal's clipboard; /save writes it to a file.", "warning")

    async def save(self, intent: intents.SaveText) -> None:
        """Write a text to a new file, in the home folder if no folder was given."""
        try:
            from p2pchat.tui import desktop

            saved = await asyncio.to_thread(desktop.save, Path.home(), intent.name, intent.text)
        except OSError as exc:
            self.say(f"{intent.name} could not be written: {exc.strerror or 'there are too many of them'}", "error")
        else:
            self.say(f"Saved as {saved}. Only you can read it.")

    def chat_named(self, name: str) -> Chat | None:
        """Return the chat that the user named, or the one shown if they named none; shows what is wrong
        with the name.
        """
        if not name.strip():
            if self.state.shown is None:
                self.say("Open a chat first, or give a name after the command.")
            return self.state.shown
        matching = self.state.named(name)
        if len(matching) == 1:
            return matching[0]
        if matching:
            self.say(f"That could be {', '.join(chat.label for chat in matching[:4])}.", "warning")
        else:
            self.say(f"There is no contact called {name}.", "warning")
        return None


def contact_named(app: BaseApp, name: str) -> Chat | None:
    """Return the chat with the contact that the user named, as `BaseApp.chat_named`; a group is no contact."""
    chat = app.chat_named(name)
    if chat is not None and chat.is_many:
        app.say(f"{chat.label} is a {chat.kind}, not a contact. /{chat.kind} shows what you can do in it.")
        return None
    return chat
