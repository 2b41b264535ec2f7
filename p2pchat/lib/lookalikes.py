"""Names as they are shown: the id tells apart two that a person could confuse.

Whoever sends a contact request chooses their own name, so an "Alice" with a Cyrillic A is one invite away. We do not
try to say which of two is the real one, only that there are two.
"""
# ruff: noqa: RUF001 - letters that look alike are what this file is about

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

_DIGITS = 4
"""Hexadecimal digits of the id that are shown, at least."""

# Letters of other alphabets (after casefolding) by the Latin one they are drawn like, and Latin ones like each other.
_DRAWN_LIKE = {
    "a": "аαɑ",
    "b": "вьβ",
    "c": "сϲ",
    "d": "ԁ",
    "e": "еёεє",
    "h": "нһη",
    "j": "јϳ",
    "k": "кκ",
    "l": "i1|!ıіιӏї",
    "m": "м",
    "n": "пո",
    "o": "0оοσօ",
    "p": "рρ",
    "q": "ԛ",
    "r": "г",
    "s": "ѕ5",
    "t": "тτ",
    "u": "υս",
    "v": "ν",
    "w": "ωԝш",
    "x": "хχ",
    "y": "уγү",
    "z": "ζ3з",
}
_DOTS = "·•‧∙⋅・･ꞏ᛫"
"""What looks like the sign before the digits: a name that has one could pass for a label."""
_FOLD = {ord(like): latin for latin, all_like in _DRAWN_LIKE.items() for like in all_like}


@lru_cache(maxsize=1024)  # a list of names asks twice for each
def skeleton(name: str) -> str:
    """Return a name without anything that the eye may miss: names that look alike give the same result."""
    if name.isascii() and name.isprintable():
        return name.casefold().replace(" ", "").translate(_FOLD).replace("rn", "m")
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    # Marks, invisible characters and spaces (categories M, C, Z) hide well.
    shown = "".join(char for char in folded if unicodedata.category(char)[0] not in "MCZ")
    return shown.translate(_FOLD).replace("rn", "m")


def labels(named: Sequence[tuple[str, str]]) -> list[str]:
    """Return for each name, given with the hexadecimal id of whose it is, what is shown: the name, and ` ·` with digits
    of the id where another looks like it, or where it looks like a label itself.
    """
    alike: defaultdict[str, list[str]] = defaultdict(list)
    skeletons = [skeleton(name) for name, _ in named]
    for (_, ident), name in zip(named, skeletons, strict=True):
        alike[name].append(ident)
    return [_label(*each, alike[name]) for each, name in zip(named, skeletons, strict=True)]


def _label(name: str, ident: str, alike: list[str]) -> str:
    if len(alike) == 1 and name.isascii():  # no dot is
        return name
    if is_label(name, ident) or (len(alike) == 1 and not any(dot in name for dot in _DOTS)):
        return name
    digits = _DIGITS
    # Somebody with patience finds an id with the same first digits.
    while digits < len(ident) and len({each[:digits] for each in alike}) < len(alike):
        digits += _DIGITS
    return f"{name} ·{ident[:digits]}"


def is_label(name: str, ident: str) -> bool:
    """Return whether a name ends in digits of the id of whose it is: the node has labelled it."""
    _, dot, digits = name.rpartition(" ·")
    return bool(dot) and len(digits) >= _DIGITS and ident.startswith(digits)
