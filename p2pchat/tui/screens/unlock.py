"""The question for the passphrase of a locked profile."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.panel import Field, Panel


class UnlockScreen(Panel[bool]):
    """Dismisses with True once the profile is open, with False at Esc."""

    HEADING = "Locked"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "unlock"),
        Binding("escape", "back", "quit"),
    ]
    AUTO_FOCUS = "Input"
    DEFAULT_CSS = "UnlockScreen { background: $background; &:ansi { background: ansi_default; } }"

    def __init__(self, node: ApiCaller) -> None:
        super().__init__()
        self._node = node

    def body(self) -> ComposeResult:
        yield Static("Enter your passphrase to open your messages.", classes="para spare", markup=False)
        yield Field(password=True, placeholder="Passphrase")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or not self.busy

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Try to unlock the profile with what was typed."""
        passphrase = self.query_one(Input).value
        if self.busy:
            return
        if passphrase:
            self.begin(self._unlock(passphrase), "Opening… this is slow on purpose, to make guessing hard.")
        else:
            self.say("Type the passphrase first. Nobody can recover a forgotten one.", "problem")

    async def _unlock(self, passphrase: str) -> None:
        await self._node.call("unlock", passphrase=passphrase)
        self.dismiss(True)

    def action_back(self) -> None:
        self.dismiss(False)
