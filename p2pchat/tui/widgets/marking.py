"""Marking text with the mouse, from a position in one message to a position in another.

A position is a message and an offset in its text, so it stays the same when the view scrolls, messages arrive, or lines
wrap differently. What is copied is the text in the order in which it was written, without names, times and marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from p2pchat.tui import formatting
from p2pchat.tui.model import Message
from p2pchat.tui.text import JOINER, displayable, has_rtl, width, written
from p2pchat.tui.widgets.feed import Feed
from p2pchat.tui.widgets.rendering import Block, Look
from p2pchat.tui.widgets.spans import Row
from p2pchat.tui.widgets.viewport import RowPosition

_TEXT = frozenset({"text", "match", "link", "code", "strong", "em", "strike", "quote"})
_END = 1 << 30
_LOOK = Style(reverse=True)


class _Shown(NamedTuple):
    """The text in a row, and the cell at which it begins. whole: it runs from right to left, so all or nothing of it is
    marked.
    """

    cell: int
    text: str
    whole: bool


def _shown(row: Row) -> _Shown:
    cell, cells, text = 0, 0, ""
    if any(piece.role == "quoted" for piece in row):
        return _Shown(0, "", False)
    for piece in row:
        if piece.role in _TEXT:
            # A row of code begins with a cell of background.
            if not text and not (piece.role == "code" and piece.text == " " and not cell):
                cell = cell or cells
            elif not text:
                cell = cells + 1
            if cells >= cell:
                text += piece.text
        elif text:
            break
        cells += width(piece.text)
    return _Shown(cell, text, has_rtl(text))


def _offset(block: Block, place: int, x: int, *, after: bool) -> int:
    """Return the offset in the text under a cell of a row. after: the one behind the character there."""
    if place < block.lead:
        return 0
    shown, start = _shown(block.rows[place]), block.starts[place - block.lead]
    if not shown.text:
        return start if start < block.starts[-1] else _END
    if shown.whole:
        # Letters may have been joined, so the end of this row is taken from the next one.
        return min((each for each in block.starts if each > start), default=_END) if after else start
    used = shown.cell
    for index, letter in enumerate(shown.text):
        used += width(letter)
        if used > x:
            return start + index + (1 if after and x >= shown.cell else 0)
    return start + len(shown.text)


def _parts(message: Message, look: Look) -> Iterator[tuple[int, str]]:
    """Yield the parts of a text, each with its offset in `rendering`."""
    text = displayable(message.text, joined=look.joined)
    if not (look.shapes and has_rtl(text)):
        text = text.replace(JOINER, "")
    base = 0 if message.quote is None else 1
    for part in formatting.parts(text):
        yield base + (part.kind == formatting.CODE), part.text
        base += len(part.text) + 2


class Spot(NamedTuple):
    """A cell of the conversation: its row, and its column."""

    place: RowPosition
    x: int


class TextMarks:
    """The marked text of a feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._from: tuple[str, int, int] | None = None
        self._to: tuple[str, int, int] | None = None
        self._begun: Spot | None = None
        self.pressed = False
        """Whether the mouse was pressed here and not released yet."""
        self.dragged = False
        """Whether it was moved since."""

    def __bool__(self) -> bool:
        return bool(self._ranges())

    @property
    def done(self) -> bool:
        """Whether text is marked and the mouse was released, so that there is something to copy."""
        return not self.pressed and bool(self)

    def drop(self) -> bool:
        """Clear the marking; return whether there was one."""
        was = self._to is not None
        self._from = self._to = None
        return was

    def press(self, spot: Spot) -> bool:
        """Begin a marking where the mouse was pressed, and clear the previous one; return whether there was one."""
        was = self.drop()
        self.pressed, self.dragged = True, False
        self._begun, self._from = spot, self._at(spot)
        return was

    def drag(self, spot: Spot) -> bool:
        """Extend the marking to the position of the pressed mouse; return whether text is marked."""
        if spot != self._begun or self.dragged:
            self.dragged = True
            self._to = self._at(spot)
        return self.dragged

    def _at(self, spot: Spot) -> tuple[str, int, int]:
        """Return the message, and the offsets before and after the character there."""
        block = self._feed.blocks(spot.place.item)
        before, behind = (_offset(block, spot.place.row, spot.x, after=after) for after in (False, True))
        return self._feed.window[spot.place.item].id, before, behind

    def _ranges(self) -> Mapping[int, tuple[int, int]]:
        """Return the marked offsets of each message, by its index in the window."""
        if self._from is None or self._to is None:
            return {}
        window = self._feed.window
        first, last = window.index(self._from[0]), window.index(self._to[0])
        if first is None or last is None:
            return {}
        start, end = sorted(((first, *self._from[1:]), (last, *self._to[1:])))
        return {
            index: (start[1] if index == start[0] else 0, end[2] if index == end[0] else _END)
            for index in range(start[0], end[0] + 1)
        }

    @property
    def text(self) -> str:
        """Return the marked text, with at least a line for each message; "" if there is none."""
        texts = []
        for index, (start, end) in self._ranges().items():
            message = self._feed.window[index]
            if message.kind == "text" and not message.deleted:
                pieces = [
                    text[max(0, start - base) : max(0, end - base)]
                    for base, text in _parts(message, self._feed.look)
                    if start < base + len(text) and end > base
                ]
                texts.append("\n".join(pieces))
        return written("\n".join(texts)).rstrip()

    def paint(self, strip: Strip, place: RowPosition) -> Strip:
        """Return a row of the screen with the marking drawn."""
        marked = self._ranges().get(place.item)
        block = self._feed.blocks(place.item)
        if marked is None or place.row < block.lead:
            return strip
        shown, start = _shown(block.rows[place.row]), block.starts[place.row - block.lead]
        first, last = max(0, marked[0] - start), min(len(shown.text), marked[1] - start)
        if first >= last:
            return strip
        if shown.whole:
            first, last = 0, len(shown.text)
        left = shown.cell + width(shown.text[:first])
        right = shown.cell + width(shown.text[:last])
        inside = [Segment(part.text, part.style + _LOOK if part.style else _LOOK) for part in strip.crop(left, right)]
        return Strip.join([strip.crop(0, left), Strip(inside), strip.crop(right, strip.cell_length)])
