"""A file in words: its size, what it is, how far it has come. Whatever the screen says about a file is made here.

Everything is bounded: a peer chooses the name and the numbers.
"""

from __future__ import annotations

from pathlib import PurePath

from rich.cells import cell_len, split_graphemes

from p2pchat.api import file_words
from p2pchat.api.file_words import length, size
from p2pchat.tui.model import File
from p2pchat.tui.text import cut, displayable_line

__all__ = ["called", "length", "percent", "shortened", "size", "stands", "summary", "time_left"]

FILE, PICTURE, VOICE = "file", "picture", "voice"
OFFERED, WAITING, MOVING, HERE, PAUSED, FAILED, GONE = (
    "offered",
    "waiting",
    "moving",
    "here",
    "paused",
    "failed",
    "gone",
)
UNDER_WAY = (WAITING, MOVING)

_MAX_NAME = 300
"""Characters of a name that are looked at."""
_MAX_SUFFIX = 12


def time_left(file: File) -> str:
    """Return the time until a running transfer ends, as `12 s left`; "" if nobody can know."""
    if not file.rate or file.rate <= 0:
        return ""
    return file_words.time_left(file.size * (1 - file.progress) / file.rate)


def shortened(name: str, cells: int) -> str:
    """Return a name on one line in at most so many cells. A long one is shortened in the middle: its ending stays."""
    name = displayable_line(name[:_MAX_NAME]) or "file"
    if cell_len(name) <= cells:
        return name
    suffix = PurePath(name).suffix
    suffix = suffix if 1 < len(suffix) <= _MAX_SUFFIX else ""
    stem = name[: len(name) - len(suffix)]
    room = cells - cell_len(suffix) - 1
    if room < 4:
        return cut(name, cells)
    last = _end(stem, room // 3)
    return f"{cut(stem, cells - cell_len(suffix) - cell_len(last))}{last}{suffix}"


def _end(text: str, cells: int) -> str:
    """Return the end of a text in at most so many cells."""
    used, begin = 0, len(text)
    for start, _, wide in reversed(split_graphemes(text)[0]):
        if used + wide > cells:
            break
        used, begin = used + wide, start
    return text[begin:]


def called(file: File, cells: int = 60) -> str:
    """Return what a file is, for a list, a quote or a notification: Photo, Voice note 0:12, File report.pdf."""
    if file.form == PICTURE:
        return "Photo"
    if file.form == VOICE:
        return f"Voice note {length(file.duration)}"
    return f"File {shortened(file.name, max(8, cells - 5))}"


def summary(file: File, caption: str) -> str:
    """Return what a file is, as `called` does, with the beginning of its caption."""
    words = displayable_line(" ".join(caption[:200].split()))
    return f"{called(file)}: {words}" if words else called(file)


def stands(file: File, mine: bool) -> str:
    """Return how a transfer stands, in a few words; "" while it moves, or once it is whole. A problem has a sentence of
    its own.
    """
    if file.state == OFFERED:
        return "not fetched"
    if file.state == WAITING:
        return _at_relays(file) if mine else "waits to be fetched"
    if file.state == PAUSED:
        return f"paused at {percent(file)}" if file.progress else "paused"
    if file.state == FAILED:
        return "failed"
    if file.state == GONE:
        return "withdrawn" if mine else "no longer available"
    return ""


def _at_relays(file: File) -> str:
    """How much of one's own file is at the recipient's relays, or the group's: whether this computer has to stay on."""
    whose = "the group's" if file.group else "their"
    if not file.stored:
        return "waits here: keep this computer on"
    return f"at {whose} relays" if file.stored >= 1 else f"{int(file.stored * 100)} % at {whose} relays"


def percent(file: File) -> str:
    """Return how much of a file is there: 42 %."""
    return f"{int(file.progress * 100)} %"
