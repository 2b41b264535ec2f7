"""The help: every key and every command, from the tables that the bindings and the composer use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from p2pchat.tui import group_verbs
from p2pchat.tui.commands import BY_NAME, Command
from p2pchat.tui.keys import WHERE, Key
from p2pchat.tui.screens.panel import Panel

_SIGNS = (
    ("● ◐", "a contact is online: directly, or through a relay"),
    ("○ …", "a contact is offline, or has not accepted yet"),
    ("# @", "a group; somebody mentioned you in it"),
    ("✗", "at a contact: blocked; at a message: not sent, and w shows why"),
    ("✓ at a name", "you have compared safety numbers"),
    ("↑ ~ at a name", "the chat is pinned to the top, or muted"),
    ("▸ Archived", "your archived chats; Enter or a click shows them, and ▾ hides them again"),
    ("▤ ▣ ► ♪", "a file, a picture, a voice note that can be played, and one that is not here yet"),
    ("━━━──", "how much of a file has moved; a click pauses it"),
    ("◷", "your message is waiting on this computer"),
    ("✓", "it has left: a relay stores it, or their computer has it but has not confirmed it yet"),
    ("✓✓", "it is on their computer"),
    ("read ✓✓", "they have read it"),
)


_MOUSE = (
    ("click", "choose a message, a chat or a hint; go to a quoted message; add or remove a reaction"),
    ("right button", "list everything you can do with a message; open a contact's page"),
    ("double click", "copy the message"),
    ("drag", "select text; the line below then says how to copy it"),
    ("Shift and drag", "select text with your terminal"),
)


class HelpScreen(Panel[None]):
    """Shows the keys and where they work, the commands, and what the marks mean."""

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
        .panel { max-width: 92; }
        .group { height: 1; color: $text-primary; text-style: bold; }
        .table { height: auto; margin: 0 0 1 0; }
    }
    """

    def __init__(self, keys: Sequence[Key], commands: Sequence[Command]) -> None:
        super().__init__()
        hidden = {f"app.command('{name}')" for name in BY_NAME.keys() - {command.name for command in commands}}
        told = [key for key in keys if key.told and key.keys and key.action not in hidden]
        self._keys_told = sorted(told, key=lambda key: WHERE.index(key.where))
        self._commands_told = commands

    def body(self) -> ComposeResult:
        for where, keys in groupby(self._keys_told, key=lambda key: key.where):
            yield from _group(f"Keys {where}", [(key.shown, key.says) for key in keys])
        yield from _group(
            "Commands, typed where you write messages",
            [(command.shown, command.told) for command in self._commands_told],
        )
        if verbs := group_verbs.offered():
            yield from _group("Groups", [(f"/group {verb.name} {verb.usage}".rstrip(), verb.says) for verb in verbs])
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
