"""Every key and every command, from the tables that the bindings and the composer are made from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from p2pchat.tui.commands import Command
from p2pchat.tui.keys import WHERE, Key
from p2pchat.tui.screens.panel import Panel

_SIGNS = (
    ("● ◐", "a contact is online: directly, or through a relay"),
    ("○ …", "a contact is offline, or has not accepted yet"),
    ("✗", "you have blocked them; at a message: it was not sent, and w says why"),
    ("✓ at a name", "you have compared safety numbers"),
    ("↑ ~ at a name", "the chat is pinned above the others, or muted"),
    ("▸ Archived", "the chats that you have put away; Enter or a click lists them, and ▾ hides them again"),
    ("◷", "a message of yours waits here"),
    ("✓", "it has left: it is stored at a relay, or was given to their computer and is not confirmed yet"),
    ("✓✓", "it is on their computer"),
    ("read ✓✓", "they have read it"),
)


_MOUSE = (
    ("click", "choose a message, a chat, a hint; go to a quoted message; put an emoji there or take it away"),
    ("right button", "all that can be done with a message; the page of a contact"),
    ("double click", "copy the message"),
    ("drag", "mark text; what copies then, and by which way, is said below"),
    ("Shift and drag", "mark text as your terminal does"),
)


class HelpScreen(Panel[None]):
    """The keys, where they work, the commands, and what the marks mean."""

    HEADING = "Help"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,q,enter", "back", show=False),
        Binding("home", "scroll_by(-100000)", show=False),
        Binding("end", "scroll_by(100000)", show=False),
        Binding("pageup", "scroll_by(-12)", "up"),
        Binding("pagedown,space", "scroll_by(12)", "down"),
    ]
    DEFAULT_CSS = """
    HelpScreen {
        .group { height: 1; color: $text-primary; text-style: bold; }
        .table { height: auto; margin: 0 0 1 0; }
    }
    """

    def __init__(self, keys: Sequence[Key], commands: Sequence[Command]) -> None:
        super().__init__()
        self._keys_told = sorted((key for key in keys if key.told and key.keys), key=lambda key: WHERE.index(key.where))
        self._commands_told = commands

    def body(self) -> ComposeResult:
        for where, keys in groupby(self._keys_told, key=lambda key: key.where):
            yield from _group(f"Keys {where}", [(key.shown, key.says) for key in keys])
        yield from _group(
            "Commands, typed where you write messages",
            [(command.shown, command.says) for command in self._commands_told],
        )
        yield from _group("Mouse", _MOUSE)
        yield from _group("Signs", _SIGNS)


def _group(title: str, rows: Sequence[tuple[str, str]]) -> ComposeResult:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(ratio=2)
    table.add_column(ratio=3)
    for left, right in rows:
        table.add_row(Text(left, style="bold"), Text(right))
    yield Static(title, classes="group", markup=False)
    yield Static(table, classes="table", markup=False)
