"""Emoji by the names that people type for them: `:tada:`.

The names are those of Rich, which draws the screen anyway. Its table is read the first time that a name is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

MIN_BEGUN = 2
"""Letters from which a name is completed: `:d` is a face, not the beginning of one."""

MAX_NAME = 40

BEGUN = re.compile(rf"(?<!\S):([a-z0-9_+-]{{{MIN_BEGUN},{MAX_NAME}}})\Z")
"""The beginning of a name at the end of a text, as a word of its own: the time `10:30` and `std::on` are none."""

_NAME = re.compile(r"[a-z0-9_+-]+")


def emoji_named(name: str) -> str:
    """Return the emoji of that name, given with or without its colons; "" if there is none."""
    return _table().get(name.strip(":").casefold(), "")


def names_beginning(begun: str) -> list[tuple[str, str]]:
    """Return the names that begin so, each with its emoji: the shortest first, which is the plainest."""
    return sorted(
        ((name, emoji) for name, emoji in _table().items() if name.startswith(begun)),
        key=lambda row: (len(row[0]), row[0]),
    )


def begun_in(text: str) -> str:
    """Return the beginning of a name at the end of a text; "" if there is none."""
    match = BEGUN.search(text[-MAX_NAME - 2 :])
    return match[1] if match else ""


@cache
def _table() -> Mapping[str, str]:
    try:
        from rich._emoji_codes import EMOJI
    except ImportError:  # Rich does not promise this table: without it, no name is completed, and nothing else changes
        return {}
    return {name: emoji for name, emoji in EMOJI.items() if _NAME.fullmatch(name) and "skin_tone" not in name}
