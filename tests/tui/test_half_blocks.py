"""Pictures as cells of two colours."""

from __future__ import annotations

import base64

from rich.color import Color

from p2pchat.tui import half_blocks
from p2pchat.tui.half_blocks import Rgb

RED, GREEN, BLUE = b"\xff\0\0", b"\0\xff\0", b"\0\0\xff"


def test_a_cell_has_the_upper_pixel_and_the_lower_one() -> None:
    assert half_blocks.rows(Rgb(2, 2, RED + GREEN + BLUE + RED)) == [RED + BLUE + GREEN + RED]
    assert half_blocks.rows(Rgb(1, 3, RED + GREEN + BLUE)) == [RED + GREEN, BLUE + BLUE], "an odd height"


def test_neighbours_of_one_colour_are_one_segment() -> None:
    first, second = half_blocks.segments((RED + BLUE) * 3 + GREEN + GREEN)
    assert (first.text, second.text) == ("▀▀▀", "▀")
    assert first.style is not None
    assert (first.style.color, first.style.bgcolor) == (Color.from_rgb(255, 0, 0), Color.from_rgb(0, 0, 255))


def test_a_picture_fits_its_room_and_is_not_enlarged() -> None:
    assert half_blocks.fit(1600, 1200, 40, 12) == (32, 12)
    assert half_blocks.fit(1600, 400, 40, 12) == (40, 5)
    assert half_blocks.fit(16, 16, 40, 12) == (16, 8)
    assert half_blocks.fit(1, 65_535, 40, 12) == (1, 12)
    assert half_blocks.fit(65_535, 1, 40, 12) == (40, 1)
    assert half_blocks.fit(0, 0, 40, 12) == (1, 1)


def test_an_answer_that_is_not_the_picture_that_was_asked_for_is_none() -> None:
    answer = {"width": 2, "height": 1, "rgb": base64.b64encode(RED + BLUE).decode()}
    assert half_blocks.decoded(answer, 2, 2) == Rgb(2, 1, RED + BLUE)
    for wrong in (
        {"width": 3},
        {"height": 2},
        {"width": 0},
        {"width": -1, "height": -2},
        {"width": "x"},
        {"rgb": "%"},
        {"rgb": None},
    ):
        assert half_blocks.decoded({**answer, **wrong}, 2, 2) is None, wrong
    assert half_blocks.decoded({}, 2, 2) is None
    assert half_blocks.decoded(None, 2, 2) is None
