"""The addresses in a message, to open one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets.option_list import Option

from p2pchat.tui.screens.list_panel import ListPanel

MAX_NUMBERED = 9


class LinksScreen(ListPanel):
    """Dismisses with the address to open."""

    HEADING = "Open a link"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "open it"),
        *(Binding(str(digit), f"pick({digit})", show=False) for digit in range(1, MAX_NUMBERED + 1)),
    ]

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__()
        self._addresses = addresses

    def options(self) -> Iterator[Option]:
        for number, address in enumerate(self._addresses, 1):
            yield Option(Content.assemble((f"{number} " if number <= MAX_NUMBERED else "  ", "bold"), address))

    def choose(self, place: int) -> None:
        self.dismiss(self._addresses[place])

    def action_pick(self, number: int) -> None:
        """Open the one with that number."""
        if number <= len(self._addresses):
            self.choose(number - 1)
