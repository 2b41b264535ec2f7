"""Pictures as half blocks: each cell shows two pixels, one above the other, as the colours of its sign and its ground.

It works in every terminal with enough colours, scrolls like text, and leaves nothing behind.
"""

from __future__ import annotations

import base64
import binascii
from itertools import groupby
from typing import Any, NamedTuple

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

CELL = "▀"
COLUMNS, ROWS = 40, 12
"""The most cells of a picture in the conversation."""

_RGB = 3
_BOTH = 2 * _RGB


class Rgb(NamedTuple):
    """A picture: three bytes for each pixel, row by row."""

    width: int
    height: int
    data: bytes


def checked(width: int, height: int, data: bytes) -> Rgb | None:
    """Return a picture whose bytes are as many as its size says; None for another."""
    fits = width > 0 and height > 0 and len(data) == width * height * _RGB
    return Rgb(width, height, data) if fits else None


def decoded(answer: Any, columns: int, rows: int) -> Rgb | None:
    """Return the picture in the node's answer; None if it is larger than what was asked for, or not whole."""
    try:
        width, height = int(answer["width"]), int(answer["height"])
        if not 0 < width <= columns or not 0 < height <= rows:
            return None
        return checked(width, height, base64.b64decode(answer["rgb"], validate=True))
    except (binascii.Error, KeyError, TypeError, ValueError):
        return None


def fit(width: int, height: int, columns: int, rows: int) -> tuple[int, int]:
    """Return how many cells a picture takes, (columns, rows), within these; it is not enlarged. A size of 0 or less is
    taken for a square.
    """
    width, height = max(1, width), max(1, height)
    scale = min(1.0, columns / width, 2 * rows / height)
    return max(1, round(width * scale)), max(1, min(rows, -(-round(height * scale) // 2)))


def rows(picture: Rgb) -> list[bytes]:
    """Return the colours of each row of cells: six bytes a cell. The last pixels of an odd height fill their cells."""
    made = []
    for y in range(0, picture.height, 2):
        upper = _line(picture, y)
        lower = _line(picture, y + 1) if y + 1 < picture.height else upper
        both = bytearray(_BOTH * picture.width)
        for channel in range(_RGB):
            both[channel::_BOTH] = upper[channel::_RGB]
            both[channel + _RGB :: _BOTH] = lower[channel::_RGB]
        made.append(bytes(both))
    return made


def _line(picture: Rgb, y: int) -> bytes:
    return picture.data[y * picture.width * _RGB : (y + 1) * picture.width * _RGB]


def segments(colours: bytes) -> list[Segment]:
    """Return a row of cells in its colours; neighbours of one colour are one segment."""
    cells = [colours[at : at + _BOTH] for at in range(0, len(colours) - _BOTH + 1, _BOTH)]
    made = []
    for cell, run in groupby(cells):
        style = Style(color=Color.from_rgb(*cell[:_RGB]), bgcolor=Color.from_rgb(*cell[_RGB:]))
        made.append(Segment(CELL * len(list(run)), style))
    return made
