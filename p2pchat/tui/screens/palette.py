"""The palette (Ctrl+P): the chats and the commands, each with its key at the right. A chat's name is plain text here,
never markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events, on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.fuzzy import Matcher
from textual.style import Style
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from p2pchat.tui import group_verbs
from p2pchat.tui.commands import CHOICE, GROUP, offered
from p2pchat.tui.intents import Intent, OpenChat, RunCommand
from p2pchat.tui.keymap import Keymap, keymap_of
from p2pchat.tui.keys import shown
from p2pchat.tui.model import Chat
from p2pchat.tui.screens.list_panel import SearchPanel
from p2pchat.tui.screens.panel import Field
from p2pchat.tui.text import cut, displayable_line, has_rtl
from p2pchat.tui.themes import MUTED
from p2pchat.tui.wording import VERIFIED, mark, presence

MAX_OFFERED = 60
"""Rows shown at once; others are found by typing."""

_NAME = 20
"""Cells of a name, after which the description follows."""
_LEAST_SAID = 8
_SAID = 0.8
"""The weight of a match in the description, relative to one in the name."""


class Row(NamedTuple):
    """A row. sign: one cell before the name. key: the key that does the same, "" for none."""

    sign: str
    name: str
    says: str
    key: str
    intent: Intent


def rows(chats: Sequence[Chat], keymap: Keymap, current: Chat | None = None) -> list[Row]:
    """Return all rows: the chats in their order, then the commands. current: the chat that is shown."""
    keys = {key.action: shown(key.keys[0]) for key in keymap.rows if key.keys}
    found = []
    for place, chat in enumerate(chats, 1):
        name = displayable_line(chat.label) + (f" {VERIFIED}" if chat.verified else "")
        key = keys.get(f"chat_at({place})", "")
        known = [chat.profile_name if chat.profile_name != chat.name else "", chat.note]
        about = ", ".join(displayable_line(each) for each in (presence(chat), *known) if each)
        found.append(Row(mark(chat), name, about, key, OpenChat(chat.id)))
    in_group = current is not None and current.is_group
    for command in offered():
        if command.takes == GROUP:
            for verb in group_verbs.offered():
                if (in_group or not verb.inside) and (not verb.usage or verb.usage.startswith("[")):
                    intent = RunCommand(command.name, verb.name)
                    found.append(Row(" ", f"/{command.name} {verb.name}", verb.says, "", intent))
        elif command.takes == CHOICE:
            for choice in command.choices:
                intent = RunCommand(command.name, choice)
                found.append(Row(" ", f"/{command.name} {choice}", command.says, "", intent))
        elif not command.usage or command.usage.startswith("["):
            key = keys.get(f"app.command('{command.name}')", "")
            found.append(Row(" ", f"/{command.name}", command.says, key, RunCommand(command.name)))
    return found


class PaletteScreen(SearchPanel[Intent]):
    """Dismisses with the intent of the chosen row."""

    HEADING = "Go to a chat, or do something"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "choose"),
        Binding("pageup", "move(-8)", show=False),
        Binding("pagedown", "move(8)", show=False),
    ]
    PLACEHOLDER = "A name, or what you want to do"
    DEFAULT_CSS = """
    PaletteScreen {
        .panel { max-width: 92; max-height: 26; }
        OptionList { scrollbar-gutter: stable; }
    }
    """

    def __init__(self, chats: Sequence[Chat], current: Chat | None = None) -> None:
        super().__init__()
        self._chats = chats
        self._current = current
        self._rows: list[Row] = []
        self._matching: list[Row] = []

    def on_mount(self) -> None:
        """Note everything there is to choose from."""
        self._rows = rows(self._chats, keymap_of(self.app), self._current)
        super().on_mount()

    def on_resize(self, event: events.Resize) -> None:
        """Draw the rows again, with the keys at the right end."""
        super().on_resize(event)
        self.call_after_refresh(self._offer)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or bool(self._matching)

    @on(Input.Changed)
    def _offer(self) -> None:
        """Show the matching rows, the best first."""
        words = self.query_one(Field).value.strip()
        matcher = Matcher(words, match_style=Style.parse("bold $text-accent"))
        scored = [(self._score(row, matcher) if words else 1.0, row) for row in self._rows]
        best = sorted((each for each in scored if each[0] > 0), key=lambda each: -each[0])
        self._matching = [row for _, row in best[:MAX_OFFERED]]
        listed = self.query_one(OptionList)
        room = listed.scrollable_content_region.width - 2
        listed.set_options(Option(self._drawn(row, matcher if words else None, room)) for row in self._matching)
        listed.highlighted = 0 if self._matching else None
        self.say("" if self._matching else "Nothing has such a name.")
        self.show_keys()

    @staticmethod
    def _score(row: Row, matcher: Matcher) -> float:
        return max(matcher.match(row.name), _SAID * matcher.match(row.says))

    def _drawn(self, row: Row, matcher: Matcher | None, room: int) -> Content:
        """Return a row in `room` cells: the name, as much of the description as fits, and the key at the right."""
        right = f"  {row.key}" if row.key else ""
        name = cut(row.name, max(4, room - cell_len(right) - 2))
        shown_name = Content(self.drawn(name))
        if matcher is not None and not has_rtl(name) and matcher.match(name):
            shown_name = matcher.highlight(name)
        left = Content.assemble(f"{row.sign} ", shown_name)
        gap = max(2, _NAME + 2 - left.cell_length)
        says = cut(self.drawn(row.says), room - left.cell_length - gap - cell_len(right))
        if cell_len(says) >= min(_LEAST_SAID, cell_len(row.says)):
            left = Content.assemble(left, " " * gap, (says, MUTED))
        return Content.assemble(left, " " * max(0, room - left.cell_length - cell_len(right)), (right, "bold"))

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Run the highlighted row."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            self.dismiss(self._matching[at].intent)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._matching[event.option_index].intent)
