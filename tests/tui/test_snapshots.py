"""Every screen as it was looked at and found good, in two themes and two sizes: one of the two in each `make check`.

A difference is a change to look at, not a fault: `P2PCHAT_SNAPSHOTS=write` writes the pictures anew, and the review
sees what became of them. The pictures depend on the version of Textual, which is pinned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from tests.support.sampling import sampled
from tests.tui.conftest import run
from tests.tui.picture import PICTURE, drawn
from tests.tui.pictures import page, take
from tests.tui.scenes import SCENES, on_stage, settled

FOLDER = Path(__file__).parent / "snapshots"
WRITES = os.environ.get("P2PCHAT_SNAPSHOTS") == "write"
SIZES = ((80, 24), (120, 40))
THEMES = ["dark", "light"]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everybody's clock shows the same, nothing of this terminal counts, and no cursor blinks: it may take a while."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)
    monkeypatch.setattr(TextArea, "_toggle_cursor_blink_visible", lambda _: None)
    for name in ("NO_COLOR", "TEXTUAL_THEME", "COLORTERM", "TERM", "TERM_PROGRAM", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, size) for name in SCENES for size in (SIZES if WRITES else sampled(SIZES, 1, name))],
    ids=lambda given: given if isinstance(given, str) else "{}x{}".format(*given),
)
def test_every_screen_looks_as_it_did(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    async def main() -> str:
        scene, pictures = SCENES[name], {}
        for themes in [THEMES] if scene.recoloured else [[theme] for theme in THEMES]:
            async with on_stage(scene, tmp_path / themes[0], *size, themes[0]) as (app, pilot):
                for theme in themes:
                    app.theme = theme
                    await settled(app, pilot, scene.shows)
                    pictures[theme] = take(app)
        return page(pictures)

    made = run(main())
    kept = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
    if WRITES:
        FOLDER.mkdir(exist_ok=True)
        kept.write_text(made, encoding="utf-8")
    assert made == kept.read_text(encoding="utf-8"), f"{kept.name}: look, then P2PCHAT_SNAPSHOTS=write"


def test_no_picture_is_of_a_screen_that_is_gone() -> None:
    wanted = {f"{name}-{columns}x{rows}.txt" for name in SCENES for columns, rows in SIZES}
    assert {path.name for path in FOLDER.iterdir()} == wanted


def test_the_picture_in_the_readme_is_of_this_program(tmp_path: Path) -> None:
    made = run(drawn(tmp_path / "profile"))
    assert made == PICTURE.read_text(encoding="utf-8"), "look, then python -m tests.tui.picture"
