"""Text in cells: what may be shown, how wide it is, where its lines break; dates and states in words.

Everything here is a pure function: the time of day is an argument. Widths are rich's, since Textual pads with them, and
a text is made such that every terminal agrees with them: rich counts nothing for what follows a zero-width joiner, so a
chain of joined letters would "fit" into one cell and run over the whole screen.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from rich.cells import cell_len, get_character_cell_size, split_graphemes

from p2pchat.sanitize import clean

_TAB = 4
_MAX_ZERO_WIDTH = 4  # marks on one letter; more paint over the lines above and below
_MAX_JOINS = 3  # a family of four
JOINER = "\u034f"
"""In a displayable text, in place of the zero-width joiner of Arabic letters: what follows that one is not counted."""
UNSEEN = frozenset("\u200c\u200d\u200e\u200f\u061c")
"""ZWNJ, ZWJ and the marks of direction: Persian and others are written with them. Keys for them are letters to us, to
Textual they are not, since nothing is to be seen.
"""
_DROPPED = frozenset(["\u00ad", JOINER])
ZWJ, _VARIATION = "\u200d", "\ufe0f"
# Characters that are one cell everywhere, and the newline: Latin, Greek, Cyrillic, common signs.
_SIMPLE = re.compile("[\n -~\u00a0-\u00ac\u00ae-\u02ff\u0370-\u0377\u0384-\u0482\u048a-\u052f\u2013-\u2022\u2026]*")
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
_BREAKS = re.compile("\r\n|[\u2028\u2029]")
# Chinese and Japanese never begin a line with these.
_NOT_FIRST = frozenset("、。，．！？：；）」』】〉》”’…ー々")  # noqa: RUF001

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_WORDS_A_ROW = 4

MARKS: Mapping[str, str] = {"saved": "◷", "stored": "✓", "delivered": "✓✓", "read": "✓✓", "failed": "✗"}
"""How far a message of ours has come; the look of `read` differs in more than colour."""
PLAIN_MARKS: Mapping[str, str] = {"saved": "..", "stored": "+", "delivered": "++", "read": "+R", "failed": "!!"}
"""The same for terminals whose font has only ASCII."""
STATES: Mapping[str, str] = {
    "saved": "waiting to be sent",
    "stored": "stored at a relay",
    "delivered": "delivered",
    "read": "read",
    "failed": "not sent",
    "received": "received",
}
ROUTES: Mapping[str, str] = {
    "direct": "direct",
    "lan": "same network",
    "punched": "through routers",
    "circuit": "through a relay",
    "mailbox": "by mailbox",
    "parcel": "in a parcel",
    "history": "from earlier",
}


# ---------------------------------------------------------------- what may be shown


def joins_emoji(environ: Mapping[str, str]) -> bool:
    """Whether the terminal is known to draw joined emoji (families, skin colours) as one, in the two cells rich counts.

    Not under tmux, which hides the terminal behind it.
    """
    if environ.get("TMUX"):
        return False
    terminal, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "").lower()
    return terminal.startswith(("xterm-kitty", "foot", "xterm-ghostty", "wezterm")) or program in (
        "kitty",
        "wezterm",
        "ghostty",
        "iterm.app",
    )


def draws_unicode(environment: Mapping[str, str]) -> bool:
    """Whether the locale allows more than ASCII; where none is set, nearly every terminal does. The console of Linux
    does not: its font has few signs, whatever the locale.
    """
    if environment.get("TERM") == "linux":
        return False
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or ""
    return not locale or "utf" in locale.casefold()


def displayable(text: str, *, joined: bool = False) -> str:
    """`text` as it may be drawn: no control characters (a second wall; the node client is the first), tabs as
    spaces, and nothing whose width terminals disagree about. With `joined`, emoji keep their joiners and variants.
    """
    text = clean(_BREAKS.sub("\n", text).expandtabs(_TAB))
    if text.isascii() or _SIMPLE.fullmatch(text):
        return text
    return _bounded(text, joined and not has_rtl(text))  # emoji are reordered one by one where lines are


def displayable_line(text: str, *, joined: bool = False) -> str:
    """`displayable` on one line: for names."""
    return displayable(text, joined=joined).replace("\n", " ")


def writable(text: str, *, joined: bool = False) -> str:
    """A text as it stands where one writes: with something in place of its joiners that counts for nothing, unless the
    terminal joins. `written` gives the text back.
    """
    return text if joined else text.replace(ZWJ, JOINER)


def written(text: str) -> str:
    """The text that somebody wrote."""
    return text.replace(JOINER, ZWJ)


def _bounded(text: str, joined: bool) -> str:
    kept: list[str] = []
    zeros = joins = 0
    for index, char in enumerate(text):
        if char == ZWJ:
            before, after = text[index - 1 : index], text[index + 1 : index + 2]
            if joined and _emoji(before) and _emoji(after) and joins < _MAX_JOINS:
                joins += 1
            elif _RTL.search(before + after):
                kept.append(JOINER)
                continue
            else:
                continue
        elif char in _DROPPED or (not joined and (char == _VARIATION or _SKIN.match(char))):
            continue
        if char != "\n" and get_character_cell_size(char) == 0:
            zeros += 1
            if zeros > _MAX_ZERO_WIDTH:
                continue
        else:
            zeros = 0
            if text[index - 1 : index] != ZWJ:
                joins = 0
        kept.append(char)
    return "".join(kept)


def _emoji(char: str) -> bool:
    # A variation selector or a skin colour stands between an emoji and its joiner.
    return bool(char) and (
        char == _VARIATION or bool(_SKIN.match(char)) or (char >= "\u2190" and unicodedata.category(char) == "So")
    )


# ---------------------------------------------------------------- widths and lines


def width(text: str) -> int:
    """Cells of a displayable text on one line."""
    return cell_len(text)


def cut(text: str, cells: int) -> str:
    """The text on one line in at most so many cells, with … where something is missing."""
    if cell_len(text) <= cells:
        return text
    if cells < 1:
        return ""
    used = end = 0
    for _, stop, size in split_graphemes(text)[0]:
        if used + size > cells - 1:
            break
        used, end = used + size, stop
    return text[:end].rstrip() + "…"


class Line(NamedTuple):
    """A line of a wrapped text: `text[start:end]`, with the spaces it broke at; `shown` is without those."""

    start: int
    end: int
    shown: str
    paragraph: int
    """Where its paragraph starts."""


def wrap(text: str, cells: int, most: int | None = None) -> list[Line]:
    """Break a displayable text into lines of at most `cells` (2 or more) cells, `most` of them; newlines stay.

    Breaks at spaces and beside Chinese, Japanese and Korean characters; a longer word is cut anywhere. The time is
    linear in the length, whatever the text.
    """
    lines: list[Line] = []
    offset = 0
    for paragraph in text.split("\n"):
        fold = _fold_simple if _SIMPLE.fullmatch(paragraph) else _fold_cells
        for start, end in fold(paragraph, max(2, cells)):
            shown = paragraph[start:end]
            if end < len(paragraph) or cell_len(shown) > cells:
                shown = shown.rstrip(" ")
            lines.append(Line(offset + start, offset + end, shown, offset))
            if len(lines) == most:
                return lines
        offset += len(paragraph) + 1
    return lines


def _fold_simple(text: str, cells: int) -> Iterator[tuple[int, int]]:
    """Every character is one cell."""
    start, length = 0, len(text)
    while length - start > cells:
        space = text.rfind(" ", start, start + cells + 1)
        # An indentation alone is no line.
        end = start + cells if space < 0 or not text[start:space].strip(" ") else space + 1
        while end < length and text[end] == " ":
            end += 1
        yield start, end
        if end == length:
            return
        start = end
    yield start, length


def _fold_cells(text: str, cells: int) -> Iterator[tuple[int, int]]:
    start = used = 0
    breaks = used_there = 0  # the last place where a line may end, and the cells up to there
    content = False  # the line has more than spaces
    for begin, end, size in split_graphemes(text)[0]:
        if text[begin] == " ":  # spaces at the end of a line hang, they do not fill it
            used += size
            if content:
                breaks, used_there = end, used
            continue
        if size > 1 and content and text[begin] not in _NOT_FIRST:
            breaks, used_there = begin, used
        while used + size > cells and begin > start:
            if breaks > start:
                yield start, breaks
                start, used = breaks, used - used_there
            else:
                yield start, begin
                start, used = begin, 0
            breaks, content = start, False
        content = True
        used += size
        if size > 1:
            breaks, used_there = (end, used) if text[end : end + 1] not in _NOT_FIRST else (breaks, used_there)
    yield start, len(text)


# ---------------------------------------------------------------- direction


def has_rtl(text: str) -> bool:
    """Whether anything in the text is written from right to left."""
    return not text.isascii() and _RTL.search(text) is not None


def is_rtl(paragraph: str) -> bool:
    """Whether a paragraph runs from right to left: its first letter with a direction says so."""
    for char in paragraph:
        direction = unicodedata.bidirectional(char)
        if direction == "L":
            return False
        if direction in ("R", "AL"):
            return True
    return False


# ---------------------------------------------------------------- time


def clock(at: datetime, twelve: bool = False) -> str:
    """Return the time of day, such as 10:02 or 22:02; or 10:02 am, 10:02 pm with `twelve` hours."""
    if twelve:
        return f"{at.hour % 12 or 12}:{at.minute:02} {'pm' if at.hour >= 12 else 'am'}"
    return f"{at.hour:02}:{at.minute:02}"


def day(on: date, today: date) -> str:
    """Today, Yesterday, Tuesday 21 November; with the year if it is another."""
    if on == today:
        return "Today"
    if on == today - timedelta(days=1):
        return "Yesterday"
    name = f"{_DAYS[on.weekday()]} {on.day} {_MONTHS[on.month - 1]}"
    return name if on.year == today.year else f"{name} {on.year}"


def brief(at: datetime, now: datetime, twelve: bool = False) -> str:
    """At most eight cells for a list: 10:02 today, Tue this week, 21 Nov this year, Nov 2024 before."""
    days = (now.date() - at.date()).days
    if days == 0:
        return clock(at, twelve)
    if 0 < days < 7:
        return _DAYS[at.weekday()][:3]
    month = _MONTHS[at.month - 1][:3]
    return f"{at.day} {month}" if at.year == now.year else f"{month} {at.year}"


def relative(at: datetime, now: datetime) -> str:
    """Just now, 3 minutes ago, in 2 hours, 5 days ago."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 45:
        return "just now"
    units = ((86400, "day"), (3600, "hour"), (60, "minute"))
    size, unit = next((unit for unit in units if abs(seconds) >= 0.9 * unit[0]), units[-1])
    count = max(1, round(abs(seconds) / size))
    words = f"{count} {unit}{'s' if count != 1 else ''}"
    return f"in {words}" if seconds > 0 else f"{words} ago"


def rows_of(words: str) -> str:
    """Words to compare, in rows of four."""
    each = words.split()
    rows = [each[start : start + _WORDS_A_ROW] for start in range(0, len(each), _WORDS_A_ROW)]
    return "\n".join(" ".join(row) for row in rows)
