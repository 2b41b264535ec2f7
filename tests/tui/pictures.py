"""The screen as text: what can be read, and how it looks, so that a difference can be read in a review.

A picture has the lines of the screen, then the same lines with one letter for each style, then what the letters mean.
Pictures of the dark and the light theme that differ in colours alone share the first two.
"""

from __future__ import annotations

import io
import string
from dataclasses import dataclass
from functools import cache
from typing import Any

from rich.style import Style
from textual._context import visible_screen_stack
from textual.app import App

from p2pchat.tui import half_blocks

PHOTO = "a picture's own colours"
LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits + "!#$%&*+=?@^~"
_ATTRIBUTES = ("bold", "dim", "italic", "underline", "reverse", "strike")


@dataclass(frozen=True)
class Picture:
    """Lines of text, as many lines of letters, and the style of each letter."""

    text: tuple[str, ...]
    letters: tuple[str, ...]
    legend: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The text in one piece."""
        return "\n".join(self.text)


def take(app: App[Any]) -> Picture:
    """What the app shows now."""
    visible_screen_stack.set(app._background_screens)
    text, letters, legend = [], [], dict[str, str]()
    for strip in app.screen._compositor.render_strips():
        line, marks = io.StringIO(), io.StringIO()
        for segment in strip:
            style = PHOTO if set(segment.text) == {half_blocks.CELL} else described(segment.style)
            letter = legend.setdefault(style, LETTERS[len(legend)] if style not in legend else "")
            line.write(segment.text)
            marks.write(letter * segment.cell_length)
        text.append(line.getvalue().rstrip())
        letters.append(marks.getvalue())
    return Picture(tuple(text), tuple(letters), tuple(f"{letter} {style}" for style, letter in legend.items()))


@cache
def described(style: Style | None) -> str:
    """A style in words: colours, then what else."""
    if style is None:
        return "plain"
    colours = [
        "default" if colour is None or colour.is_default else colour.name for colour in (style.color, style.bgcolor)
    ]
    more = [name for name in _ATTRIBUTES if getattr(style, name)]
    return " ".join(["{} on {}".format(*colours), *more])


def page(pictures: dict[str, Picture]) -> str:
    """Pictures of one screen in several themes as one text."""
    made: list[str] = []
    before: Picture | None = None
    for theme, picture in pictures.items():
        made.append(f"=== {theme}")
        if before is None or before.text != picture.text:
            made += ["--- text", *picture.text]
        if before is None or before.letters != picture.letters:
            made += ["--- styles", *picture.letters]
        made += ["--- legend", *picture.legend]
        before = picture
    return "\n".join(made) + "\n"
