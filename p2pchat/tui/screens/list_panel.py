"""Pages with a list: the arrows or the mouse highlight a line. One kind has a field above it, to filter or search."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from p2pchat.tui.screens.panel import Field, Panel, Result


class ListPanel(Panel[str]):
    """Lists `options`, and calls `choose` with the index of the chosen one. A subclass binds `go` to Enter, with a
    description of its own.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""

    @property
    def listed(self) -> OptionList:
        """The widget with the list."""
        return self.query_one(OptionList)

    def options(self) -> Iterable[Option]:
        """Return the options to list at first."""
        return ()

    def first(self) -> int:
        """Return the index that is highlighted at first."""
        return 0

    def choose(self, place: int) -> None:
        """Handle the choice of the option at this index."""
        raise NotImplementedError

    def body(self) -> ComposeResult:
        yield OptionList(*self.options())

    def on_mount(self) -> None:
        """Highlight a line; the keys stay with the page."""
        self.listed.can_focus = False
        self.listed.highlighted = self.first()

    def action_move(self, lines: int) -> None:
        """Move the highlight; the first line follows the last."""
        if self.listed.option_count:
            self.listed.highlighted = ((self.listed.highlighted or 0) + lines) % self.listed.option_count

    def action_go(self) -> None:
        """Choose the highlighted line."""
        if self.listed.highlighted is not None:
            self.choose(self.listed.highlighted)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.choose(event.option_index)


class SearchPanel(Panel[Result]):
    """A field, and below it a list of what matches the words in it. The arrows move in the list while the focus stays
    in the field. A subclass binds `go` to Enter, fills the list, and handles the choice.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-5)", show=False),
        Binding("pagedown", "move(5)", show=False),
    ]
    PLACEHOLDER = ""
    """What the empty field says."""
    AUTO_FOCUS = "Field"
    DEFAULT_CSS = """
    SearchPanel {
        .panel { height: 100%; max-height: 28; }
        .body { height: 100%; overflow: hidden; }
        OptionList { height: 1fr; margin: 1 0 0 0; }
        &.-low OptionList, &.-tiny OptionList { margin: 0; }
    }
    """

    @property
    def listed(self) -> OptionList:
        """The widget with the list."""
        return self.query_one(OptionList)

    def body(self) -> ComposeResult:
        yield Field(placeholder=self.PLACEHOLDER)
        yield OptionList()

    def on_mount(self) -> None:
        """Keep the focus in the field."""
        self.listed.can_focus = False

    def action_move(self, lines: int) -> None:
        """Highlight another line, `lines` further down, or the nearer end of the list."""
        if self.listed.option_count:
            place = (self.listed.highlighted or 0) + lines
            self.listed.highlighted = max(0, min(self.listed.option_count - 1, place))
