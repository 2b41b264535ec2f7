"""The addresses in a message, to open one of them."""

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

MAX_NUMBERED = 9


class LinksScreen(Panel[str]):
    """Dismisses with the address to open."""

    HEADING = "Open a link"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "open it"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        *(Binding(str(digit), f"pick({digit})", show=False) for digit in range(1, MAX_NUMBERED + 1)),
    ]
    AUTO_FOCUS = ""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__()
        self._addresses = addresses

    def body(self) -> ComposeResult:
        yield OptionList(
            *(
                Option(Content.assemble((f"{number} " if number <= MAX_NUMBERED else "  ", "bold"), address))
                for number, address in enumerate(self._addresses, 1)
            )
        )

    def on_mount(self) -> None:
        """Begin at the first."""
        listed = self.query_one(OptionList)
        listed.can_focus = False
        listed.highlighted = 0

    def action_move(self, lines: int) -> None:
        """Highlight another one."""
        listed = self.query_one(OptionList)
        listed.highlighted = max(0, min(len(self._addresses) - 1, (listed.highlighted or 0) + lines))

    def action_pick(self, number: int) -> None:
        """Open the one with that number."""
        if number <= len(self._addresses):
            self.dismiss(self._addresses[number - 1])

    def action_go(self) -> None:
        """Open the one that is highlighted."""
        self.dismiss(self._addresses[self.query_one(OptionList).highlighted or 0])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._addresses[event.option_index])
