"""Picking a file of this computer: the folders and files of one folder, filtered by what is typed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from textual import events, on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from p2pchat.tui import file_words, paths
from p2pchat.tui.paths import Entry
from p2pchat.tui.screens.list_panel import SearchPanel
from p2pchat.tui.screens.panel import Field
from p2pchat.tui.themes import MUTED

MAX_LISTED = 300
"""Entries that are shown; the filter finds the others."""

_UP = Entry("..", True, 0)
_SIZE = 9
_FRAME = 14


class PickFileScreen(SearchPanel[Path]):
    """Dismisses with the path of the file."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "open"),
        Binding("left", "up", "folder above", priority=True),
        Binding("alt+i", "hidden", "hidden files"),
        Binding("pageup", "move(-8)", show=False),
        Binding("pagedown", "move(8)", show=False),
    ]
    PLACEHOLDER = "Type a part of the name"

    def __init__(self, folder: Path, *, home: Path | None = None) -> None:
        """home: the folder that `~` stands for."""
        super().__init__()
        self._home = home
        self._folder = folder
        self._entries: list[Entry] = []
        self._shown: list[Entry] = []
        self._hidden = False

    def on_mount(self) -> None:
        """Show the folder."""
        super().on_mount()
        self._read(self._folder)

    def _read(self, folder: Path, *, at: str = "") -> None:
        """Show a folder. at: the entry that is highlighted."""
        try:
            self._entries = paths.entries(folder, hidden=self._hidden)
        except OSError as exc:
            self.say(f"{self.drawn(folder.name)} cannot be read: {exc.strerror}", "problem")
            return
        self._folder = folder
        self.set_heading(f"Send a file from {self.drawn(file_words.shortened(paths.shown(folder, self._home), 40))}")
        self.query_one(Field).value = ""
        self._list(at)
        if len(self._entries) >= paths.MAX_ENTRIES:
            self.say(f"Only {paths.MAX_ENTRIES:,} entries of this folder are listed; /file PATH takes any.")

    def _list(self, at: str = "") -> None:
        wanted = self.query_one(Field).value.casefold()
        above = [_UP] if not wanted and self._folder != self._folder.parent else []
        found = [each for each in self._entries if wanted in each.name.casefold()]
        self._shown = [*above, *found[:MAX_LISTED]]
        listed = self.query_one(OptionList)
        listed.set_options(Option(self._row(entry)) for entry in self._shown)
        names = [entry.name for entry in self._shown]
        first = names.index(at) if at in names else min(len(above), len(names) - 1)
        listed.highlighted = first if names else None
        self.say("" if self._shown else "Nothing here has such a name.")
        self.show_keys()

    def _row(self, entry: Entry) -> Content:
        room = max(10, min(self.size.width, 72) - _FRAME - _SIZE)
        name = file_words.shortened(entry.name, room) + ("/" if entry.folder else "")
        gap = " " * max(1, room + 1 - cell_len(name))
        size = "" if entry.folder else file_words.size(entry.size).rjust(_SIZE)
        return Content.assemble((self.drawn(name), "bold" if entry.folder else ""), gap, (size, MUTED))

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of the names as fits now."""
        super().on_resize(event)
        if self.is_mounted:
            self._list(self._chosen.name if self._chosen else "")

    @property
    def _chosen(self) -> Entry | None:
        at = self.query_one(OptionList).highlighted
        return None if at is None or at >= len(self._shown) else self._shown[at]

    @on(Input.Changed)
    def _typed_name(self) -> None:
        begun = self.query_one(Field).value
        if begun.startswith(".") and not self._hidden:
            self.action_hidden()
            self.query_one(Field).value = begun
        self._list()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "up":
            return not self.query_one(Field).value
        return action != "go" or self._chosen is not None

    def worded(self, binding: Binding) -> str:
        if binding.action == "hidden":
            return "no hidden files" if self._hidden else "hidden files"
        if binding.action == "go" and self._chosen is not None and not self._chosen.folder:
            return "send"
        return binding.description

    def action_move(self, lines: int) -> None:
        """Highlight another entry, `lines` further down; Enter opens a folder and sends a file."""
        super().action_move(lines)
        self.show_keys()

    def action_up(self) -> None:
        """Go to the folder above."""
        self._read(self._folder.parent, at=self._folder.name)

    def action_hidden(self) -> None:
        """List hidden files, or leave them out."""
        self._hidden = not self._hidden
        self._read(self._folder)

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Open the folder, or take the file."""
        entry = self._chosen
        if entry is None:
            return
        if entry is _UP:
            self.action_up()
        elif entry.folder:
            self._read(self._folder / entry.name)
        else:
            self.dismiss(self._folder / entry.name)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.query_one(OptionList).highlighted = event.option_index
        self.action_go()
