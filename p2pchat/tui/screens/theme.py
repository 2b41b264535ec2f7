"""The themes in a list: the whole screen takes the one that is highlighted, and keeps the one that is chosen."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from p2pchat.tui import themes
from p2pchat.tui.screens.panel import Panel


class ThemeScreen(Panel[str]):
    """Dismisses with the name of the theme to keep; esc gives back the one before."""

    HEADING = "Theme"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "keep", "keep it"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""
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

    def body(self) -> ComposeResult:
        yield OptionList(*(Option(name, id=name) for name in themes.NAMES))

    def on_mount(self) -> None:
        """Begin at the theme that is used now."""
        listed = self.query_one(OptionList)
        listed.can_focus = False
        listed.highlighted = themes.NAMES.index(self._before) if self._before in themes.NAMES else 0

    @on(OptionList.OptionHighlighted)
    def _preview(self, event: OptionList.OptionHighlighted) -> None:
        if event.option.id is not None:
            self.app.theme = event.option.id

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        if event.option.id is not None:
            self.dismiss(event.option.id)

    def action_move(self, lines: int) -> None:
        """Try another one."""
        listed = self.query_one(OptionList)
        listed.highlighted = ((listed.highlighted or 0) + lines) % len(themes.NAMES)

    def action_keep(self) -> None:
        """Keep the one that is tried."""
        self.dismiss(self.app.theme)

    def action_back(self) -> None:
        """Give back the one before."""
        self.app.theme = self._before
        self.dismiss(None)
