"""The layout of one message: rows of pieces, each piece a text with a role, without Textual or colours: `conversation`
gives every role its style.

Comfortable:  ▎ bob  10:02                              Compact:  bob    10:02  are we still on for tonight?
              ▎ are we still on for tonight?                      you    10:03  yes, at eight                   ✓✓

              ▎ you  10:03                    ✓✓
              ▎ yes, at eight
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from p2pchat.tui import file_words, formatting, half_blocks
from p2pchat.tui.formatting import Part, Span
from p2pchat.tui.model import ME, NOTES, Author, Message, Quote
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
from p2pchat.tui.widgets import senders
from p2pchat.tui.widgets.file_rows import FileLook, Media, file_rows
from p2pchat.tui.widgets.spans import Row, TextSpan
from p2pchat.tui.wording import NOTICES, unsaid

NARROW = 60
_GROUP = timedelta(minutes=5)
_MIN_NAME = 3
_MAX_NAME = range(12, 21)  # by the width of the conversation
_MAX_HEADED = 40
_MAX_NOTICE_ROWS = 6
_MAX_TEXT = 100  # longer lines are hard to read
_MAX_ROWS = 1000  # enough even for a text of many empty lines; y copies all of it
_EDGE = 4  # a space, the mark's two cells, a space
_BAR = 3  # a space, the bar, a space
_CODE_EDGE = "▏"  # marks code in themes without a background for it
_ALIKE = {"е": "[её]", "ё": "[её]", "ي": "[يی]", "ی": "[يی]", "ك": "[كک]", "ک": "[كک]"}  # noqa: RUF001 - letters of one sound


_GAP = TextSpan("  ", "gutter")


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of a message. The first `lead` rows are above it (date, unread line, name). starts: for each row after
    them, the offset in the text at which it begins.
    """

    rows: tuple[Row, ...]
    lead: int
    starts: tuple[int, ...]

    def place(self, row: int) -> int:
        """Return a position that stays valid at another width: the offset of the row in the text, or the rows above it,
        negative.
        """
        return row - self.lead if row < self.lead else self.starts[row - self.lead]

    def row(self, place: int) -> int:
        """Return the row at such a position."""
        if place < 0:
            return max(0, self.lead + place)
        return self.lead + max(0, bisect_right(self.starts, place) - 1)


@dataclass(frozen=True)
class Look:
    """The layout parameters of all messages."""

    cells: int
    label: str
    chat: str
    today: date
    search: str = ""
    rtl: str = "auto"
    joined: bool = False
    marks: Mapping[str, str] = field(default_factory=lambda: MARKS)
    compact: bool = True
    """Whether a message takes one line if it fits, in place of groups with a head."""
    twelve: bool = False
    """Whether times use a twelve-hour clock."""
    gap: bool = True
    """Whether there is an empty line between groups."""
    plain: bool = False
    """Whether signs are ASCII."""
    pictures: str = ""
    """Why no picture is drawn; "" if they are."""
    picture_rows: int = half_blocks.ROWS
    group: bool = False
    """Whether the chat is with many, so that each message names its author."""
    channel: bool = False
    """Whether it is a channel, all of which comes by relays."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The labels of members, by their ids."""
    me: str = ""
    """What the user is called in the group."""

    def __post_init__(self) -> None:
        label = displayable_line(self.label, joined=self.joined)
        narrow = self.cells < NARROW
        most = min(max(_MAX_NAME[0], self.cells // 5), _MAX_NAME[-1])
        if narrow or not self.compact:  # the name has a line of its own, with the time and the delivery state
            most = max(4, min(_MAX_HEADED, self.cells - 10 if narrow else self.cells - 30))
        name = cut(label, most)
        set_ = object.__setattr__  # computed once for all messages
        set_(self, "narrow", narrow)
        set_(self, "name", self.drawn(name))
        set_(self, "max_name", most)
        # Members come and go: their column has one width.
        set_(self, "name_cells", most if self.group else max(_MIN_NAME, width(name)))
        set_(self, "name_role", senders.role(self.chat, senders.OF_TWO))
        set_(self, "time_cells", 8 if self.twelve else 5)
        column = 1 + self.name_cells + 2 + self.time_cells + 2
        set_(self, "indent", _BAR if not self.compact else 2 if narrow else column)
        edge = _EDGE if self.compact else 1
        set_(self, "text_cells", min(_MAX_TEXT, max(4, self.cells - self.indent - edge)))
        set_(self, "column", min(self.cells, self.indent + self.text_cells + (edge - 1 if self.compact else 0)))
        set_(self, "found", pattern(self.search))
        set_(self, "files", FileLook(self.text_cells, self.plain, self.pictures, self.picture_rows, self.drawn))

    narrow: bool = field(init=False)
    name: str = field(init=False)
    max_name: int = field(init=False)
    name_cells: int = field(init=False)
    time_cells: int = field(init=False)
    name_role: str = field(init=False)
    indent: int = field(init=False)
    text_cells: int = field(init=False)
    column: int = field(init=False)
    """The cell at which dates, rules and states end."""
    found: re.Pattern[str] | None = field(init=False)
    files: FileLook = field(init=False)

    @property
    def shapes(self) -> bool:
        """Whether right-to-left text is reordered for drawing here, or by the terminal."""
        return self.rtl in ("auto", "app")

    def drawn(self, line: str) -> str:
        """Return a single line as it is drawn."""
        return visual_line(line) if self.shapes else line.replace(JOINER, "")

    def called(self, member: Author, cells: int) -> str:
        """Return the label of a member as it is drawn, in so many cells; digits that tell it apart stay."""
        label = self.labels.get(member.id, member.name)
        name, dot, digits = label.rpartition(" ·")
        if not dot or not member.id.startswith(digits):
            name, dot, digits = label, "", ""
        end = dot + digits
        room = max(1, cells - width(end))
        return self.drawn(cut(displayable_line(name, joined=self.joined), room)) + end


def pattern(words: str) -> re.Pattern[str] | None:
    """Return a pattern for any of these words in either case; None without words."""
    parts = ("".join(_ALIKE.get(char, re.escape(char)) for char in word) for word in words.casefold().split())
    joined = "|".join(sorted(parts, key=len, reverse=True))
    return re.compile(joined, re.IGNORECASE) if joined else None


def continues(message: Message, previous: Message | None) -> bool:
    """Return whether a message continues the group of the one above it: same sender, same day, soon after."""
    return (
        previous is not None
        and previous.author == message.author
        and previous.kind not in NOTICES
        and message.at.date() == previous.at.date()
        and abs(message.at - previous.at) <= _GROUP
    )


def lay_out(
    message: Message, previous: Message | None, look: Look, unread: int | None = None, media: Media | None = None
) -> Block:
    """Return the rows of `message` below `previous`, each at most `look.cells` wide. unread: the unread line is above
    it, with this number. media: what is known of its file beside the message.
    """
    if look.group and message.kind in NOTICES and not message.deleted:
        return _notice(message, previous, look, unread)
    grouped = unread is None and continues(message, previous)
    lead = _lead(message, previous, look, grouped, unread)
    if message.file is not None and not message.deleted:
        body, starts = _file_rows(message, look, media)
    elif message.kind == "text" and not message.deleted:
        body, starts = _text_rows(displayable(message.text, joined=look.joined), look, message)
    else:
        body, starts = [[TextSpan(cut(unsaid(message, group=look.group), look.text_cells), "note")]], [0]
    if look.compact or grouped:
        told = look.compact or previous is None or clock(previous.at) == clock(message.at)
        _put_edge(message, look, body, starts, [] if told else [_time(message, look)])
    if message.reactions:
        for reacted in _reacted(message, look):
            starts.append(starts[-1] + 1)
            body.append(reacted)
    rows: list[Row] = list(lead)
    for index, pieces in enumerate(body):
        rows.append((*_margin(message, previous, look, index, grouped), *pieces))
    return Block(tuple(_fit(row, look.cells) for row in rows), len(lead), tuple(starts))


def _notice(message: Message, previous: Message | None, look: Look, unread: int | None) -> Block:
    """Return the rows of what was done in a group: a sentence that nobody wrote, with the time."""
    lead = _above(message, previous, look, unread)
    if not lead and not look.compact and look.gap and previous is not None and previous.kind not in NOTICES:
        lead = [()]
    when, begin = clock(message.at, look.twelve), "- " if look.plain else "· "
    cells = max(4, look.column - 1 - len(begin) - len(when) - 2)
    lines = wrap(displayable(message.text, joined=look.joined), cells, _MAX_NOTICE_ROWS)
    rows: list[Row] = []
    for number, line in enumerate(lines):
        edge = TextSpan(" " * (1 + len(begin)) if number else f" {begin}", "note")
        rows.append((edge, TextSpan(look.drawn(line.shown), "note")))
    rows[-1] += (_GAP, TextSpan(when, "time"))
    starts = tuple(line.start for line in lines)
    return Block(tuple(_fit(row, look.cells) for row in (*lead, *rows)), len(lead), starts)


def _file_rows(message: Message, look: Look, media: Media | None) -> tuple[list[list[TextSpan]], list[int]]:
    """Return the rows of a file and its caption, and for each the position at which it begins."""
    quoted = _quoted(message, look)
    body = [*([quoted] if quoted else []), *file_rows(message, look.files, media)]
    starts = list(range(len(body)))
    if message.text.strip():
        rows, begins = _text_rows(displayable(message.text, joined=look.joined), look, message._replace(quote=None))
        starts += [len(body) + begin for begin in begins]
        body += rows
    return body, starts


def _quoted(message: Message, look: Look) -> list[TextSpan]:
    """Return the quote above a reply: the author and the beginning of the quoted message. A click goes there."""
    quote = message.quote
    if quote is None:
        return []
    who, role = _quoted_author(quote, look)
    words = "deleted" if quote.deleted else displayable_line(" ".join(quote.text[:200].split()))
    if quote.file is not None and not quote.deleted:
        words = file_words.summary(quote.file, quote.text)
    words = words or "a file"
    link = "action:jump_quoted" if quote.here and not quote.deleted else ""
    room = look.text_cells - width(who) - 4
    pieces = [TextSpan("┃ ", "line"), TextSpan(who, role, link)]
    return [*pieces, TextSpan("  " + look.drawn(cut(words, room)), "quote", link)] if room > 3 else pieces


def _quoted_author(quote: Quote, look: Look) -> tuple[str, str]:
    """Return the name of who wrote a quoted message, and its role."""
    if quote.sender == ME:
        return "you", "quoted"
    if quote.member is not None:
        return look.called(quote.member, _MAX_NAME[-1]), senders.role(quote.member.id)
    return look.drawn(cut(displayable_line(quote.sender), _MAX_NAME[-1])), "quoted"


def _reacted(message: Message, look: Look) -> list[list[TextSpan]]:
    """Return the emoji under a message, each with the number of people. A click adds or removes one's own."""
    counted: dict[str, list[bool]] = {}
    for reaction in message.reactions:
        counted.setdefault(displayable_line(reaction.emoji, joined=look.joined)[:16], []).append(reaction.mine)
    rows: list[list[TextSpan]] = [[]]
    used = 0
    for emoji, mine in counted.items():
        text = cut(f" {emoji} {len(mine)} ", look.text_cells)
        if used and used + width(text) + 1 > look.text_cells:
            rows.append([])
            used = 0
        gap = [TextSpan(" ", "gutter")] if used else []
        role = "reaction-mine" if any(mine) else "reaction"
        rows[-1] += [*gap, TextSpan(text, role, f"react:{'' if any(mine) else emoji}")]
        used += width(text) + len(gap)
    return rows


# ---------------------------------------------------------------- above a message


def _above(message: Message, previous: Message | None, look: Look, unread: int | None) -> list[Row]:
    """Return the rows above a message that do not tell who wrote it: its date, and the unread line."""
    rows: list[Row] = []
    on = message.at.date()
    if previous is None or previous.at.date() != on:
        if previous is not None and (look.compact or look.gap):
            rows.append(())
        rows.append(_rule(day(on, look.today), look, "date", "line"))
        if look.compact or look.gap:
            rows.append(())
    if unread is not None:
        if not rows and look.gap and not look.compact:
            rows.append(())
        rows.append(_rule(f"{unread} new" if unread else "new", look, "unread", "unread", last=True))
    return rows


def _lead(message: Message, previous: Message | None, look: Look, grouped: bool, unread: int | None) -> list[Row]:
    rows = _above(message, previous, look, unread)
    if look.compact:
        if look.narrow and not grouped:
            if rows == [] and previous is not None:
                rows.append(())
            rows.append((TextSpan(" ", "gutter"), _name(message, look), _GAP, _time(message, look)))
    elif not grouped:
        if rows == [] and previous is not None and look.gap:
            rows.append(())
        rows.append(_head(message, look))
    return rows


def _rule(text: str, look: Look, role: str, line: str, *, last: bool = False) -> Row:
    """Return a rule across the column with a word in its middle, or at its end."""
    room = max(0, look.column - 1)
    text = cut(f" {text} ", room)
    rest = room - width(text)
    after = min(rest, 1) if last else rest // 2
    return (
        TextSpan(" ", "gutter"),
        TextSpan("─" * (rest - after), line),
        TextSpan(text, role),
        TextSpan("─" * after, line),
    )


def _bar(message: Message, look: Look) -> tuple[TextSpan, ...]:
    return (
        TextSpan(" ", "gutter"),
        TextSpan("▎", _role(message, look)),
        TextSpan(" ", "gutter"),
    )


def _head(message: Message, look: Look) -> Row:
    """Return the first line of a group: the name, the time, and the delivery state."""
    left = [*_bar(message, look), _name(message, look), _GAP, _time(message, look)]
    edge = _edge(message, look)
    used = sum(width(piece.text) for piece in left)
    while edge and used + 1 + sum(width(piece.text) + 1 for piece in edge) > look.column:
        edge.pop(0)  # the mark is the most important
    gap = look.column - used - sum(width(piece.text) + 1 for piece in edge)
    return (*left, TextSpan(" " * max(0, gap), "gutter"), *_spaced(edge))


def _spaced(pieces: Sequence[TextSpan]) -> list[TextSpan]:
    return [each for piece in pieces for each in (TextSpan(" ", "gutter"), piece)]


def _name(message: Message, look: Look) -> TextSpan:
    if message.member is not None:
        return TextSpan(look.called(message.member, look.max_name), _role(message, look))
    return TextSpan("you" if message.mine else look.name, _role(message, look))


def _role(message: Message, look: Look) -> str:
    if message.mine:
        return "you"
    return look.name_role if message.member is None else senders.role(message.member.id)


def _time(message: Message, look: Look) -> TextSpan:
    column = look.time_cells if look.compact and not look.narrow else 0  # aligned with the others
    return TextSpan(clock(message.at, look.twelve).rjust(column), "time")


# ---------------------------------------------------------------- the message itself


def _margin(message: Message, previous: Message | None, look: Look, index: int, grouped: bool) -> Row:
    """Return the margin of a row of the text."""
    if not look.compact:
        return _bar(message, look)
    if look.narrow or (index > 0):
        return (TextSpan(" " * look.indent, "gutter"),)
    if not grouped:
        name = _name(message, look)
        gap = " " * (look.name_cells - width(name.text) + 2)
        return (TextSpan(" ", "gutter"), name, TextSpan(gap, "gutter"), _time(message, look), _GAP)
    if previous is not None and clock(previous.at) == clock(message.at):
        return (TextSpan(" " * look.indent, "gutter"),)
    return (TextSpan(" " * (look.indent - look.time_cells - 2), "gutter"), _time(message, look), _GAP)


def _text_rows(text: str, look: Look, message: Message) -> tuple[list[list[TextSpan]], list[int]]:
    """Return the rows of the text of a message below its quote, and for each the offset at which it begins. Offsets
    count the text without its marks, and two more after each part, so that they always grow.
    """
    rows: list[list[TextSpan]] = []
    starts: list[int] = []
    reordered = look.shapes and has_rtl(text)
    if not reordered:
        text = text.replace(JOINER, "")
    base = 0
    if quoted := _quoted(message, look):
        rows.append(quoted)
        starts.append(0)
        base = 1
    for plain in formatting.parts(text):
        if len(rows) > _MAX_ROWS:
            break
        part = plain
        if look.group:
            to_me, by_id = message.mentions_me, message.mentions
            marked = senders.with_mentions(plain, look.labels, look.me, mentions_me=to_me, by_id=by_id)
            part = plain._replace(spans=tuple(marked))
        _put_part(part, look, base, rows, starts, reordered)
        base += len(part.text) + 2
    if len(rows) > _MAX_ROWS:
        del rows[_MAX_ROWS:], starts[_MAX_ROWS + 1 :]
        rows.append([TextSpan(cut("… and more: y copies all of it", look.text_cells), "note")])
    return rows, starts


def _put_part(
    part: Part, look: Look, base: int, rows: list[list[TextSpan]], starts: list[int], reordered: bool
) -> None:
    """Append the rows of a part of a text."""
    is_code, is_quote = part.kind == formatting.CODE, part.kind == formatting.QUOTE
    spans = _with_matches(part, look)
    plain = "code" if is_code else "quote" if is_quote else "text"
    cells = max(2, look.text_cells - 2 if is_code or is_quote else look.text_cells)
    if is_code:
        base += 1
        if part.language:
            label = cut(part.language, look.text_cells - 1).ljust(look.text_cells - 1)
            rows.append([TextSpan(_CODE_EDGE, "code-edge"), TextSpan(label, "language")])
            starts.append(base - 1)
    directions: dict[int, bool] = {}
    for line in wrap(part.text, cells, _MAX_ROWS + 1 - len(rows)):
        starts.append(base + line.start)
        if not reordered:
            pieces = _styled(line.shown, line.start, spans, plain)
        else:
            if line.paragraph not in directions:
                paragraph, _, _ = part.text[line.paragraph :].partition("\n")
                directions[line.paragraph] = not is_code and is_rtl(paragraph)
            pieces = _visual_row(line.shown, line.start, spans, plain, directions[line.paragraph], cells)
        if is_code:
            fill = look.text_cells - 1 - sum(width(piece.text) for piece in pieces)
            pieces = [TextSpan(_CODE_EDGE, "code-edge"), *pieces, TextSpan(" " * max(0, fill), "code")]
        elif is_quote:
            pieces = [TextSpan("┃", "line"), TextSpan(" ", "gutter"), *pieces]
        rows.append(pieces)


def _with_matches(part: Part, look: Look) -> list[Span]:
    """Return the spans of a part that have a role of their own, in order, with the searched words marked in all of
    them.
    """
    if look.found is None:
        return list(part.spans)
    made: list[Span] = []
    matches = [Span(*match.span(), "match") for match in look.found.finditer(part.text)]
    cuts = iter(matches)
    following = next(cuts, None)
    for span in part.spans:
        start = span.start
        while following is not None and following.start < span.end:
            if following.end > start:
                made += [Span(start, following.start, span.role, span.link)] if following.start > start else []
                made.append(following._replace(link=span.link if following.start >= span.start else ""))
                start = following.end
            else:
                made.append(following)
            following = next(cuts, None)
        if start < span.end:
            made.append(Span(start, span.end, span.role, span.link))
    while following is not None:
        made.append(following)
        following = next(cuts, None)
    return made


def _here(start: int, end: int, spans: Sequence[Span]) -> Sequence[Span]:
    """Return the spans within a line; the spans are in order and do not overlap."""
    if not spans:
        return spans
    first = bisect_right(spans, start, key=lambda span: span.end)
    return spans[first : bisect_left(spans, end, key=lambda span: span.start)]


def _styled(shown: str, start: int, spans: Sequence[Span], plain: str) -> list[TextSpan]:
    """Return a line in pieces by their roles."""
    pieces, at = [], 0
    for span in _here(start, start + len(shown), spans):
        begin, end = max(at, span.start - start), min(len(shown), span.end - start)
        if begin >= end:
            continue
        pieces += [TextSpan(shown[at:begin], plain), TextSpan(shown[begin:end], span.role, span.link)]
        at = end
    pieces.append(TextSpan(shown[at:], plain))
    return [piece for piece in pieces if piece.text]


def _visual_row(shown: str, start: int, spans: Sequence[Span], plain: str, rtl: bool, cells: int) -> list[TextSpan]:
    """Return a line in drawing order, right-aligned if its paragraph runs from right to left."""
    if not shown:
        return []
    roles = [(plain, "")] * len(shown)
    for span in _here(start, start + len(shown), spans):
        begin, end = max(0, span.start - start), min(len(shown), span.end - start)
        roles[begin:end] = [(span.role, span.link)] * max(0, end - begin)
    pieces: list[TextSpan] = []
    run, role = "", (plain, "")
    for glyph in visual(shown, rtl):
        now = roles[glyph.origin]
        if now != role:
            pieces.append(TextSpan(run, *role))
            run, role = "", now
        run += glyph.text
    pieces.append(TextSpan(run, *role))
    pieces = [piece for piece in pieces if piece.text]
    if rtl:
        pad = cells - sum(width(piece.text) for piece in pieces)
        pieces.insert(0, TextSpan(" " * max(0, pad), "gutter"))
    return pieces


def _edge(message: Message, look: Look) -> list[TextSpan]:
    """Return the delivery state of a message, its route if not direct, and whether it was late; the last piece is the
    most important.
    """
    words = [TextSpan("arrived late", "late")] if message.late else []
    if message.pinned:
        words.append(TextSpan("pinned", "pinned", "action:show_pinned"))
    if message.edited_at is not None and not message.deleted:
        words.append(TextSpan("edited", "route"))
    if message.route not in (None, "direct") and not look.channel:
        words.append(TextSpan(edge_word(message.route), "route"))
    if message.mine and message.chat != NOTES and message.state in look.marks:
        role = {"read": "read", "failed": "failed"}.get(message.state, "mark")
        if message.state == "failed" or (message.state == "read" and not look.compact):
            words.append(TextSpan(STATES[message.state], role))
        words.append(TextSpan(look.marks[message.state].rjust(2), role))
    return words


def _put_edge(
    message: Message, look: Look, body: list[list[TextSpan]], starts: list[int], before: list[TextSpan]
) -> None:
    """Put the delivery state at the right of the last row."""
    words = [*before, *_edge(message, look)]
    if not words:
        return
    cells = sum(width(piece.text) + 1 for piece in words)
    used = sum(width(piece.text) for piece in body[-1])
    room = look.column - look.indent
    if used + cells > room and (cells > _EDGE - 1 or not look.compact):
        first = body[-1][0]
        if first.role == "gutter" and len(first.text) > cells:  # it runs from right to left, so its end is on the left
            spaced = [each for piece in words for each in (piece, TextSpan(" ", "gutter"))]
            body[-1][:1] = [*spaced, TextSpan(" " * (len(first.text) - cells), "gutter")]
            return
        starts.append(starts[-1] + 1)
        body.append([])
        used = 0
    body[-1].append(TextSpan(" " * max(0, room - used - cells), "gutter"))
    body[-1] += _spaced(words)


def edge_word(route: str | None) -> str:
    """Return a route in words; an unknown one is returned as it is, shortened."""
    return "" if route is None else ROUTES.get(route, cut(displayable_line(route), 16))


def _fit(row: Row, cells: int) -> Row:
    """Cut a row to the width of the screen, however narrow that is."""
    kept, left = [], cells
    for piece in row:
        text = piece.text if width(piece.text) <= left else cut(piece.text, left)
        if text:
            kept.append(piece._replace(text=text))
            left -= width(text)
    return tuple(kept)
