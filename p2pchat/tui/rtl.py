"""Lines with right-to-left text in the order in which they are drawn, for terminals that only draw from left to right.

Arabic letters get the forms that join their neighbours, then the line is put into visual order (Unicode's bidirectional
algorithm), one wrapped line at a time. What a terminal draws as one (a letter with its marks, an emoji with its colour)
stays together. The two libraries are imported when right-to-left text first appears: most people never need them.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size, split_graphemes

from p2pchat.tui.text import JOINER, ZWJ, displayable_line, has_rtl, is_rtl, wrap

# Needed for shaping and ordering only: some terminals draw a box for them.
_SPENT = dict.fromkeys(map(ord, f"\u200c\u200e\u200f\u061c{ZWJ}{JOINER}"))
_BRACKETS = {"(": ")", "[": "]", "{": "}", "«": "»"}
_LIGATURES = ("ARABIC LIGATURE ALLAH",)  # wider than the one cell everyone counts


class Glyph(NamedTuple):
    """What is drawn as one, and the index in the logical line it came from."""

    text: str
    origin: int


def visual(line: str, rtl: bool) -> list[Glyph]:
    """A logical line in drawing order. `rtl`: its paragraph runs from right to left."""
    shaped, origins = _shape(line)
    spans = split_graphemes(shaped)[0]
    algorithm = _algorithm()
    storage: dict[str, Any] = algorithm.get_empty_storage()
    storage["base_level"], storage["base_dir"] = (1, "R") if rtl else (0, "L")
    # The algorithm sees one character for each glyph; its other parts (marks, joiners) have no direction of their own.
    algorithm.get_embedding_levels("".join(shaped[start] for start, _, _ in spans), storage)
    for char, span in zip(storage["chars"], spans, strict=True):
        char["span"] = span
        # Python knows no direction of a character newer than itself; by Unicode's defaults it has that of its block.
        char["type"] = char["type"] or ("R" if has_rtl(char["ch"]) else "L")
    algorithm.explicit_embed_and_overrides(storage)
    algorithm.resolve_weak_types(storage)
    _resolve_brackets(storage["chars"], storage["base_dir"])
    algorithm.resolve_neutral_types(storage, False)
    algorithm.resolve_implicit_levels(storage, False)
    algorithm.reorder_resolved_levels(storage, False)
    algorithm.apply_mirroring(storage, False)
    glyphs = []
    for char in storage["chars"]:
        start, end, _ = char["span"]
        text = (char["ch"] + shaped[start + 1 : end]).translate(_SPENT)
        if text:
            glyphs.append(Glyph(text, origins[start]))
    return glyphs


def visual_line(text: str) -> str:
    """A name or another single line as it is drawn; unchanged where nothing runs from right to left."""
    if not has_rtl(text):
        return text
    return "".join(glyph.text for glyph in visual(text, is_rtl(text)))


def drawn(text: str, turned: bool, cells: int = 0) -> str:
    """A peer's name as it is shown: nothing in it obeyed, cut to so many cells where it is longer, and put in order
    here where the terminal does not (`turned`).
    """
    line = displayable_line(text)
    if cells and cell_len(line) > cells:
        line = set_cell_size(line, max(1, cells - 1)) + "…"
    return visual_line(line) if turned else line


def drawn_within(text: str, turned: bool) -> str:
    """A sentence of ours with a peer's name in it: it runs from left to right whatever the name begins with."""
    if not turned or not has_rtl(text):
        return text
    return "".join(glyph.text for glyph in visual(text, False))


def drawn_lines(text: str, turned: bool, cells: int, *, rtl: bool | None = None) -> str:
    """A displayable text of several lines: broken into lines of so many cells before each of these is put in order,
    or they would be read from the last one to the first. rtl: whether it runs from right to left; None: as it begins.
    """
    if not turned or not has_rtl(text):
        return text
    way = is_rtl(text) if rtl is None else rtl
    lines = (line.shown for line in wrap(text, cells))
    return "\n".join("".join(glyph.text for glyph in visual(line, way)) if has_rtl(line) else line for line in lines)


def _shape(line: str) -> tuple[str, list[int]]:
    """The line with joining forms, and for each of its characters the index in the line it came from."""
    line = line.replace(JOINER, ZWJ)
    shaped = _reshaper().reshape(line)
    origins, index = [], 0
    for char in shaped:
        while index < len(line) - 1 and line[index] == ZWJ != char:
            index += 1
        origins.append(min(index, len(line) - 1))
        # lam and alef become one sign; nothing else changes the count
        both = char != line[min(index, len(line) - 1)] and "\ufb50" <= char <= "\ufefc"
        index += len(unicodedata.normalize("NFKC", char)) if both else 1
    return shaped, origins


def _resolve_brackets(chars: list[dict[str, Any]], base: str) -> None:
    """Rule N0, which the package lacks: the two brackets of a pair run the same way, that of what they hold."""
    directions = {"L": "L", "R": "R", "AL": "R", "EN": "R", "AN": "R"}
    opened: list[tuple[int, str]] = []
    pairs = []
    for index, char in enumerate(chars):
        if char["ch"] in _BRACKETS:
            opened.append((index, _BRACKETS[char["ch"]]))
        elif any(char["ch"] == closing for _, closing in opened):
            while True:
                start, closing = opened.pop()
                if closing == char["ch"]:
                    break
            pairs.append((start, index))
    for start, end in sorted(pairs):
        inside = {directions.get(char["type"]) for char in chars[start + 1 : end]} - {None}
        if not inside:
            continue
        before = (directions.get(char["type"]) for char in reversed(chars[:start]))
        way = base if base in inside else next((direction for direction in before if direction), base)
        chars[start]["type"] = chars[end]["type"] = way


@cache
def _reshaper() -> Any:
    from arabic_reshaper import ArabicReshaper

    off = dict.fromkeys(_LIGATURES, False)
    return ArabicReshaper({"delete_harakat": False, "support_zwj": True, **off})


@cache
def _algorithm() -> Any:
    # The package's quick version gives no levels, mirrors no brackets and puts marks before their letters.
    from bidi import algorithm

    return algorithm
