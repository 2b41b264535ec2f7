"""Pictures by kitty's graphics protocol."""

from __future__ import annotations

import base64
import random
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from p2pchat.tui import kitty
from p2pchat.tui.app import ChatApp
from p2pchat.tui.half_blocks import Rgb
from p2pchat.tui.screens.picture import PictureScreen
from tests.tui.conftest import until
from tests.tui.fake_files import photo
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take
from tests.tui.test_files import asks, with_bob

ANSWER = "\x1b_Gi=31;OK\x1b\\"


def asked(*typed: str) -> tuple[bool, str]:
    """What a terminal is taken for that sends this, and what of it was typed."""
    replies, written = kitty.Replies(), list[str]()

    def write(text: str) -> None:
        written.append(text)
        left.extend(replies.sift(part) for part in typed)

    left: list[str] = []
    knows = replies.ask(write)
    assert written == [kitty.QUESTION]
    assert replies.ask(write) is knows
    assert written == [kitty.QUESTION], "it is asked once"
    return knows, "".join(left)


def test_an_answer_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kitty, "ANSWER_SECONDS", 0)
    assert asked(ANSWER) == (True, "")
    assert asked("he", f"ll{ANSWER}o") == (True, "hello")
    assert asked("a\x1b_Gi=3", "1;O", "K\x1b\\b") == (True, "ab"), "it may come in parts"
    assert asked("\x1b_Gi=31;ENOTSUPPORTED\x1b\\") == (False, "")
    assert asked("hello") == (False, "hello")
    assert asked("\x1b_G" + "x" * 300) == (False, "\x1b_G" + "x" * 300), "no answer is so long"


def test_nothing_is_taken_away_before_it_was_asked() -> None:
    assert kitty.Replies().sift(ANSWER) == ANSWER


def test_only_terminals_that_may_know_it_are_asked() -> None:
    for environment in (
        {"TERM": "xterm-kitty"},
        {"TERM": "xterm-ghostty"},
        {"TERM": "xterm", "TERM_PROGRAM": "ghostty"},
    ):
        assert kitty.may_know(environment)
        assert not kitty.may_know({**environment, "TMUX": "/tmp/tmux"})
    for name in ("linux", "xterm-256color", "screen", "vt100", "", "foot"):
        assert not kitty.may_know({"TERM": name})


def test_a_picture_is_handed_over_in_parts_and_placed() -> None:
    data = random.Random(1).randbytes(160 * 64 * 3)
    said = kitty.sequences(Rgb(160, 64, data), 20, 4)
    parts = re.findall(r"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\", said)
    assert "".join(f"\x1b_G{keys}{';' * bool(body)}{body}\x1b\\" for keys, body in parts) == said
    assert "a=d" in parts[0][0]
    assert re.search(r"s=160,v=64,q=2,m=1$", parts[1][0])
    assert all(len(body) <= 4096 for _, body in parts)
    assert [keys for keys, _ in parts[2:-2]] == ["m=1"] * (len(parts) - 4)
    assert parts[-2][0] == "m=0"
    assert "U=1" in parts[-1][0]
    assert "c=20,r=4" in parts[-1][0]
    assert zlib.decompress(base64.b64decode("".join(body for _, body in parts[1:-1]))) == data


def test_a_row_of_placeholders_has_a_cell_for_each_column() -> None:
    for row in (0, 1, kitty.MAX_ROWS - 1):
        assert cell_len(kitty.placeholders(row, 20)) == 20
    assert kitty.placeholders(0, 2) == "\U0010eeee\u0305\u0305\U0010eeee\u0305"
    assert kitty.placeholders(1, 1) == "\U0010eeee\u030d\u0305"


def test_a_picture_fills_the_window_as_far_as_the_node_answers() -> None:
    assert kitty.room(80, 22, 200_000) == (603, 331)
    assert kitty.room(20, 5, 200_000) == (160, 80)
    assert kitty.room(1, 10_000, 200_000)[1] == kitty.MAX_ROWS * kitty.CELL_HEIGHT
    wide, small = Rgb(600, 300, b""), Rgb(64, 64, b"")
    assert kitty.size_in_cells(wide, 80, 22, 4_000) == (80, 20)
    assert kitty.size_in_cells(wide, 80, 10, 4_000) == (40, 10)
    assert kitty.size_in_cells(small, 80, 22, 64) == (8, 4), "it is not enlarged"
    assert kitty.size_in_cells(Rgb(1, 1, b""), 80, 22, 1) == (1, 1)
    assert kitty.size_in_cells(Rgb(1, 4_000, b""), 80, 22, 1) == (1, 22)


def test_the_picture_screen_hands_the_picture_over_and_has_it_forgotten(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        written: list[str] = []
        graphics = kitty.Graphics(written.append)
        graphics.replies._knows = True
        graphics.replies._answered.set()
        app._actions.files._kitty = graphics
        await pilot.press("ctrl+up", "space")
        await asks(app, pilot, PictureScreen)
        await until(pilot, lambda: "\U0010eeee" in take(app).shown)
        assert written[0] == kitty.QUESTION
        assert "U=1" in written[1]
        asked = node.named("picture")[-1]
        assert asked["columns"] * asked["rows"] <= 200_000
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert written[-1] == kitty.REMOVE

    with_bob(tmp_path, steps, photo())
