"""A text area that shows right-to-left text in reading order while it is written.

Its rows are reordered for drawing here, like those of the conversation, with the cursor and the selection at the
letters that they refer to. In a paragraph that runs from right to left, the keys left and right move as they point.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.document._document import Location
from textual.events import MouseEvent
from textual.strip import Strip
from textual.widgets import TextArea

from p2pchat.tui.rtl import Glyph, visual
from p2pchat.tui.text import has_rtl, is_rtl

_CURSOR = " "
"""What is drawn at the end of the text, so that the cursor can be there."""


class _Row(NamedTuple):
    """A wrapped row. start: the column in its line at which it begins. last: whether it ends the line."""

    line: int
    start: int
    text: str
    rtl: bool
    last: bool


class TurnedArea(TextArea):
    """The text area. `turns_text` of its app says whether the terminal leaves the reordering to us."""

    def _row(self, y: int) -> _Row | None:
        """Return the row at a line of the widget if it contains right-to-left text, else None."""
        lines = self.wrapped_document._offset_to_line_info
        at = y + self.scroll_offset.y
        if not getattr(self.app, "turns_text", True) or not 0 <= at < len(lines):
            return None
        line, section = lines[at]
        text = self.document.get_line(line)
        if not has_rtl(text):
            return None
        breaks = [0, *self.wrapped_document.get_offsets(line), len(text)]
        start, end = breaks[section], breaks[section + 1]
        return _Row(line, start, text[start:end], is_rtl(text), section == len(breaks) - 2)

    def _glyphs(self, row: _Row) -> list[Glyph]:
        """Return the glyphs of a row from the left, each with its position in the row. A row that ends its line has one
        more position, for the cursor after the last letter.
        """
        glyphs = visual(row.text, row.rtl) if row.text else []
        if not row.last:
            return glyphs
        end = Glyph(_CURSOR, len(row.text))
        return [end, *glyphs] if row.rtl else [*glyphs, end]

    def _pad(self, row: _Row, glyphs: list[Glyph]) -> int:
        cells = sum(cell_len(glyph.text) for glyph in glyphs)
        return max(0, self.scrollable_content_region.width - cells) if row.rtl else 0

    def _render_line(self, y: int) -> Strip:
        row = self._row(y)
        if row is None:
            return super()._render_line(y)
        glyphs = self._glyphs(row)
        theme = self._theme
        base = theme.base_style if theme is not None and theme.base_style is not None else self.rich_style
        first, last = sorted(self.selection)
        at = self._cursor_at(row, glyphs)

        def style(glyph: Glyph) -> Style:
            here = (row.line, row.start + glyph.origin)
            if glyph.origin == at and theme is not None and theme.cursor_style:
                return base + theme.cursor_style
            chosen = first <= here < last and theme is not None and theme.selection_style
            return base + theme.selection_style if chosen and theme is not None else base

        pad = self._pad(row, glyphs)
        segments = [Segment(" " * pad, base)] if pad else []
        for look, run in groupby(glyphs, style):
            segments.append(Segment("".join(glyph.text for glyph in run), look))
        return Strip(segments).adjust_cell_length(self.scrollable_content_region.width, base)

    def _cursor_at(self, row: _Row, glyphs: list[Glyph]) -> int:
        """Return the index of the glyph under the cursor, -1 if it is not in this row or not visible. In a group that
        is drawn as one, it is the first.
        """
        line, column = self.selection.end
        place = column - row.start
        if line != row.line or not self._draw_cursor or not 0 <= place <= len(row.text) - (not row.last):
            return -1
        return max((glyph.origin for glyph in glyphs if glyph.origin <= place), default=-1)

    def get_target_document_location(self, event: MouseEvent) -> Location:
        """Return the position in the text of a click: that of the letter that is drawn there."""
        row = self._row(event.y - self.gutter.top)
        if row is None:
            return super().get_target_document_location(event)
        glyphs = self._glyphs(row)
        x = event.x - self.gutter.left - self._pad(row, glyphs)
        for glyph in glyphs:
            x -= cell_len(glyph.text)
            if x < 0:
                return row.line, row.start + glyph.origin
        return row.line, row.start + (0 if row.rtl else len(row.text))

    def _runs_left(self) -> bool:
        """Return whether the cursor's line runs from right to left, and is drawn so."""
        return getattr(self.app, "turns_text", True) and is_rtl(self.document.get_line(self.cursor_location[0]))

    def action_cursor_left(self, select: bool = False) -> None:
        """Move to the letter at the left of the cursor."""
        if self._runs_left():
            super().action_cursor_right(select)
        else:
            super().action_cursor_left(select)

    def action_cursor_right(self, select: bool = False) -> None:
        """Move to the letter at the right of the cursor."""
        if self._runs_left():
            super().action_cursor_left(select)
        else:
            super().action_cursor_right(select)
