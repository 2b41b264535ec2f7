"""Cleaning text from other people.

The text of a message is kept byte for byte. Names, and everything else that is shown inside a line of ours, are cleaned
once, when they are received. Zero-width joiners stay: Persian and emoji need them.
"""

from __future__ import annotations

import unicodedata

MAX_NAME = 64
MAX_QUOTE = 120
MAX_TEXT_BYTES = 48_000
_DROPPED = frozenset(["Cc", "Cs", "Co", "Cn", "Zl", "Zp"])
# Format characters are removed (bidi controls, soft hyphens, tags, zero-width spaces), except the two joiners and signs
# of Arabic, Syriac and Kaithi that have that category but are visible
_FORMAT = frozenset(
    map(chr, [0x200C, 0x200D, *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD])
)
# Invisible letters and marks: Hangul fillers, the grapheme joiner, the Khmer inherent vowels, the empty Braille
# pattern
_BLANK = frozenset(map(chr, [0x115F, 0x1160, 0x3164, 0xFFA0, 0x34F, 0x17B4, 0x17B5, 0x2800]))
_MAX_MARKS = 4


def beginning(text: str) -> str:
    """Return the beginning of a text, for a quote: at most 120 characters, and so 480 bytes of UTF-8."""
    return text[:MAX_QUOTE]


def clean_name(name: str, limit: int | None = MAX_NAME) -> str:
    """Return a name that cannot break out of its line: NFC, no controls, no bidi, no stacked marks, at most 64
    characters, or of any length if `limit` is None.

    It is empty if nothing visible is left.
    """
    parts: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", "".join(filter(_shown, name))):
        category = unicodedata.category(char)
        if category in ("Mn", "Me"):
            marks += 1
        elif category != "Cf":  # a joiner has no width, so marks after it still go on the same letter
            marks = 0
        if marks <= _MAX_MARKS:
            parts.append(char)
    visible = " ".join("".join(parts).split())[:limit].strip()
    return visible if any(unicodedata.category(char)[0] not in "ZCM" for char in visible) else ""


def _shown(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cf":
        return char in _FORMAT
    return category not in _DROPPED and char not in _BLANK
