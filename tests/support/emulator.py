"""A terminal that does what the program may ask of it, and notes everything else.

It is small on purpose: what is here is the whole list of what the screen may send. A sequence that is not on it, or a
character that a terminal would obey or hide, lands in `forbidden`, and no test that looks at the screen passes then. A
real terminal (tmux) shows that the list suffices; this one shows that nothing else is sent.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from dataclasses import dataclass, field

from rich.cells import cell_len

MODES = {
    7: "wrap",
    25: "cursor",
    1000: "mouse",
    1003: "mouse motion",
    1004: "focus",
    1006: "mouse sgr",
    1015: "mouse urxvt",
    1049: "alternate",
    2004: "paste",
    2026: "frame",
}
AT_FIRST = frozenset({"wrap", "cursor"})
"""The modes of a terminal nobody has touched."""

_CSI = re.compile(rb"\x1b\[([<>=?]?)([0-9;:]*)([ -/]*)([@-~])")
_OSC = re.compile(rb"\x1b\]([0-9]+);([^\x07\x1b]*)(?:\x07|\x1b\\)")
_BEGUN = re.compile(rb"\x1b(\[[<>=?]?[0-9;:]*[ -/]*|\][^\x07\x1b]*\x1b?)?\Z")
_TEXT = re.compile(rb"[^\x00-\x1f\x7f]+")
_NEVER = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")


@dataclass(frozen=True)
class Cell:
    """One place of the screen; the second half of a wide character is empty."""

    text: str = " "
    style: str = ""


BLANK = Cell()


@dataclass
class Emulator:
    """The screen as it is after the bytes fed so far."""

    columns: int
    rows: int
    modes: set[str] = field(default_factory=lambda: set(AT_FIRST))
    forbidden: list[bytes] = field(default_factory=list)
    bells: int = 0
    titles: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    clipboard: str = ""
    overrun: int = 0
    """Characters beyond the edge where nothing wraps: the program has counted cells otherwise than terminals do."""
    links: dict[str, str] = field(default_factory=dict)
    """Where links lead, and all that was ever shown for each."""
    replies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cells: list[list[Cell]] = []
        self._kept: list[list[Cell]] = []
        self._x = self._y = 0
        self._style = ""
        self._leads = self._linked = ""
        self._rest = b""
        self._blank()

    def resize(self, columns: int, rows: int) -> None:
        """Another size; what was there stays at the top left, and so does the cursor, as near as there is room."""
        old, self.columns, self.rows = self._cells, columns, rows
        self._blank()
        for new, line in zip(self._cells, old, strict=False):
            new[:] = (line + new)[:columns] if len(line) >= columns else line + new[len(line) :]
        self._x, self._y = min(self._x, columns - 1), min(self._y, rows - 1)

    def text(self) -> str:
        """What can be read."""
        return "\n".join("".join(cell.text for cell in line).rstrip() for line in self._cells)

    def cells(self) -> list[list[Cell]]:
        """Every place, with how it looks."""
        return [list(line) for line in self._cells]

    def feed(self, data: bytes) -> None:
        """What the program wrote."""
        data = self._rest + data
        self._rest = b""
        at = 0
        while at < len(data):
            if match := _TEXT.match(data, at):
                at = self._print(data, at, match.end())
                if self._rest:
                    return
            elif data[at] == 0x1B:
                match = _CSI.match(data, at) or _OSC.match(data, at)
                if match is None and _BEGUN.match(data, at):
                    self._rest = data[at:]
                    return
                at = self._sequence(data, at, match)
            else:
                self._control(data[at])
                at += 1

    def _print(self, data: bytes, at: int, end: int) -> int:
        piece = data[at:end]
        try:
            text = piece.decode()
        except UnicodeDecodeError as exc:
            if exc.reason == "unexpected end of data" and end == len(data):
                self._rest = piece[exc.start :]
            else:
                self.forbidden.append(piece[max(0, exc.start - 20) : exc.start + 20])
            text = piece[: exc.start].decode()
        if risky := _NEVER.search(text):
            self.forbidden.append(text[max(0, risky.start() - 10) : risky.end() + 10].encode("utf-8", "replace"))
        self._linked += text if self._leads else ""
        for char in text:
            self._put(char)
        return end

    def _put(self, char: str) -> None:
        width = 0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else cell_len(char)
        line = self._cells[self._y]
        if not width:
            before = max(0, min(self._x, self.columns) - 1)
            while before and not line[before].text:
                before -= 1
            line[before] = Cell(line[before].text + char, line[before].style)
            return
        if self._x + width > self.columns:
            if "wrap" not in self.modes:
                self.overrun += 1
                return
            self._x = 0
            self._newline()
            line = self._cells[self._y]
        line[self._x] = Cell(char, self._style)
        if width == 2:
            line[self._x + 1] = Cell("", self._style)
        self._x += width

    def _newline(self) -> None:
        if self._y + 1 < self.rows:
            self._y += 1
        else:
            self._cells = [*self._cells[1:], [BLANK] * self.columns]

    def _control(self, code: int) -> None:
        if code == 0x0A:
            self._newline()
        elif code == 0x0D:
            self._x = 0
        elif code == 0x07:
            self.bells += 1
        else:
            self.forbidden.append(bytes([code]))

    def _sequence(self, data: bytes, at: int, match: re.Match[bytes] | None) -> int:
        if match is None:
            self.forbidden.append(data[at : at + 20])
            return at + 1
        known = self._csi(match) if match.re is _CSI else self._osc(int(match[1]), match[2])
        if not known:
            self.forbidden.append(match[0])
        return match.end()

    def _csi(self, match: re.Match[bytes]) -> bool:
        private, given, between, final = (part.decode() for part in match.groups())
        numbers = [int(one) if one else 0 for one in given.replace(":", ";").split(";")]
        match private + between + final:
            case "m":
                self._style = "" if numbers == [0] else given
            case "H":
                row, column = (*numbers, 1, 1)[:2] if given else (1, 1)
                self._y = min(max(row, 1), self.rows) - 1
                self._x = min(max(column, 1), self.columns) - 1
            case "J" if numbers[0] in (0, 2):
                self._blank()
            case "?h" | "?l":
                known = [self._mode(number, final == "h") for number in numbers]
                return all(known)
            case "h" | "l":
                return numbers == [8]  # whether the terminal itself puts right-to-left text in order
            case ">u" | "<u":
                pass  # the kitty keyboard, which this terminal has not
            case "t":
                return numbers in ([22, 2], [23, 2])  # the title is kept, and given back
            case "?$p":
                answer = 2 if numbers == [2026] else 0
                self.replies.append(f"\x1b[?{numbers[0]};{answer}$y".encode())
            case _:
                return False
        return True

    def _mode(self, number: int, on: bool) -> bool:
        name = MODES.get(number)
        if name is None:
            return False
        if name == "alternate" and on != (name in self.modes):
            if on:
                self._kept = self._cells
                self._blank()
            else:
                self._cells = self._kept
        (self.modes.add if on else self.modes.discard)(name)
        return True

    def _link(self, text: str) -> bool:
        """A link begins, or ends. It may lead to the web only."""
        _, _, address = text.partition(";")
        if address and not re.fullmatch(r"https?://[!-~]+", address):
            return False
        if self._leads:
            shown = self.links.setdefault(self._leads, "")
            self.links[self._leads] = shown + self._linked
        self._leads, self._linked = address, ""
        return True

    def _osc(self, number: int, value: bytes) -> bool:
        text = value.decode(errors="replace")
        if _NEVER.search(text):
            return False
        if number in (0, 2):
            self.titles.append(text)
        elif number in (9, 777):
            self.notices.append(text)
        elif number == 8:
            return self._link(text)
        elif number == 52 and text.startswith("c;"):
            self.clipboard = base64.b64decode(text[2:]).decode()
        else:
            return number == 22  # the pointer's shape
        return True

    def _blank(self) -> None:
        self._cells = [[BLANK] * self.columns for _ in range(self.rows)]
