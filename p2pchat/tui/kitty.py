"""Pictures in full on terminals that know kitty's graphics protocol, by Unicode placeholders: the picture is handed
over once, and cells of text stand for its parts, so that what draws the text draws the picture.

Only the picture screen uses it, and only where the terminal has answered a question. It is asked where its environment
says that it may know the protocol, because others could print the question.

Source: https://sw.kovidgoyal.net/kitty/graphics-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import math
import threading
import zlib
from collections.abc import Callable, Mapping

from p2pchat.tui.half_blocks import Rgb

CELL_WIDTH, CELL_HEIGHT = 8, 16
"""Pixels of a cell, roughly: more are not asked for, and a small picture is not enlarged beyond them."""

ANSWER_SECONDS = 0.4
"""How long the terminal has to answer. It is asked once."""

_PICTURE = 0x70326
"""The number of the picture in the terminal; there is one at a time. The colour of a placeholder names it."""
COLOUR = (_PICTURE >> 16 & 255, _PICTURE >> 8 & 255, _PICTURE & 255)

_QUESTION_NUMBER = 31
QUESTION = f"\x1b_Gi={_QUESTION_NUMBER},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
REMOVE = f"\x1b_Ga=d,d=I,i={_PICTURE},q=2\x1b\\"

_BEGIN, _END = "\x1b_G", "\x1b\\"
_MAX_REPLY = 200
_MAX_CHUNK = 4096

_PLACEHOLDER = chr(0x10EEEE)
_CODES = """
305 30d 30e 310 312 33d 33e 33f 346 34a 34b 34c 350 351 352 357 35b 363 364 365 366 367 368 369 36a 36b 36c 36d 36e 36f
483 484 485 486 487 592 593 594 595 597 598 599 59c 59d 59e 59f 5a0 5a1 5a8 5a9 5ab 5ac 5af 5c4 610 611 612 613 614 615
616 617 657 658 659 65a 65b 65d 65e 6d6 6d7 6d8 6d9 6da 6db 6dc 6df 6e0 6e1 6e2 6e4 6e7 6e8 6eb
"""
_MARKS = [chr(int(code, 16)) for code in _CODES.split()]
"""The mark that says the row or the column, by its number."""

MAX_ROWS = len(_MARKS)


def may_know(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal may know the protocol with placeholders: kitty and Ghostty, with nothing between."""
    if environment.get("TMUX") or environment.get("STY"):
        return False
    terminal, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "").lower()
    return terminal in ("xterm-kitty", "xterm-ghostty") or program in ("kitty", "ghostty")


class Replies:
    """Takes the terminal's answer out of what is typed."""

    def __init__(self) -> None:
        self._asked = False
        self._held = ""
        self._knows = False
        self._answered = threading.Event()

    def ask(self, write: Callable[[str], object]) -> bool:
        """Return whether the terminal knows the protocol; `write` writes to it. Waits for the answer, so call it in a
        thread; it is asked, and waited for, only once.
        """
        if not self._asked:
            self._asked = True
            write(QUESTION)
            self._answered.wait(ANSWER_SECONDS)
        return self._knows

    def sift(self, typed: str) -> str:
        """Return what was typed without the answer, which may come in parts, and late."""
        if not self._asked or self._answered.is_set():
            return typed
        typed, self._held = self._held + typed, ""
        begin = typed.find(_BEGIN)
        if begin < 0:
            return typed
        end = typed.find(_END, begin)
        if end < 0 and len(typed) - begin > _MAX_REPLY:
            self._answered.set()  # it is no answer
            return typed
        if end < 0:
            self._held = typed[begin:]
            return typed[:begin]
        self._knows = typed[begin + len(_BEGIN) : end] == f"i={_QUESTION_NUMBER};OK"
        self._answered.set()
        return typed[:begin] + typed[end + len(_END) :]


class Graphics:
    """The pictures of a terminal that may know the protocol; `write` writes to it."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self.replies = Replies()

    async def known(self) -> bool:
        """Return whether the terminal knows the protocol, as it says itself."""
        return await asyncio.to_thread(self.replies.ask, self._write)

    def show(self, picture: Rgb, columns: int, rows: int) -> None:
        """Hand a picture over, in place of the one before; `placeholders` show it in so many cells."""
        self._write(sequences(picture, columns, rows))

    def remove(self) -> None:
        """Have the terminal forget the picture."""
        self._write(REMOVE)


def room(columns: int, rows: int, max_pixels: int) -> tuple[int, int]:
    """Return the pixels, (columns, rows), that are to be asked for to fill so many cells, `max_pixels` at most."""
    width, height = columns * CELL_WIDTH, min(rows, MAX_ROWS) * CELL_HEIGHT
    scale = min(1.0, math.sqrt(max_pixels / (width * height)))
    return max(1, int(width * scale)), max(1, int(height * scale))


def size_in_cells(picture: Rgb, columns: int, rows: int, width: int) -> tuple[int, int]:
    """Return the cells, (columns, rows), that a picture takes within these. width: of the original, in pixels."""
    scale = min(columns / picture.width, 2 * min(rows, MAX_ROWS) / picture.height)
    scale = min(scale, max(1.0, width / CELL_WIDTH) / picture.width)
    fits = max(1, round(picture.height * scale / 2))
    return max(1, min(columns, round(picture.width * scale))), min(rows, MAX_ROWS, fits)


def sequences(picture: Rgb, columns: int, rows: int) -> str:
    """Return the sequences that hand a picture over and have placeholders show it, in so many cells. The terminal
    answers nothing.
    """
    data = base64.b64encode(zlib.compress(picture.data, 1)).decode()
    chunks = [data[at : at + _MAX_CHUNK] for at in range(0, len(data), _MAX_CHUNK)]
    made = [REMOVE]
    for number, chunk in enumerate(chunks):
        more = int(number < len(chunks) - 1)
        keys = f"a=t,f=24,o=z,t=d,i={_PICTURE},s={picture.width},v={picture.height},q=2," if number == 0 else ""
        made.append(f"{_BEGIN}{keys}m={more};{chunk}{_END}")
    made.append(f"{_BEGIN}a=p,U=1,i={_PICTURE},c={columns},r={rows},q=2{_END}")
    return "".join(made)


def placeholders(row: int, columns: int) -> str:
    """Return the cells of a row of the picture; the row is said at each, the column at the first."""
    return _PLACEHOLDER + _MARKS[row] + _MARKS[0] + (_PLACEHOLDER + _MARKS[row]) * (columns - 1)
