"""Selecting a part of a message, with the keys of any text field; the text is as it was written."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import TextArea

from p2pchat.tui.screens.panel import Panel
from p2pchat.tui.text import writable, written


class SelectScreen(Panel[str]):
    """Dismisses with the text to copy."""

    HEADING = "Select text"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y,ctrl+c", "copy", "copy the selection", priority=True),
        Binding("a,ctrl+a", "all", "select all", priority=True),
    ]
    AUTO_FOCUS = "TextArea"
    DEFAULT_CSS = """
    SelectScreen {
        .panel { max-width: 100; }
        .note { margin: 0; }
        TextArea { height: auto; max-height: 100%; }
    }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def body(self) -> ComposeResult:
        area = TextArea(writable(self._text), read_only=True, show_cursor=True)
        area.highlight_cursor_line = False
        yield area

    def on_mount(self) -> None:
        """Show how to select."""
        self.say("Select with Shift and the arrow keys, or with the mouse.")

    def action_copy(self) -> None:
        """Copy the selection, or everything if nothing is selected."""
        area = self.query_one(TextArea)
        self.dismiss(written(area.selected_text or area.text))

    def action_all(self) -> None:
        """Select all of it."""
        self.query_one(TextArea).select_all()
