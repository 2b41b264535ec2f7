"""Cleaning of text that came from someone else.

The text of a message is kept byte for byte; names, and whatever else is shown inside a line of ours, are cleaned once
where they come in. Zero-width joiners stay: Persian and emoji need them.
"""

from __future__ import annotations

import unicodedata

MOST_NAME = 64
MOST_TEXT_BYTES = 48_000
_INVISIBLE = frozenset(
    [
        *range(0x202A, 0x202F),  # bidi embeddings and overrides
        *range(0x2066, 0x206A),  # bidi isolates
        0x200E,  # bidi marks
        0x200F,
        0x061C,
        0x200B,  # zero-width space, word joiner, byte order mark
        0x2060,
        0xFEFF,
        0x2028,  # line and paragraph separators
        0x2029,
        *range(0xE0000, 0xE0080),  # tag characters
    ]
)
_MOST_MARKS = 4


def clean_name(name: str) -> str:
    """A name that cannot break out of its line: NFC, no controls, no bidi, no stacked marks, at most 64 characters.

    Empty if nothing visible is left.
    """
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", name):
        category = unicodedata.category(char)
        if category in ("Cc", "Cs", "Co", "Cn") or ord(char) in _INVISIBLE:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MOST_MARKS:
            kept.append(char)
    visible = " ".join("".join(kept).split())[:MOST_NAME].strip()
    return visible if any(unicodedata.category(char)[0] not in "ZCM" for char in visible) else ""
