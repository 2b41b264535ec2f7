"""A file in words."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from p2pchat.sanitize import clean_line
from p2pchat.tui import file_words
from p2pchat.tui.model import File
from tests.tui.hostile import TEXTS


def test_the_time_left_is_told_where_it_can_be_known() -> None:
    file = File("a", 10_000_000, state="moving", progress=0.5, rate=100_000)
    assert file_words.time_left(file) == "50 s left"
    assert file_words.time_left(file._replace(rate=1_000)) == "83 min left"
    assert file_words.time_left(file._replace(rate=100)) == "14 h left"
    assert [file_words.time_left(file._replace(rate=rate)) for rate in (None, 0, 1)] == ["", "", ""]


def test_a_long_name_keeps_its_ending() -> None:
    assert file_words.shortened("report.pdf", 20) == "report.pdf"
    short = file_words.shortened("invoice" + " " * 200 + ".exe", 20)
    assert short.endswith(".exe")
    assert cell_len(short) <= 20
    assert file_words.shortened("", 20) == "file"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("cells", [4, 12, 40])
def test_no_name_is_wider_than_its_room_or_says_anything_to_a_terminal(text: str, cells: int) -> None:
    shown = file_words.shortened(f"{text}.pdf", cells)
    assert cell_len(shown) <= cells
    assert clean_line(shown) == shown


def test_what_it_is_in_a_list_or_a_notification() -> None:
    assert file_words.called(File("a.jpg", 1, form="picture")) == "Photo"
    assert file_words.called(File("a.ogg", 1, form="voice", duration=12_000)) == "Voice note 0:12"
    assert file_words.called(File("report.pdf", 1)) == "File report.pdf"
    assert file_words.summary(File("a.jpg", 1, form="picture"), "the  bridge\nin snow") == "Photo: the bridge in snow"


def test_every_state_has_words_or_needs_none() -> None:
    file = File("a", 1, progress=0.5)
    told = {
        state: [file_words.stands(file._replace(state=state), mine) for mine in (True, False)]
        for state in ("offered", "waiting", "moving", "here", "paused", "failed", "gone", "of another version")
    }
    assert told["paused"] == ["paused at 50 %"] * 2
    assert told["gone"] == ["withdrawn", "no longer available"]
    assert told["here"] == told["moving"] == told["of another version"] == ["", ""]
