"""The rows of a file in the conversation."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from p2pchat.tui import half_blocks
from p2pchat.tui.half_blocks import Rgb
from p2pchat.tui.model import ME, File, Message
from p2pchat.tui.rtl import visual_line
from p2pchat.tui.widgets.file_rows import FileLook, Media, Playing, Unshown, file_rows, wants_picture
from p2pchat.tui.widgets.rendering import Look, lay_out
from tests.tui.conversing import NOW
from tests.tui.hostile import TEXTS

LOOK = FileLook(72, False, "", 12, visual_line)
PEAKS = tuple(range(0, 256, 4))
PHOTO = File("bridge.jpg", 1_240_000, form="picture", width=1600, height=1200, preview=True)
VOICE = File("note.ogg", 36_000, form="voice", duration=12_000, peaks=PEAKS)


def message(file: File, *, mine: bool = False, text: str = "") -> Message:
    return Message("1" * 32, "c", ME if mine else "bob", text, "file", NOW, "received", "direct", file=file)


def shown(file: File, look: FileLook = LOOK, media: Media | None = None, *, mine: bool = False) -> list[str]:
    rows = file_rows(message(file, mine=mine), look, media)
    for row in rows:
        assert sum(cell_len(piece.text) for piece in row) <= look.cells
    return ["".join(piece.text for piece in row).rstrip() for row in rows]


def test_a_file_is_one_line_in_each_state() -> None:
    file = File("report.pdf", 34_500_000)
    told = {"here": "", "offered": "  not fetched  fetch", "waiting": "  waits to be fetched"}
    told |= {"paused": "  paused  resume", "failed": "  failed  fetch", "gone": "  no longer available"}
    for state, words in told.items():
        assert shown(file._replace(state=state)) == [f"▤ report.pdf  34 MB{words}"]


def test_a_running_transfer_has_a_bar_a_percentage_a_speed_and_the_time_left() -> None:
    file = File("report.pdf", 34_500_000, state="moving", progress=0.5, rate=1_200_000)
    assert shown(file) == ["▤ report.pdf  34 MB  ━━━━━━━━────────  50 %  1.2 MB/s   14 s left"]
    narrow = shown(file, LOOK._replace(cells=40))
    assert narrow == ["▤ report.pdf  34 MB  ━━━━────  50 %"]
    assert shown(file, LOOK._replace(cells=32)) == ["▤ report.pdf  ━━━━────  50 %"]
    assert shown(file, LOOK._replace(plain=True))[0].startswith("= report.pdf  34 MB  ########--------  50 %")
    assert shown(file._replace(rate=None)) == ["▤ report.pdf  34 MB  ━━━━━━━━────────  50 %"]


def test_the_name_does_not_move_while_the_speed_changes() -> None:
    file = File("n" * 80 + ".pdf", 1 << 33, state="moving", progress=0.1, rate=1.0)
    begins = {shown(file._replace(rate=rate))[0].index("━") for rate in (1.0, 999_000.0, 12_300_000.0, 2e9)}
    assert len(begins) == 1


def test_a_problem_is_told_below() -> None:
    file = File("report.pdf", 1, state="paused", problem="The disk is full. " * 30)
    rows = shown(file)
    assert len(rows) == 4
    assert rows[1].startswith("  The disk is full.")


def test_a_picture_has_its_room_before_it_is_there() -> None:
    picture = Rgb(32, 24, bytes(32 * 24 * 3))
    assert len(shown(PHOTO)) == len(shown(PHOTO, media=picture)) == 13
    assert shown(PHOTO, media=picture)[1] == half_blocks.CELL * 32


def test_a_picture_that_is_not_shown_says_why() -> None:
    assert shown(PHOTO, media=Unshown("not shown: so"))[1:] == ["  not shown: so"]
    without = LOOK._replace(pictures="not shown in 16 colours")
    assert shown(PHOTO, without)[1:] == ["  not shown in 16 colours"]
    assert wants_picture(message(PHOTO), without) is None
    assert shown(PHOTO._replace(state="gone")) == ["▣ bridge.jpg  1.2 MB  no longer available"]


def test_a_picture_is_wanted_where_there_is_something_to_show() -> None:
    assert wants_picture(message(PHOTO), LOOK) == (40, 24)
    assert wants_picture(message(PHOTO), LOOK._replace(cells=30, rows=4)) == (30, 8)
    assert wants_picture(message(PHOTO._replace(preview=False, state="waiting")), LOOK) is None
    assert wants_picture(message(File("a.pdf", 1)), LOOK) is None
    assert wants_picture(message(PHOTO)._replace(deleted=True), LOOK) is None


def test_a_voice_note_is_a_wave_that_shows_where_it_is() -> None:
    assert shown(VOICE) == [f"► 0:12  {_wave()}"]
    half = file_rows(message(VOICE), LOOK, Playing(6_000, 1.5))[0]
    assert "".join(piece.text for piece in half).startswith("‖ 0:06 / 0:12  ▁")
    waves = {piece.role: len(piece.text) for piece in half if piece.role in ("wave", "rest")}
    assert abs(waves["wave"] - waves["rest"]) <= 1
    assert half[-1].text == "1.5x"
    assert shown(VOICE, media=Playing(6_000, 1.0, paused=True))[0].startswith("► 0:06 / 0:12")
    assert shown(VOICE._replace(state="offered"))[0] == "♪ voice note 0:12  36 kB  not fetched  fetch"
    assert set(shown(VOICE, LOOK._replace(plain=True))[0]) <= set("> 0123456789:_.-=+*#")
    assert shown(VOICE._replace(peaks=(), duration=0), media=Playing(5_000)) == ["‖ 0:00 / 0:00  1x"]


def _wave() -> str:
    return "".join("▁▂▃▄▅▆▇█"[peak * 7 // 252] for peak in PEAKS)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("form", ["file", "picture", "voice", "of another version"])
def test_nothing_in_a_file_leaves_its_row_or_says_anything_to_a_terminal(text: str, form: str) -> None:
    file = File(f"{text}.pdf", 1 << 60, text, form, "failed", problem=text, duration=1 << 32, peaks=(255,) * 64)
    said: dict[str, Any] = {"rtl": "auto", "compact": False}
    for state in ("here", "moving", "failed", "offered", "paused"):
        moving = file._replace(state=state, progress=0.3, rate=1e30)
        for cells in (12, 20, 60, 100):
            look = Look(cells, "bob", "c", NOW.date(), **said)
            block = lay_out(message(moving, text=text), None, look, None, Unshown(text))
            for row in block.rows:
                assert sum(cell_len(piece.text) for piece in row) <= cells
                for piece in row:
                    assert "\x1b" not in piece.text
                    assert "\n" not in piece.text


def test_a_caption_stands_below_and_every_row_has_a_place() -> None:
    look = Look(60, "bob", "c", NOW.date(), compact=False)
    block = lay_out(message(PHOTO, text="the bridge\nin snow"), None, look)
    assert "".join(piece.text for piece in block.rows[-1]).endswith("in snow")
    assert len(block.starts) == len(block.rows) - block.lead
    assert list(block.starts) == sorted(set(block.starts)), "each has a place of its own"
