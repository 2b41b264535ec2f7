"""The folder into which a file is saved."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from p2pchat.tui import file_words, paths
from p2pchat.tui.commands import shared_beginning
from p2pchat.tui.model import File
from p2pchat.tui.screens.panel import Field, Panel

_NAME = 54


class SaveFileScreen(Panel[str]):
    """Dismisses with the folder, as it was written."""

    HEADING = "Save this file"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "save", "save"),
        Binding("tab", "complete", "complete the folder", priority=True),
    ]
    AUTO_FOCUS = "Field"

    def __init__(self, file: File, folder: str) -> None:
        super().__init__()
        self._file = file
        self._folder = folder

    def body(self) -> ComposeResult:
        name = self.drawn(file_words.shortened(self._file.name, _NAME))
        words = Content.assemble((name, "bold"), f"  {file_words.size(self._file.size)}")
        yield Static(words, classes="para", markup=False)
        yield Static("Folder", classes="label", markup=False)
        yield Field(self._folder)
        yield Static("Only you will be able to read it. Nothing is replaced.", classes="note last", markup=False)

    def action_complete(self) -> None:
        """Complete the name of the folder as far as it is certain."""
        field = self.query_one(Field)
        found = paths.completions(field.value, only_folders=True)
        further = shared_beginning(field.value, found)
        if further != field.value:
            field.value = further
            field.cursor_position = len(further)
        elif len(found) > 1:
            self.say("  ".join(file_words.shortened(each.rstrip("/").rpartition("/")[2], 20) for each in found[:8]))

    @on(Input.Submitted)
    def action_save(self) -> None:
        """Save it there."""
        folder = self.query_one(Field).value.strip()
        if folder and paths.is_folder(paths.expanded(folder)):
            self.dismiss(folder)
        else:
            self.say("There is no such folder.", "problem")
