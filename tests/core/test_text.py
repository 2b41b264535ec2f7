"""Names of other people cannot leave their line or look like nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pchat.core.text import MAX_NAME, clean_name

ZWNJ, ZWJ = "\u200c", "\u200d"
CLEANED = {
    "plain": ("Alice", "Alice"),
    "spaces are drawn together": ("  Ann \u00a0 Lee ", "Ann Lee"),
    "escape sequences": ("\x1b[31mroot\x1b]0;x\x07", "[31mroot]0;x"),
    "8-bit controls": ("a\x9b2Jb\x9dc\x90d", "a2Jbcd"),
    "line breaks": ("a\r\nb\x0bc\u2028d\u2029e\x85f", "abcdef"),
    "NUL, backspace, delete": ("a\0b\bc\x7fd", "abcd"),
    "overrides and isolates": ("\u202eevil\u202c\u2066x\u2069", "evilx"),
    "bidi marks": ("a\u200eb\u200fc\u061cd", "abcd"),
    "zero-width space, joiner, byte order mark": ("a\u200bb\u2060c\ufeffd", "abcd"),
    "soft hyphen": ("Al\u00adice", "Alice"),
    "tags": ("A\U000e0041\U000e007f", "A"),
    "annotations": ("a\ufff9b\ufffac\ufffb", "abc"),
    "invisible operators": ("a\u2061b\u2064c", "abc"),
    "composed": ("e\u0301", "\u00e9"),
    "composed after what was between is gone": ("e\u200b\u0301", "\u00e9"),
    "Persian keeps its joiners": (f"\u0645\u06cc{ZWNJ}\u062e\u0648\u0627\u0647\u0645",) * 2,
    "emoji keep theirs": (f"\U0001f469{ZWJ}\U0001f4bb",) * 2,
    "flags and skin": ("\U0001f1ee\U0001f1f7 \U0001f44b\U0001f3fd",) * 2,
    "Hindi": ("\u0915\u094d\u0937\u092e\u093e",) * 2,
    "Vietnamese": ("Nguy\u1ec5n",) * 2,
    "Arabic signs count as format but are seen": ("\u06dd1",) * 2,
    "stacked marks": ("a" + "\u0323" * 30, "\u1ea1" + "\u0323" * 4),
    "marks stacked through joiners": ("x" + ("\u0323" * 4 + ZWJ) * 10, "x" + "\u0323" * 4 + ZWJ),
    "private use and unassigned": ("a\ue000b\U0010ffffc", "abc"),
    "half a surrogate pair": ("a\ud800b", "ab"),
    "markup is left as it is": ("[@click=app.quit]x[/]",) * 2,
}
EMPTY = ["", " ", "\t\n", ZWJ * 3, "\u3164", "\uffa0\u115f\u1160", "\u2800", "\u0301", "\u00ad", "\u202e", "\u034f"]


@pytest.mark.parametrize("case", CLEANED)
def test_cleaned(case: str) -> None:
    written, clean = CLEANED[case]
    assert clean_name(written) == clean


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_visible_is_no_name(name: str) -> None:
    assert clean_name(name) == ""


def test_length() -> None:
    assert clean_name("x" * 65) == "x" * 64
    assert clean_name("x" * 63 + " y") == "x" * 63


@given(st.text(max_size=200))
@example("e\u200b\u0301")
@example("a" + ("\u0301" * 4 + ZWJ) * 4)
def test_whatever_comes_out_is_clean(name: str) -> None:
    clean = clean_name(name)
    assert clean_name(clean) == clean
    assert len(clean) <= MAX_NAME
    assert clean == clean.strip()
    assert unicodedata.is_normalized("NFC", clean)
    for char in clean:
        assert unicodedata.category(char) not in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
        assert unicodedata.bidirectional(char) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@given(st.text(max_size=200))
def test_no_letter_is_buried_under_marks(name: str) -> None:
    marks = 0
    for char in clean_name(name):
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else marks if category == "Cf" else 0
        assert marks <= 4
