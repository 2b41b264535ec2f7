"""The actions on a message as a list, for people who use the mouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets.option_list import Option

from p2pchat.tui.screens.list_panel import ListPanel

_KEY_CELLS = 7


class MenuScreen(ListPanel):
    """Dismisses with the action to run."""

    HEADING = "This message"
    DEFAULT_CLASSES = "-beside"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "choose")]
    DEFAULT_CSS = "MenuScreen .panel { max-width: 40; }"

    def __init__(self, ways: Sequence[tuple[str, str, str]]) -> None:
        """ways: (key, description, action) of each."""
        super().__init__()
        self._ways = ways

    def options(self) -> Iterator[Option]:
        for key, says, _ in self._ways:
            yield Option(Content.assemble((key.ljust(_KEY_CELLS), "bold"), says))

    def choose(self, place: int) -> None:
        self.dismiss(self._ways[place][2])
