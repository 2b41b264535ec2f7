"""The addresses in a message, to open one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets.option_list import Option

from p2pchat.tui.screens.list_panel import ListPanel

MAX_NUMBERED = 9


class LinksScreen(ListPanel):
    """Dismisses with the address to open."""

    HEADING = "Open a link"
    DEFAULT_CLASSES = "-beside"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "open it"),
        *(Binding(str(digit), f"pick({digit})", show=False) for digit in range(1, MAX_NUMBERED + 1)),
    ]

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__()
        self._addresses = addresses

    def options(self) -> Iterator[Option]:
        for number, address in enumerate(self._addresses, 1):
            row = Table.grid(padding=(0, 1, 0, 0))
            row.add_column(width=1)
            row.add_column(overflow="fold")  # a long address continues below its beginning, not below its number
            row.add_row(Text(str(number) if number <= MAX_NUMBERED else "", "bold"), Text(address))
            yield Option(row)

    def choose(self, place: int) -> None:
        self.dismiss(self._addresses[place])

    def action_pick(self, number: int) -> None:
        """Open the link with that number."""
        if number <= len(self._addresses):
            self.choose(number - 1)
