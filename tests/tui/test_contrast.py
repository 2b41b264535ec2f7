"""Every text can be read and every line be seen: in every theme, with as many colours as a terminal may have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from textual.app import App

from p2pchat.tui import themes
from p2pchat.tui.fewer_colours import PALETTE, colour, fewer, registered
from p2pchat.tui.half_blocks import CELL
from tests.support.sampling import sampled
from tests.tui.conftest import run
from tests.tui.scenes import SCENES, on_stage

TEXT, LINE = 4.5, 1.5
"""The least contrast of text and of lines."""
LINES = set("─━│╭╮╰╯┃▎▁▔▂▃▄▅▆▇█▀ ")
LOOKED_AT = ("talk", *sampled(sorted(SCENES.keys() - {"talk", "qr"}), 5, "pages"))
"""The one with most in it, and some of all the others; a QR code is black on white in every theme."""
OF_COLOURS = [theme for theme in themes.THEMES if not theme.ansi]
CELLS = sampled(list(product(OF_COLOURS, LOOKED_AT)), len(OF_COLOURS) * len(LOOKED_AT) // 6, "contrast")
"""Each theme on two of the six screens."""


def luminance(colour: Color) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.1)."""
    channels = [part / 255 for part in colour.get_truecolor(DEFAULT_TERMINAL_THEME)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(style: Style, system: ColorSystem) -> float:
    """The contrast of a style, 1 to 21, as a terminal with so many colours shows it (WCAG 2.1)."""
    assert style.color is not None
    assert style.bgcolor is not None
    levels = sorted(luminance(colour.downgrade(system)) for colour in (style.color, style.bgcolor))
    return (levels[1] + 0.05) / (levels[0] + 0.05)


def drawn(app: App[Any]) -> Iterator[Segment]:
    """Every piece of the screen that shows something; of a dialogue, what lies behind it is meant to be faint."""
    panels = app.screen.query(".panel")
    region = panels.first().region if panels else app.screen.region
    for strip in app.screen._compositor.render_strips()[region.y : region.bottom]:
        for segment in strip.crop(region.x, region.right):
            if segment.text.strip() and segment.style and set(segment.text) != {CELL}:  # a photo may be as it likes
                yield segment


def faint(app: App[Any], system: ColorSystem) -> set[str]:
    """What cannot be read, or seen."""
    found = set()
    for segment in drawn(app):
        least = LINE if set(segment.text.strip()) <= LINES else TEXT
        assert segment.style is not None
        if (got := contrast(segment.style, system)) < least - 0.05:
            found.add(f"{segment.text.strip()[:30]!r} {segment.style}: {got:.2f}")
    return found


@pytest.mark.parametrize("name", LOOKED_AT)
def test_every_theme_of_colours(tmp_path: Path, name: str) -> None:
    async def main() -> dict[str, set[str]]:
        found = {}
        async with on_stage(SCENES[name], tmp_path / "profile", 110, 30) as (app, pilot):
            for theme in [theme for theme, scene in CELLS if scene == name]:
                app.register_theme(replace(fewer(theme), name=f"{theme.name} in 256"))
                for shown, system in (
                    (theme.name, ColorSystem.TRUECOLOR),
                    (f"{theme.name} in 256", ColorSystem.EIGHT_BIT),
                ):
                    app.theme = shown
                    await pilot.pause()
                    if some := faint(app, system):
                        found[shown] = some
        return found

    assert run(main()) == {}


def test_a_terminal_of_256_colours_gets_the_colours_that_were_chosen() -> None:
    for name, numbers in PALETTE.items():
        assert [Color.parse(colour(number)).downgrade(ColorSystem.EIGHT_BIT).number for number in numbers] == [*numbers]
        theme = next(theme for theme in registered({"TERM": "xterm-256color"}) if theme.name == name)
        assert theme.primary == colour(numbers[6])
    assert set(PALETTE) == {theme.name for theme in OF_COLOURS}
    assert registered({"TERM": "xterm-256color", "COLORTERM": "truecolor"}) == themes.THEMES


@pytest.mark.parametrize("theme", [themes.TERMINAL, themes.MONO])
def test_themes_of_the_terminal_never_put_its_own_colour_on_a_colour(tmp_path: Path, theme: str) -> None:
    async def main() -> None:
        async with on_stage(SCENES["main-latin"], tmp_path / "profile", 110, 30, theme) as (app, _pilot):
            for segment in drawn(app):
                assert segment.style is not None
                assert segment.style.bgcolor is None or segment.style.bgcolor.is_default, segment
                if theme == themes.MONO:
                    assert segment.style.color is None or segment.style.color.is_default, segment

    run(main())


def test_no_color_takes_every_colour_away_and_leaves_what_is_chosen_to_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def main() -> None:
        async with on_stage(SCENES["list"], tmp_path / "profile", 110, 30, themes.MONO) as (app, _pilot):
            styles = []
            for line in range(app.main.chat_list.size.height):
                for segment in app.main.chat_list.render_lines(app.main.chat_list.region.reset_offset)[line]:
                    styles.append(segment.style)
            assert any(style and style.reverse for style in styles), "the cursor"
            filters = app.get_line_filters()
            shown = [Segment("x", Style.parse("#000000 on #000000"))]
            for each in filters:
                shown = each.apply(shown, app.screen.background_colors[0])
            assert shown[0].style is not None
            assert shown[0].style.color is not None
            assert shown[0].style.color.is_default, "black on black"

    run(main())


def test_who_has_sixteen_colours_gets_the_terminals_own() -> None:
    assert themes.chosen("", {"TERM": "linux"}) == themes.TERMINAL
    assert themes.chosen("nord", {"TERM": "xterm"}) == themes.TERMINAL
    assert themes.chosen("nord", {"TERM": "xterm", "COLORTERM": "truecolor"}) == "nord"
    assert themes.chosen(themes.MONO, {"TERM": "linux"}) == themes.MONO
    assert themes.chosen("nord", {"TERM": "vt220"}) == themes.TERMINAL
    assert themes.chosen("", {"TERM": "xterm-256color"}) == themes.DARK
    assert themes.chosen("nord", {"TERM": "foot"}) == "nord"
