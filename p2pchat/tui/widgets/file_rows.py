"""The rows of a file in the conversation: a line with its name and how far it has come, the picture, the wave.

▤ report.pdf  34 MB  ━━━━━━━━──────── 51 %  1.2 MB/s  14 s left
► 0:12  ▁▂▃▅▇█▇▅▃▂▁▁▂▃▅▆▅▃▂▁
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from p2pchat.tui import file_words, half_blocks
from p2pchat.tui.file_words import FAILED, GONE, HERE, MOVING, OFFERED, PAUSED, PICTURE, VOICE, WAITING
from p2pchat.tui.half_blocks import Rgb
from p2pchat.tui.model import File, Message
from p2pchat.tui.text import cut, displayable_line, width, wrap
from p2pchat.tui.widgets.spans import TextSpan

SIGNS = {file_words.FILE: "▤", PICTURE: "▣", VOICE: "♪"}
PLAIN_SIGNS = {file_words.FILE: "=", PICTURE: "@", VOICE: "%"}
PLAY, PAUSE = "►", "‖"
_PLAIN_PLAY, _PLAIN_PAUSE = ">", '"'
_WAVE, _PLAIN_WAVE = "▁▂▃▄▅▆▇█", "_.-:=+*#"
DONE, REST = "━", "─"
_PLAIN_DONE, _PLAIN_REST = "#", "-"

_VIEW, _TRANSFER = "action:view_file", "action:fetch_file"
_GAP = TextSpan("  ", "gutter")
_NARROW = 56
_MIN_NAME = 12
_BAR, _SHORT_BAR = 16, 8
_RATE, _LEFT = 9, 12
"""Cells that the speed and the time left may need, so that the rest stays where it is while they change."""
_MAX_PROBLEM = 3
_MAX_PROBLEM_CHARS = 300


class Unshown(NamedTuple):
    """A picture that is not shown, and why, in a few words."""

    why: str


class Playing(NamedTuple):
    """A voice note that plays or was paused. position: ms from its beginning."""

    position: int
    speed: float = 1.0
    paused: bool = False


Media = Rgb | Unshown | Playing
"""What is known here of a file beside its message."""


class FileLook(NamedTuple):
    """How files are drawn. cells: the width. plain: in ASCII. pictures: why no picture is drawn; "" if they are. rows:
    the most rows of a picture. drawn: returns a line as it is drawn, right-to-left letters in order.
    """

    cells: int
    plain: bool
    pictures: str
    rows: int
    drawn: Callable[[str], str]


def file_rows(message: Message, look: FileLook, media: Media | None) -> list[list[TextSpan]]:
    """Return the rows of a file message without its caption, each at most `look.cells` wide."""
    file = message.file
    assert file is not None
    if file.form == VOICE:
        rows = [_voice(file, message.mine, look, media if isinstance(media, Playing) else None)]
    else:
        rows = [_line(file, message.mine, look)]
    if file.problem and file.state in (PAUSED, FAILED, GONE, WAITING):
        rows += _problem(file, look)
    if file.form == PICTURE and file.state != GONE:
        rows += _picture(file, look, media)
    return rows


def wants_picture(message: Message, look: FileLook) -> tuple[int, int] | None:
    """Return the pixels, (columns, rows), of the picture that this message would show; None if it shows none."""
    file = message.file
    if message.deleted or file is None or look.pictures or file.form != PICTURE or file.state == GONE:
        return None
    if not file.preview and file.state != HERE:
        return None
    return min(half_blocks.COLUMNS, look.cells), 2 * look.rows


# ---------------------------------------------------------------- one line


def _line(file: File, mine: bool, look: FileLook) -> list[TextSpan]:
    signs = PLAIN_SIGNS if look.plain else SIGNS
    sign = TextSpan(signs.get(file.form, signs[file_words.FILE]) + " ", "sign", _click(file))
    told: list[tuple[TextSpan, ...]] = [(TextSpan(file_words.size(file.size), "time"),)]
    if file.state == MOVING:
        told += _moving(file, look)
    elif words := file_words.stands(file, mine):
        told.append((TextSpan(words, "failed" if file.state == FAILED else "note"),))
        told += _offer(file, mine)
    room = look.cells - 2 - _cells(told)
    while room < _MIN_NAME and len(told) > 1:
        told.pop(-1 if len(told) > 2 else 0)  # how it stands is the last to go
        room = look.cells - 2 - _cells(told)
    name = look.drawn(file_words.shortened(file.name, max(_MIN_NAME, room)))
    return [sign, TextSpan(name, "file", _click(file)), *_apart(told)]


def _moving(file: File, look: FileLook) -> list[tuple[TextSpan, ...]]:
    """Return the bar, how much is there, the speed and the time left, as far as there is room beside a short name."""
    narrow = look.cells < _NARROW
    cells = _SHORT_BAR if narrow else _BAR
    done = int(file.progress * cells)
    bar = (
        TextSpan((_PLAIN_DONE if look.plain else DONE) * done, "progress", _TRANSFER),
        TextSpan((_PLAIN_REST if look.plain else REST) * (cells - done), "rest", _TRANSFER),
        TextSpan(file_words.percent(file).rjust(6), "text"),
    )
    told = [tuple(piece for piece in bar if piece.text)]
    if file.rate is not None and not narrow:
        told.append((TextSpan(f"{file_words.size(file.rate)}/s".ljust(_RATE), "time"),))
        told.append((TextSpan(file_words.time_left(file).ljust(_LEFT), "time"),))
    return told


def _cells(groups: Sequence[Sequence[TextSpan]]) -> int:
    """Return how many cells the groups take, each with the gap before it."""
    return sum(len(_GAP.text) + sum(width(piece.text) for piece in group) for group in groups)


def _apart(groups: Sequence[Sequence[TextSpan]]) -> list[TextSpan]:
    """Return the pieces of the groups, with a gap before each group."""
    return [piece for group in groups for piece in (_GAP, *group)]


def _offer(file: File, mine: bool) -> list[tuple[TextSpan, ...]]:
    """Return what can be clicked to have a transfer begin or go on."""
    if file.state == PAUSED:
        return [(TextSpan("resume", "link", _TRANSFER),)]
    if file.state in (OFFERED, FAILED) and not mine:
        return [(TextSpan("fetch", "link", _TRANSFER),)]
    return []


def _click(file: File) -> str:
    if file.form == PICTURE:
        return _VIEW
    return _VIEW if file.form == VOICE and file.state == HERE else ""


def _problem(file: File, look: FileLook) -> list[list[TextSpan]]:
    text = displayable_line(file.problem[:_MAX_PROBLEM_CHARS])
    role = "failed" if file.state == FAILED else "late"
    lines = wrap(text, max(2, look.cells - 2), _MAX_PROBLEM)
    return [[TextSpan("  ", "gutter"), TextSpan(look.drawn(line.shown), role)] for line in lines]


# ---------------------------------------------------------------- pictures and voice notes


def _picture(file: File, look: FileLook, media: Media | None) -> list[list[TextSpan]]:
    if look.pictures or isinstance(media, Unshown):
        why = look.pictures or (media.why if isinstance(media, Unshown) else "")
        return [[TextSpan("  ", "gutter"), TextSpan(cut(displayable_line(why), look.cells - 2), "note")]] if why else []
    if isinstance(media, Rgb):
        return [
            [TextSpan(half_blocks.CELL * (len(colours) // 6), "picture", _VIEW, colours)]
            for colours in half_blocks.rows(media)[: look.rows]
        ]
    if not file.preview and file.state != HERE:
        return []
    _, rows = half_blocks.fit(file.width, file.height, min(half_blocks.COLUMNS, look.cells), look.rows)
    return [[] for _ in range(rows)]  # it has its room before it is there, so that nothing moves when it comes


def _voice(file: File, mine: bool, look: FileLook, playing: Playing | None) -> list[TextSpan]:
    if file.state != HERE and not mine:
        return _line(file._replace(name=f"voice note {file_words.length(file.duration)}"), mine, look)
    going = playing is not None and not playing.paused
    play, pause = (_PLAIN_PLAY, _PLAIN_PAUSE) if look.plain else (PLAY, PAUSE)
    sign = pause if going else play
    time = file_words.length(file.duration)
    told: list[tuple[TextSpan, ...]] = []
    if playing is not None:
        time = f"{file_words.length(min(playing.position, file.duration))} / {time}"
        told.append((TextSpan(f"{playing.speed:g}x", "time"),))
    if file.state == MOVING:
        told.append((TextSpan(file_words.percent(file), "note"),))
    elif words := file_words.stands(file, mine):
        told.append((TextSpan(words, "failed" if file.state == FAILED else "note"),))
    beginning = [TextSpan(f"{sign} ", "sign", _VIEW), TextSpan(time, "text", _VIEW)]
    used = sum(width(piece.text) for piece in beginning) + len(_GAP.text) + _cells(told)
    shown = wave(file.peaks, min(64, look.cells - used), plain=look.plain)
    done = len(shown)
    if playing is not None and file.duration:
        done = min(len(shown), len(shown) * playing.position // file.duration)
    pieces = [TextSpan(shown[:done], "wave", _VIEW), TextSpan(shown[done:], "rest", _VIEW)]
    if shown:
        told.insert(0, tuple(piece for piece in pieces if piece.text))
    return [*beginning, *_apart(told)]


def wave(peaks: Sequence[int], cells: int, *, plain: bool, highest: int = 0) -> str:
    """Return a wave in so many cells at most; each shows the highest of its peaks. highest: the peak that fills a cell,
    by default the highest there is.
    """
    signs = _PLAIN_WAVE if plain else _WAVE
    if cells < 1 or not peaks:
        return ""
    cells = min(cells, len(peaks))
    highest = highest or max(1, *peaks)
    made = []
    for cell in range(cells):
        part = peaks[cell * len(peaks) // cells : max(cell * len(peaks) // cells + 1, (cell + 1) * len(peaks) // cells)]
        made.append(signs[max(part) * (len(signs) - 1) // highest])
    return "".join(made)
