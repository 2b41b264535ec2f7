"""Text marked with the mouse: from a place in one message to a place in another.

A place is a message and an offset in its text, so that it stays where it is whatever scrolls, comes or wraps meanwhile;
what is copied is the text, in the order it was written, without names, times and marks.
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
from p2pchat.tui.widgets.rendering import Block, Look, Row
from p2pchat.tui.widgets.viewport import RowPosition

_TEXT = frozenset({"text", "match", "link", "code", "strong", "em", "strike", "quote"})
_END = 1 << 30
_LOOK = Style(reverse=True)


class _Shown(NamedTuple):
    """The text in a row, and the cell at which it begins. `whole`: right to left, so it is marked whole or not."""

    cell: int
    text: str
    whole: bool


def _shown(row: Row) -> _Shown:
    cell, cells, text = 0, 0, ""
    if any(piece.role == "quoted" for piece in row):
        return _Shown(0, "", False)
    for piece in row:
        if piece.role in _TEXT:
            # A row of code begins with a cell of its ground.
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
    """The offset in the text under a cell of a row; `after`: behind the character there."""
    if place < block.lead:
        return 0
    shown, start = _shown(block.rows[place]), block.starts[place - block.lead]
    if not shown.text:
        return start if start < block.starts[-1] else _END
    if shown.whole:
        # Letters may have been joined, so the next row says where this one ends.
        return min((each for each in block.starts if each > start), default=_END) if after else start
    used = shown.cell
    for index, letter in enumerate(shown.text):
        used += width(letter)
        if used > x:
            return start + index + (1 if after and x >= shown.cell else 0)
    return start + len(shown.text)


def _parts(message: Message, look: Look) -> Iterator[tuple[int, str]]:
    """The parts of a text, each with the offset at which `rendering` lets it begin."""
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
    """What is marked in a feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._from: tuple[str, int, int] | None = None
        self._to: tuple[str, int, int] | None = None
        self._begun: Spot | None = None
        self.pressed = False
        """The mouse was pressed here and not released yet."""
        self.dragged = False
        """It was moved since."""

    def __bool__(self) -> bool:
        return bool(self._ranges())

    @property
    def done(self) -> bool:
        """Whether something is marked and the mouse was released: there is something to copy."""
        return not self.pressed and bool(self)

    def drop(self) -> bool:
        """Mark nothing; whether something was."""
        was = self._to is not None
        self._from = self._to = None
        return was

    def press(self, spot: Spot) -> bool:
        """The mouse was pressed: marking may begin here, and nothing is marked any more; whether something was."""
        was = self.drop()
        self.pressed, self.dragged = True, False
        self._begun, self._from = spot, self._at(spot)
        return was

    def drag(self, spot: Spot) -> bool:
        """The pressed mouse is here: mark up to it; whether anything is."""
        if spot != self._begun or self.dragged:
            self.dragged = True
            self._to = self._at(spot)
        return self.dragged

    def _at(self, spot: Spot) -> tuple[str, int, int]:
        """The message, and the offsets before and behind the character there."""
        block = self._feed.blocks(spot.place.item)
        before, behind = (_offset(block, spot.place.row, spot.x, after=after) for after in (False, True))
        return self._feed.window[spot.place.item].id, before, behind

    def _ranges(self) -> Mapping[int, tuple[int, int]]:
        """For each message, by its place in the window, the offsets between which it is marked."""
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
        """The marked text, a line for each message at least; "" for none."""
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
        """A row of the screen with what is marked in it."""
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
