"""Right-to-left lines in drawing order. The pictures in the comments are in the order of the cells, left first."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.tui.rtl import drawn_lines, visual, visual_line
from p2pchat.tui.text import displayable, is_rtl, width


def drawn(line: str) -> str:
    """The line as it is drawn, with plain letters instead of their joining forms, to be read from left to right."""
    return "".join(unicodedata.normalize("NFKC", glyph.text)[::-1] for glyph in visual(line, is_rtl(line)))


def test_hebrew_is_reversed_and_numbers_are_not() -> None:
    assert drawn("שלום 18:30") == "18:30 םולש"


def test_brackets_look_at_what_they_hold() -> None:
    assert drawn("שלום (טוב)") == "(בוט) םולש"
    assert drawn("hello שלום (טוב) bye") == "hello (בוט) םולש bye"
    assert drawn("קוד f(x) כאן") == "ןאכ f(x) דוק"


def test_latin_inside_stays_readable() -> None:
    assert drawn("סלאם bob, שלום") == "םולש ,bob םאלס"


def test_arabic_letters_join() -> None:
    assert visual_line("سلام") == "\ufee1\ufefc\ufeb3"  # meem; lam and alef in one; seen at the beginning of the word
    assert visual_line("می\u200cخواهم") == "\ufee2\ufeeb\ufe8d\ufeee\ufea7\ufbfd\ufee3"  # no joiner is left to draw
    assert visual_line(displayable("ه\u200d.ش")) == "\ufeb5.\ufeeb"  # an initial heh, because of its joiner


def test_marks_stay_after_their_letter() -> None:
    assert visual_line("לָמָה") == "המ\u05b8ל\u05b8"


def test_an_emoji_keeps_its_parts() -> None:
    assert visual_line("שלום 🇩🇪") == "🇩🇪 םולש"


def test_other_text_is_left_alone() -> None:
    assert visual_line("Привет (bob)") == "Привет (bob)"


def test_every_glyph_knows_where_it_came_from() -> None:
    line = "سلام bob"
    found = {glyph.origin: glyph.text for glyph in visual(line, True)}
    assert found[5] == "b"
    assert found[0] == "\ufeb3"
    assert found[3] == "\ufee1", "lam and alef count as two letters of the line"


lines = st.text(st.sampled_from("ab (1)[2]. سلامهیخو\u064e\u200c\u200dשלוםָ👍🇩🇪,:"), min_size=1, max_size=60)


def test_a_text_is_broken_into_lines_before_they_are_put_in_order() -> None:
    assert drawn_lines("אבג דהו זחט", True, 8) == "והד גבא\nטחז"
    assert drawn_lines("says: אבג דהו", True, 10, rtl=False) == "says: גבא\nוהד"
    assert drawn_lines("אבג דהו זחט", False, 8) == "אבג דהו זחט", "the terminal does both"
    assert drawn_lines("abc def ghi", True, 8) == "abc def ghi", "and the widget breaks it"


@given(lines, st.booleans())
def test_drawing_order_loses_no_letter_and_takes_no_more_room(raw: str, rtl: bool) -> None:
    line = displayable(raw)
    glyphs = visual(line, rtl)
    plain = unicodedata.normalize("NFKC", "".join(glyph.text for glyph in glyphs))
    kept = [char for char in unicodedata.normalize("NFKC", line) if char.isalnum()]
    mirrored = sorted(char for char in plain if char.isalnum())
    assert mirrored == sorted(kept)
    assert sum(width(glyph.text) for glyph in glyphs) <= width(line)
    assert all(0 <= glyph.origin < len(line) for glyph in glyphs)


@pytest.mark.parametrize(
    ("char", "shown"), [("\U00010b36", "a ג{}א b"), ("\u05ff", "a ג{}א b"), ("\u0378", "a א{}ג b")]
)
def test_a_character_that_nobody_has_assigned_yet_has_the_direction_of_its_block(char: str, shown: str) -> None:
    assert unicodedata.bidirectional(char) == ""
    assert visual_line(f"a א{char}ג b") == shown.format(char)


def test_the_libraries_come_with_the_first_text_that_needs_them() -> None:
    code = """
import sys
from p2pchat.tui.rtl import visual_line
visual_line("hello")
assert not {"bidi", "arabic_reshaper"} & set(sys.modules)
visual_line("\\u05e9")
assert {"bidi", "arabic_reshaper"} <= set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
