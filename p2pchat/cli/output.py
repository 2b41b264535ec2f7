"""Prints everything for the command line.

Data goes to stdout, words about it to stderr where stdout carries data. With --json, stdout holds one object a line,
with the text exact, and an error is an object on stderr. Human output is cleaned (`p2pchat.sanitize`), into pipes too,
and what a peer chose (a name, a text) always comes last on its line, so that it can never look like a column of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from p2pchat.api import file_words
from p2pchat.api.remarks import remarks
from p2pchat.lib.moments import local_time, localized
from p2pchat.sanitize import clean, clean_line, escape_json

if TYPE_CHECKING:
    from p2pchat import errors

MARKS = {"saved": "◷", "stored": "✓", "delivered": "✓✓", "read": "✓✓ read", "failed": "✗"}

_STYLES = {"dim": "2", "bold": "1", "green": "32", "yellow": "33", "red": "31", "cyan": "36"}
_MARK_STYLES = {"delivered": "green", "read": "cyan", "failed": "red"}


@dataclass(frozen=True)
class Output:
    """Where and how to print. Colour is used only on a terminal, without NO_COLOR."""

    json: bool
    stdout: TextIO
    stderr: TextIO
    colour_out: bool = False
    colour_err: bool = False

    @classmethod
    def standard(cls, as_json: bool) -> Output:
        """On this process's own stdout and stderr."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal that has no ✓ shows ?, and nothing fails
        return cls(as_json, sys.stdout, sys.stderr, _wants_colour(sys.stdout), _wants_colour(sys.stderr))

    # --- stdout

    def object(self, value: object) -> None:
        """One JSON object on a line of stdout, exact; risky characters as escapes."""
        line = escape_json(json.dumps(value, ensure_ascii=not _is_utf8(self.stdout))) + "\n"
        self.stdout.write(line)
        self.stdout.flush()

    def line(self, text: str = "") -> None:
        """Cleaned text on stdout."""
        self.stdout.write(clean(text) + "\n")
        self.stdout.flush()

    def table(self, rows: Sequence[Sequence[Cell]], gap: str = "  ") -> None:
        """Rows with aligned columns; the last column is as long as it is."""
        widths = [max(width(row[i].text) for row in rows) for i in range(len(rows[0]) - 1)] if rows else []
        for row in rows:
            cells = [self._cell(cell, size) for cell, size in zip(row, [*widths, 0], strict=True)]
            self.stdout.write(gap.join(cells).rstrip() + "\n")
        self.stdout.flush()

    # --- stderr

    def note(self, text: str) -> None:
        """Print a remark for the user, beside the data. Nobody may be there to read it."""
        with contextlib.suppress(OSError):
            self.stderr.write(paint(clean(text), "dim", self.colour_err) + "\n")
            self.stderr.flush()

    def error(self, error: errors.P2PChatError) -> None:
        """Print an error: what happened and what to do, on one line; with --json an object, as in the API. Nobody may
        be there to read it.
        """
        if self.json:
            from p2pchat.api.codec import error_object

            line = escape_json(json.dumps({"error": error_object(error)}))
        else:
            line = paint("p2pchat: ", "red", self.colour_err) + clean_line(localized(error.line()))
        with contextlib.suppress(OSError):
            self.stderr.write(line + "\n")
            self.stderr.flush()

    def aside(self, text: str) -> None:
        """Print on stdout if the user reads it there, and on stderr if stdout carries data."""
        if self.json or not self.stdout.isatty():
            self.note(text)
        else:
            self.stdout.write(paint(clean(text), "dim", self.colour_out) + "\n")
            self.stdout.flush()

    def _cell(self, cell: Cell, size: int) -> str:
        return paint(cell.text + " " * (size - width(cell.text)), cell.style, self.colour_out)


NOTICE = "group"
"""The kind of a line about what was done in a group, which this node has made."""
MAX_QUOTE = 60
"""The most characters shown of a quoted message."""


class Cell(NamedTuple):
    """One field of a table: a single cleaned line."""

    text: str
    style: str = ""


def cell(text: object, style: str = "") -> Cell:
    """A field from anything; a long one is not cut, ids and names must stay whole."""
    return Cell(clean_line("" if text is None else str(text)), style)


def paint(text: str, style: str, colour: bool) -> str:
    """`text` in a colour, each of its lines for itself."""
    if not colour or not style or not text:
        return text
    return "\n".join(f"\x1b[{_STYLES[style]}m{line}\x1b[0m" if line else line for line in text.split("\n"))


def width(text: str) -> int:
    """Return the columns that a line takes on a terminal."""
    if text.isascii():
        return len(text)
    total = 0
    for char in text:
        if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
            continue
        total += 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
    return total


# --- messages --------------------------------------------------------------------------------------


def messages(out: Output, found: Iterable[dict[str, Any]], *, today: str = "", names: int = 0) -> str:
    """Message objects for a person: time, state, sender, text; a line with the date where a day begins.

    `today` is the day of the last line printed before, the result that of the last one now. `names` is the least
    width of the senders' column.
    """
    page = list(found)
    marks = max([0, *(width(_mark(message)) for message in page)])
    senders = max([names, *(width(clean_line(str(message["from"]))) for message in page)])
    for message in page:
        is_old = message["mine"] or message["route"] == "history"  # when that was fetched says nothing
        when = local_time(message["sent_at"] if is_old else message["received_at"])
        day = when.strftime("%A %-d %B %Y") if when else ""
        if day and day != today:
            out.stdout.write(paint(day, "dim", out.colour_out) + "\n")
            today = day
        _message(out, message, when, marks, senders)
    out.stdout.flush()
    return today


def _message(out: Output, message: dict[str, Any], when: datetime | None, marks: int, senders: int) -> None:
    mine = message["mine"]
    mark, sender = _mark(message), clean_line(str(message["from"]))
    clock = when.strftime("%H:%M") if when else "  :  "
    head = [
        paint(clock, "dim", out.colour_out),
        paint(mark + " " * (marks - width(mark)), _MARK_STYLES.get(message["state"], "dim"), out.colour_out),
        paint(sender + " " * (senders - width(sender)), "" if mine else "bold", out.colour_out),
    ]
    if message["kind"] == NOTICE:  # nobody wrote it: no name is there, and every member has one
        said = paint(clean_line(localized(str(message["text"]))), "dim", out.colour_out)
        out.stdout.write("  ".join([head[0], " " * marks, " " * senders, said]) + "\n")
        return
    # A text of several lines stays in its column: none of them can pass for a line of ours.
    indent = "\n" + " " * (5 + 2 + marks + 2 + senders + 2)
    text = indent.join(clean(file_words.text(message)).split("\n"))
    if message.get("late"):  # it stands before what was answered since
        head.append(paint("(arrived late)", "yellow", out.colour_out))
    head += [paint(remark, "dim", out.colour_out) for remark in _remarks(message)]
    if message.get("reactions"):
        text += indent + "  ".join(
            clean_line(f"{reaction['emoji']} {reaction['from']}") for reaction in message["reactions"]
        )
    out.stdout.write("  ".join([*head, text]).rstrip() + "\n")


def _remarks(message: dict[str, Any]) -> list[str]:
    said = remarks(message, MAX_QUOTE)
    if message.get("expires_in"):
        ends = short_date(message["expires_at"])
        said.append(f"(disappears {ends})" if ends else "(disappears once it is read)")
    if message.get("seen"):
        said.append(f"(seen by {message['seen']:,})")
    return said


def _mark(message: dict[str, Any]) -> str:
    return MARKS.get(str(message["state"]), "")


def short_date(stamp: object) -> str:
    """`14:05` today, `21 Nov 14:05` this year, else `2025-11-21`."""
    when, now = local_time(stamp), datetime.now().astimezone()
    if when is None:
        return ""
    if when.date() == now.date():
        return when.strftime("%H:%M")
    return when.strftime("%-d %b %H:%M") if when.year == now.year else when.strftime("%Y-%m-%d")


# --- QR --------------------------------------------------------------------------------------------


def qr(text: str, colour: bool) -> str:
    """`text` as a QR code of half blocks with a border of 2, black on white forced where there is colour."""
    import segno

    matrix = [[False] * 2 + [bool(dot) for dot in row] + [False] * 2 for row in segno.make(text, micro=False).matrix]
    blank = [False] * len(matrix[0])
    rows = [blank, blank, *matrix, blank, blank]
    if len(rows) % 2:
        rows.append(blank)
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        # Without colours the terminal's ground is taken for dark: light dots are the ones drawn.
        glyphs = " ▀▄█" if colour else "█▄▀ "
        body = "".join(glyphs[top + 2 * bottom] for top, bottom in zip(upper, lower, strict=True))
        lines.append(f"\x1b[30;107m{body}\x1b[0m" if colour else body)
    return "\n".join(lines)


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _is_utf8(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", "") or "").lower().replace("-", "") == "utf8"
