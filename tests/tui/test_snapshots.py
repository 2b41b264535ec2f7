"""Every screen as it was looked at and found good: in three sizes, in the biggest of them in a second theme too, and
the main ones in the colours of the terminal and in none.

A difference is a change to look at, not a fault: `P2PCHAT_SNAPSHOTS=write` writes the pictures anew, and the review
sees what became of them. The pictures depend on the version of Textual, which is pinned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.widgets import Input, TextArea

from p2pchat.tui import themes
from p2pchat.tui.commands import BY_NAME
from p2pchat.tui.keys import KEYS, shown
from p2pchat.tui.screens.invite import InviteScreen
from p2pchat.tui.wording import OFFLINE, ONLINE, RELAYED
from tests.tui.conftest import run
from tests.tui.picture import DOCS, PICTURES, drawn
from tests.tui.pictures import page, take
from tests.tui.scenes import SCENES, on_stage, settled

FOLDER = Path(__file__).parent / "snapshots"
SIZES = ((120, 40), (80, 24), (40, 12))
THEMES = ("dark", "light")
OF_THE_TERMINAL = (themes.TERMINAL, themes.MONO)
"""What sixteen colours get, and NO_COLOR."""
PLAIN = ("talk", "selected", "list", "contact-latin", "unlock")
"""Scenes that have, between them, everything that is told apart by its colour elsewhere."""


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cursor blinks: it may take a while."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)
    monkeypatch.setattr(TextArea, "_toggle_cursor_blink_visible", lambda _: None)


def looks(name: str, size: tuple[int, int]) -> tuple[str, ...]:
    """The themes that a scene is looked at in. Another theme changes colours alone, and does so alike in all sizes."""
    if not SCENES[name].recoloured or size != SIZES[0]:
        return THEMES[:1]
    return (*THEMES, *(OF_THE_TERMINAL if name in PLAIN else ()))


@pytest.mark.parametrize("name", SCENES)
def test_every_screen_looks_as_it_did(tmp_path: Path, name: str) -> None:
    scene, made = SCENES[name], dict[str, str]()

    async def look(sizes: Sequence[tuple[int, int]]) -> None:
        async with on_stage(scene, tmp_path / str(sizes[0][0]), *sizes[0]) as (app, pilot):
            for size in sizes:
                if size != sizes[0]:
                    await pilot.resize_terminal(*size)
                pictures = {}
                for theme in looks(name, size):
                    app.theme = theme
                    await settled(app, pilot)
                    pictures[theme] = take(app)
                made["{}-{}x{}.txt".format(name, *size)] = page(pictures)
                if themes.MONO in pictures:
                    assert all(" default on default" in style for style in pictures[themes.MONO].legend)

    for sizes in [SIZES] if scene.resized else [[size] for size in SIZES]:
        run(look(sizes))
    if os.environ.get("P2PCHAT_SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True)
        for file, text in made.items():
            (FOLDER / file).write_text(text, encoding="utf-8")
    other = [file for file, text in made.items() if text != (FOLDER / file).read_text(encoding="utf-8")]
    assert not other, "look at what is different, then P2PCHAT_SNAPSHOTS=write"


def test_no_picture_is_of_a_screen_that_is_gone() -> None:
    wanted = {f"{name}-{columns}x{rows}.txt" for name in SCENES for columns, rows in SIZES}
    assert {path.name for path in FOLDER.iterdir()} == wanted


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_in_the_docs_is_of_this_program(tmp_path: Path, name: str) -> None:
    made = run(drawn(name, tmp_path / "profile"))
    assert made == (DOCS / name).read_text(encoding="utf-8"), "look, then python -m tests.tui.picture"


def test_the_tour_names_keys_and_commands_that_there_are() -> None:
    tour = (DOCS / "guide" / "tour.md").read_text(encoding="utf-8")
    named = re.findall(r"`([^`]+)`", tour)
    keys = {shown(key) for row in KEYS for key in row.keys}
    pressed = {name for name in named if re.fullmatch(r"(Ctrl|Alt|Shift)\+.+|F\d+|Enter|Esc|Tab|[↑↓←→]", name)}
    assert len(pressed) > 10
    assert pressed <= keys
    assert {name.split()[0][1:] for name in named if name.startswith("/")} <= set(BY_NAME)
    letters = {row.keys[0] for row in KEYS} | {key.key for key in InviteScreen.BINDINGS if isinstance(key, Binding)}
    assert {name for name in named if len(name) == 1 and name.isalpha()} <= letters
    assert {name for name in named if len(name) == 1 and name in "●◐○"} == {ONLINE, RELAYED, OFFLINE}
    shown_here = set(re.findall(r"\]\(([^)]+\.svg)\)", tour))
    assert {(DOCS / "guide" / path).resolve() for path in shown_here} | {DOCS / "screen.svg"} == {
        DOCS / name for name in PICTURES
    }
