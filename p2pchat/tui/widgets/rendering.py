"""How one message looks: rows of pieces, each piece a text with a role. No Textual here, and no colour: `conversation`
gives every role its style.

Wide:    bob    10:02  are we still on for tonight?                      Narrow:   bob  10:02
         you    10:03  yes, at eight                              ✓✓                are we still on for tonight?
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

from p2pchat.tui.model import Message
from p2pchat.tui.rtl import visual, visual_line
from p2pchat.tui.text import (
    JOINER,
    MARKS,
    ROUTES,
    STATES,
    clock,
    cut,
    day,
    displayable,
    displayable_line,
    has_rtl,
    is_rtl,
    width,
    wrap,
)

NARROW = 60
_GROUP = timedelta(minutes=5)
_MIN_NAME = 3
_MAX_NAME = range(12, 21)  # by how wide the conversation is
_MAX_TEXT = 100  # longer lines are hard to read
_MAX_ROWS = 1000  # a text of many empty lines is not worth more; y copies it whole
_EDGE = 4  # a space, the mark's two cells, a space
_NAMES = 4
_ALIKE = {"е": "[её]", "ё": "[её]", "ي": "[يی]", "ی": "[يی]", "ك": "[كک]", "ک": "[كک]"}  # noqa: RUF001 - letters of one sound


class TextSpan(NamedTuple):
    """A text with a role, which decides about its colour: the component class `conversation--<role>`."""

    text: str
    role: str


Row = tuple[TextSpan, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of a message. The first `lead` rows are what stands above it (date, unread line, name); `starts` has,
    for each row after them, the offset in the text at which it begins.
    """

    rows: tuple[Row, ...]
    lead: int
    starts: tuple[int, ...]

    def place(self, row: int) -> int:
        """A row as something that outlives another width: the offset in the text, or rows above it, negative."""
        return row - self.lead if row < self.lead else self.starts[row - self.lead]

    def row(self, place: int) -> int:
        """The row at such a place."""
        if place < 0:
            return max(0, self.lead + place)
        return self.lead + max(0, bisect_right(self.starts, place) - 1)


@dataclass(frozen=True)
class Look:
    """What the looks of all messages depend on."""

    cells: int
    label: str
    chat: str
    today: date
    search: str = ""
    rtl: str = "auto"
    joined: bool = False
    marks: Mapping[str, str] = field(default_factory=lambda: MARKS)

    def __post_init__(self) -> None:
        label = displayable_line(self.label, joined=self.joined)
        narrow = self.cells < NARROW
        most = max(4, self.cells - 10) if narrow else min(max(_MAX_NAME[0], self.cells // 5), _MAX_NAME[-1])
        name = cut(label, most)
        set_ = object.__setattr__  # worked out once, for all messages
        set_(self, "narrow", narrow)
        set_(self, "name", self.drawn(name))
        set_(self, "name_cells", max(_MIN_NAME, width(name)))
        set_(self, "name_role", f"name-{zlib.crc32(self.chat.encode()) % _NAMES}")
        set_(self, "indent", 2 if narrow else 1 + self.name_cells + 2 + 5 + 2)
        set_(self, "text_cells", min(_MAX_TEXT, max(4, self.cells - self.indent - _EDGE)))
        set_(self, "found", pattern(self.search))

    narrow: bool = field(init=False)
    name: str = field(init=False)
    name_cells: int = field(init=False)
    name_role: str = field(init=False)
    indent: int = field(init=False)
    text_cells: int = field(init=False)
    found: re.Pattern[str] | None = field(init=False)

    @property
    def shapes(self) -> bool:
        """Whether right-to-left text is put into drawing order here, or by the terminal."""
        return self.rtl in ("auto", "app")

    def drawn(self, line: str) -> str:
        """A single line as it is drawn."""
        return visual_line(line) if self.shapes else line.replace(JOINER, "")


def pattern(words: str) -> re.Pattern[str] | None:
    """What finds any of these words, in either case; None without any."""
    parts = ("".join(_ALIKE.get(char, re.escape(char)) for char in word) for word in words.casefold().split())
    joined = "|".join(sorted(parts, key=len, reverse=True))
    return re.compile(joined, re.IGNORECASE) if joined else None


def continues(message: Message, previous: Message | None) -> bool:
    """Whether a message belongs to the one above it: same sender, same day, soon after."""
    return (
        previous is not None
        and previous.sender == message.sender
        and message.at.date() == previous.at.date()
        and abs(message.at - previous.at) <= _GROUP
    )


def lay_out(message: Message, previous: Message | None, look: Look, unread: int | None = None) -> Block:
    """The rows of `message` below `previous`, each of them `look.cells` wide or less. `unread`: the unread line is
    above it, and says so many.
    """
    grouped = unread is None and continues(message, previous)
    lead = _lead(message, previous, look, grouped, unread)
    if message.kind == "text":
        body, starts = _text_rows(displayable(message.text, joined=look.joined), look)
    else:
        body, starts = [[TextSpan("a kind of message this version cannot show"[: look.text_cells], "note")]], [0]
    _put_edge(message, look, body, starts)
    rows: list[Row] = list(lead)
    for index, pieces in enumerate(body):
        rows.append((*_margin(message, previous, look, index, grouped), *pieces))
    return Block(tuple(_fit(row, look.cells) for row in rows), len(lead), tuple(starts))


# ---------------------------------------------------------------- above a message


def _lead(message: Message, previous: Message | None, look: Look, grouped: bool, unread: int | None) -> list[Row]:
    rows: list[Row] = []
    on = message.at.date()
    if previous is None or previous.at.date() != on:
        if previous is not None:
            rows.append(())
        rows += [_centred(day(on, look.today), look.cells, "date"), ()]
    if unread is not None:
        count = f" {unread} new " if unread else " new "
        rule = max(0, look.cells - 2 - width(count))
        rows.append((TextSpan(f" {'─' * (rule // 2)}{count}{'─' * (rule - rule // 2)}", "unread"),))
    if look.narrow and not grouped:
        if rows == [] and previous is not None:
            rows.append(())
        rows.append((TextSpan(" ", "gutter"), _name(message, look), TextSpan("  ", "gutter"), _time(message)))
    return rows


def _centred(text: str, cells: int, role: str) -> Row:
    text = cut(text, cells)
    return (TextSpan(" " * ((cells - width(text)) // 2), "gutter"), TextSpan(text, role))


def _name(message: Message, look: Look) -> TextSpan:
    return TextSpan("you", "you") if message.mine else TextSpan(look.name, look.name_role)


def _time(message: Message) -> TextSpan:
    return TextSpan(clock(message.at), "time")


# ---------------------------------------------------------------- the message itself


def _margin(message: Message, previous: Message | None, look: Look, index: int, grouped: bool) -> Row:
    """What stands left of a row of the text."""
    if look.narrow or (index > 0):
        return (TextSpan(" " * look.indent, "gutter"),)
    if not grouped:
        name = _name(message, look)
        gap = " " * (look.name_cells - width(name.text) + 2)
        return (TextSpan(" ", "gutter"), name, TextSpan(gap, "gutter"), _time(message), TextSpan("  ", "gutter"))
    if previous is not None and clock(previous.at) == clock(message.at):
        return (TextSpan(" " * look.indent, "gutter"),)
    return (TextSpan(" " * (look.indent - 7), "gutter"), _time(message), TextSpan("  ", "gutter"))


def _text_rows(text: str, look: Look) -> tuple[list[list[TextSpan]], list[int]]:
    rows, starts = [], []
    matches = [match.span() for match in look.found.finditer(text)] if look.found else []
    reordered = look.shapes and has_rtl(text)
    if not reordered:
        text = text.replace(JOINER, "")
    directions: dict[int, bool] = {}
    ends = [end for _, end in matches]
    for line in wrap(text, look.text_cells, _MAX_ROWS):
        starts.append(line.start)
        # Of thousands of matches only those in this line: they stand in order and do not overlap.
        here = matches[bisect_right(ends, line.start) : bisect_left(matches, (line.end, 0))] if matches else matches
        if not reordered:
            rows.append(_marked(line.shown, line.start, here))
            continue
        if line.paragraph not in directions:
            end = text.find("\n", line.paragraph)
            directions[line.paragraph] = is_rtl(text[line.paragraph : None if end < 0 else end])
        rows.append(_visual_row(line.shown, line.start, here, directions[line.paragraph], look.text_cells))
    if line.end < len(text):
        starts.append(max(line.end, line.start + 1))
        rows.append([TextSpan(cut("… it continues: y copies all of it", look.text_cells), "note")])
    return rows, starts


def _marked(shown: str, start: int, matches: list[tuple[int, int]]) -> list[TextSpan]:
    """A line with the search words in it marked."""
    pieces, at = [], 0
    for first, last in matches:
        begin, end = max(0, first - start), min(len(shown), last - start)
        if begin >= end or end <= at:
            continue
        pieces += [TextSpan(shown[at:begin], "text"), TextSpan(shown[begin:end], "match")]
        at = end
    pieces.append(TextSpan(shown[at:], "text"))
    return [piece for piece in pieces if piece.text]


def _visual_row(shown: str, start: int, matches: list[tuple[int, int]], rtl: bool, cells: int) -> list[TextSpan]:
    """A line in drawing order, at the right if its paragraph runs from there."""
    if not shown:
        return []
    pieces: list[TextSpan] = []
    run, role = "", "text"
    for glyph in visual(shown, rtl):
        now = "match" if any(begin <= start + glyph.origin < end for begin, end in matches) else "text"
        if now != role:
            pieces.append(TextSpan(run, role))
            run, role = "", now
        run += glyph.text
    pieces.append(TextSpan(run, role))
    pieces = [piece for piece in pieces if piece.text]
    if rtl:
        pad = cells - sum(width(piece.text) for piece in pieces)
        pieces.insert(0, TextSpan(" " * max(0, pad), "gutter"))
    return pieces


def _put_edge(message: Message, look: Look, body: list[list[TextSpan]], starts: list[int]) -> None:
    """At the right of the last row: how far it has come, by which way if not straight, and whether it came late."""
    words = [TextSpan("came late", "late")] if message.late else []
    if message.route not in (None, "direct"):
        words.append(TextSpan(edge_word(message.route), "route"))
    if message.mine and message.state in look.marks:
        role = {"read": "read", "failed": "failed"}.get(message.state, "mark")
        if message.state == "failed":
            words.append(TextSpan(STATES["failed"], role))
        words.append(TextSpan(look.marks[message.state].rjust(2), role))
    if not words:
        return
    cells = sum(width(piece.text) + 1 for piece in words)
    used = sum(width(piece.text) for piece in body[-1])
    room = look.text_cells + _EDGE - 1  # a space is left at the edge of the screen
    if used + cells > room and cells > _EDGE - 1:
        starts.append(starts[-1] + 1)
        body.append([])
        used = 0
    body[-1].append(TextSpan(" " * max(0, room - used - cells), "gutter"))
    for piece in words:
        body[-1] += [TextSpan(" ", "gutter"), piece]


def edge_word(route: str | None) -> str:
    """A way in words; one this version does not know by its own, cut short."""
    return "" if route is None else ROUTES.get(route, cut(displayable_line(route), 16))


def _fit(row: Row, cells: int) -> Row:
    """Nothing is wider than the screen, however narrow that is."""
    kept, left = [], cells
    for piece in row:
        text = piece.text if width(piece.text) <= left else cut(piece.text, left)
        if text:
            kept.append(TextSpan(text, piece.role))
            left -= width(text)
    return tuple(kept)
