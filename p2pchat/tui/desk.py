"""What `actions` and the palette need of the app, so that they do not import it, nor it them in a circle."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Literal, Protocol

from textual.screen import Screen

from p2pchat.errors import P2PChatError
from p2pchat.tui.intents import CopyText
from p2pchat.tui.model import Chat
from p2pchat.tui.node_client import NodeClient
from p2pchat.tui.screens.main import MainScreen
from p2pchat.tui.state import State

Severity = Literal["information", "warning", "error"]


class Desk(Protocol):
    """The app, as its hands see it."""

    seam: NodeClient
    book: State
    main: MainScreen
    now: Callable[[], datetime]

    def say(self, text: str, severity: Severity = "information") -> None:
        """A line for a few seconds."""
        ...

    def said(self, error: P2PChatError) -> str:
        """An error as the screen says it."""
        ...

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that takes time; an error is said."""
        ...

    def meant(self, name: str) -> Chat | None:
        """The chat a person named, or the one shown; says what is wrong with it."""
        ...

    def copy(self, intent: CopyText) -> None:
        """Put a text on the clipboard."""
        ...

    def refresh_status(self) -> None:
        """Say how things are."""
        ...

    async def reread(self) -> None:
        """Read everything that is shown from the node again."""
        ...

    def clear_notifications(self) -> None:
        """Take away what was said."""
        ...

    async def ask(self, screen: Screen[Any]) -> Any:
        """Show a screen; what it was dismissed with."""
        ...
