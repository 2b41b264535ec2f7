"""Converting rows of pieces to Textual's strips, which are cached while they stay the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from p2pchat.tui import half_blocks
from p2pchat.tui.text import cut, width
from p2pchat.tui.widgets.rendering import Block
from p2pchat.tui.widgets.spans import Row, TextSpan

_MARKER = "▌"
_MAX_KEPT = 150
"""Messages whose strips are kept, for a few screens. A strip is thirty objects, and the garbage collector visits each
of them."""


@dataclass(slots=True)
class _Painted:
    block: Block
    plain: list[Strip] | None = None
    chosen: list[Strip] | None = None


class Painter:
    """Makes strips of blocks, `cells` wide. style: returns the style of a role."""

    def __init__(self, style: Callable[[str], Style], *, links: bool = True) -> None:
        """links: whether to tell the terminal where links lead (OSC 8)."""
        self.links = links
        self._style = style
        self._kept: dict[str, _Painted] = {}
        self._links: dict[tuple[str, str], Style] = {}
        """Styles of links. One address has one style, so that a terminal recognises its lines as one link."""
        self.cells = 1

    def forget(self) -> None:
        """Clear the cache, because the colours or the width have changed."""
        self._kept.clear()
        self._links.clear()

    def strip(self, id: str, block: Block, row: int, chosen: bool) -> Strip:
        """Return one row of the message `id`; chosen: it is the selected one."""
        kept = self._kept.get(id)
        if kept is None or kept.block is not block:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            kept = self._kept[id] = _Painted(block)
        strips = kept.chosen if chosen else kept.plain
        if strips is None:
            strips = [
                self._chosen(pieces) if chosen and number >= block.lead else self.paint(pieces)
                for number, pieces in enumerate(block.rows)
            ]
            if chosen:
                kept.chosen = strips
            else:
                kept.plain = strips
        return strips[row]

    def paint(self, row: Row) -> Strip:
        """Return a row as a strip, `cells` wide."""
        segments: list[Segment] = []
        for piece in row:
            if piece.colours:
                segments += half_blocks.segments(piece.colours[: 6 * len(piece.text)])
            else:
                segments.append(Segment(piece.text, self._styled(piece)))
        return self._filled(segments, self._style("text"))

    def _styled(self, piece: TextSpan) -> Style:
        style = self._style(piece.role)
        if not self.links or not piece.link.startswith("http"):
            return style
        kept = self._links.get((piece.role, piece.link))
        if kept is None:
            if len(self._links) >= _MAX_KEPT:
                self._links.clear()
            kept = self._links[piece.role, piece.link] = style + Style(link=piece.link)
        return kept

    def bar(self, left: Row, right: Row, middle: Row = ()) -> Strip:
        """Return a row with a left, a middle and a right part; what does not fit is left out."""
        cells = self.cells
        sizes = [sum(width(piece.text) for piece in row) for row in (left, middle, right)]
        if middle:
            if sizes[0] > (cells - sizes[1]) // 2 - 1:
                left, sizes[0] = (), 0
            start = max(0, (cells - sizes[1]) // 2)
            return self.paint((*left, TextSpan(" " * (start - sizes[0]), "bar"), *_cut(middle, cells)))
        if sizes[0] + sizes[2] > cells:
            left = _cut(left, cells - sizes[2])
            sizes[0] = sum(width(piece.text) for piece in left)
        gap = TextSpan(" " * max(0, cells - sizes[0] - sizes[2]), "bar")
        return self.paint((*left, gap, *_cut(right, cells)))

    def _chosen(self, row: Row) -> Strip:
        over = self._style("selected")
        ground = Style(bgcolor=over.bgcolor, reverse=over.reverse, bold=over.bold)
        segments: list[Segment] = []
        for piece in row:
            if piece.colours:  # a picture keeps its colours
                segments += half_blocks.segments(piece.colours[: 6 * len(piece.text)])
            else:
                segments.append(Segment(piece.text, self._styled(piece) + ground))
        if segments and segments[0].text.startswith(" "):
            first = segments[0]
            segments[:1] = [Segment(_MARKER, self._style("marker") + ground), Segment(first.text[1:], first.style)]
        return self._filled(segments, self._style("text") + ground)

    def _filled(self, segments: list[Segment], style: Style) -> Strip:
        return Strip(segments).adjust_cell_length(self.cells, style)


def _cut(row: Row, cells: int) -> Row:
    kept = []
    for piece in row:
        text = cut(piece.text, cells)
        if text:
            kept.append(piece._replace(text=text))
        cells -= width(text)
    return tuple(kept)
