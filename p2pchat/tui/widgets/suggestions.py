"""How what is being written may go on, one line each, above the composer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from p2pchat.tui.commands import Completion
from p2pchat.tui.intents import Intent
from p2pchat.tui.text import cut, displayable_line
from p2pchat.tui.themes import MUTED

MAX_SHOWN = 6
"""Completions that are shown at once."""


class Suggestions(Static):
    """The completions of a command, one line each."""

    DEFAULT_CSS = """
    Suggestions {
        display: none;
        height: auto;
        padding: 0 1;
        background: $panel;
        text-wrap: nowrap;
        text-overflow: clip;
    }
    """

    class Taken(Intent):
        """A line was clicked."""

        line: str

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._offered: list[str] = []
        self._last: tuple[Sequence[Completion], int | None] = ((), None)

    def on_resize(self) -> None:
        """Cut the lines to the window as it is now."""
        self.offer(*self._last)

    def on_click(self, event: events.Click) -> None:
        """Choose the line that was clicked."""
        if 0 <= event.y < len(self._offered):
            self.post_message(self.Taken(self._offered[event.y]))

    def offer(self, found: Sequence[Completion], chosen: int | None) -> None:
        """Show these completions, or hide the widget if there are none."""
        self._last = (found, chosen)
        room = max(1, min(MAX_SHOWN, self.screen.size.height // 4))
        first = 0 if chosen is None else max(0, min(chosen - room // 2, len(found) - room))
        shown = found[first : first + room]
        self._offered = [each.line for each in shown]
        self.display = bool(shown)
        if not shown:
            return
        names = [displayable_line(each.shown) for each in shown]
        more = len(found) - first - len(shown)
        rest = f"  +{more}" if more > 0 else ""
        window = self.parent.size.width if isinstance(self.parent, Widget) else self.screen.size.width
        cells = max(8, window - 2)
        size = min(max(map(cell_len, names)) + 2, cells)
        lines = []
        for number, (name, each) in enumerate(zip(names, shown, strict=True), first):
            style = "reverse" if number == chosen else "bold"
            words = cut(name, cells)
            last = number == first + len(shown) - 1
            says = cut(each.says, cells - size - (len(rest) if last else 0))
            lines.append(Content.assemble((words, style), " " * (size - cell_len(words)), (says, MUTED)))
        lines[-1] = Content.assemble(lines[-1], (rest, MUTED))
        self.update(Content("\n").join(lines))
