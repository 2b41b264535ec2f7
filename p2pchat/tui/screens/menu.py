"""What can be done with a message, in a list: for who uses the mouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from p2pchat.tui.screens.panel import Panel

_KEY_CELLS = 7


class MenuScreen(Panel[str]):
    """Dismisses with the action to run."""

    HEADING = "This message"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "do it"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = "MenuScreen .panel { max-width: 40; }"

    def __init__(self, ways: Sequence[tuple[str, str, str]]) -> None:
        """`ways`: for each the key, what it does in words, and the action."""
        super().__init__()
        self._ways = ways
        self._options: list[Option] = []

    def body(self) -> ComposeResult:
        for key, says, action in self._ways:
            words = Content.assemble((key.ljust(_KEY_CELLS), "bold"), says)
            self._options.append(Option(words, id=action))
        yield OptionList(*self._options)

    def on_mount(self) -> None:
        """Begin at the first."""
        listed = self.query_one(OptionList)
        listed.can_focus = False
        listed.highlighted = 0

    def action_move(self, lines: int) -> None:
        """Highlight another one."""
        listed = self.query_one(OptionList)
        listed.highlighted = ((listed.highlighted or 0) + lines) % len(self._ways)

    def action_go(self) -> None:
        """Do what is highlighted."""
        self.dismiss(self._ways[self.query_one(OptionList).highlighted or 0][2])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)
