"""The themes in a list: the screen uses the highlighted one at once, and keeps the chosen one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from p2pchat.tui import themes
from p2pchat.tui.screens.list_panel import ListPanel


class ThemeScreen(ListPanel):
    """Dismisses with the name of the theme to keep; Esc restores the previous one."""

    HEADING = "Theme"
    DEFAULT_CLASSES = "-beside"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "use it")]
    DEFAULT_CSS = """
    ThemeScreen {
        align: right top;
        background: transparent;
        .panel { max-width: 34; }
    }
    """

    def __init__(self, before: str) -> None:
        super().__init__()
        self._before = before

    def options(self) -> Iterator[Option]:
        for name in themes.NAMES:
            yield Option(name, id=name)

    def first(self) -> int:
        """Return the index of the current theme."""
        return themes.NAMES.index(self._before) if self._before in themes.NAMES else 0

    @on(OptionList.OptionHighlighted)
    def _preview(self, event: OptionList.OptionHighlighted) -> None:
        if event.option.id is not None:
            self.app.theme = event.option.id

    def choose(self, place: int) -> None:
        self.dismiss(themes.NAMES[place])

    def action_back(self) -> None:
        """Restore the previous theme."""
        self.app.theme = self._before
        self.dismiss(None)
