"""A reason, in a few words that others read: why a message is hidden."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from p2pchat.tui.screens.panel import Field, Panel

MAX_REASON_BYTES = 256


class ReasonScreen(Panel[str]):
    """Dismisses with the reason, which may be empty."""

    DEFAULT_CLASSES = "-beside"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "continue")]
    AUTO_FOCUS = "Field"
    DEFAULT_CSS = "ReasonScreen .panel { max-width: 64; }"

    def __init__(self, heading: str, label: str, note: str) -> None:
        """label: what is asked. note: what it means to go on."""
        super().__init__(heading)
        self._label = label
        self._note = note

    def body(self) -> ComposeResult:
        yield Static(self._label, classes="label", markup=False)
        yield Field(max_length=MAX_REASON_BYTES)
        yield Static(self._note, classes="note last", markup=False)

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Go on with what was written."""
        reason = self.query_one(Field).value.strip()
        if len(reason.encode()) > MAX_REASON_BYTES:
            self.say("That is too long for a reason.", "problem")
        else:
            self.dismiss(reason)
