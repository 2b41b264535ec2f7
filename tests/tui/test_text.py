"""Widths, lines, dates: pure functions."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from p2pchat.tui import text

HOSTILE = [
    "\x1b[2J\x1b]52;c;aGk=\x07",
    "\x9b31m\x9d0;title\x9c",
    "\u202egpj.exe\u2066\u2069",
    "Z" + "\u0336\u0334" * 500,
    "w" * 48_000,
    "👍" * 12_000,
    "a\u200db" * 5_000,
    "ب\u200dب" * 5_000,
    "👍" + "🏽" * 3_000,
    "👨\u200d" * 3_000,
    "❤\ufe0f" * 3_000,
    "\u200b" * 16_000,
    "\u1160" * 16_000,
    "한" * 16_000,
    " " * 48_000,
    "\n" * 48_000,
    "\t" * 12_000,
    "[bold]x[/bold] [@click=app.quit]y[/]",
    "\U000e0041\U000e0042",
    "\r\nover\rwritten",
]
"""Text that others have broken a screen with."""

letters = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("ab \n\t 你好。👍🏽👨\u200d\ufe0f\u200c\u202eسلام‌ها שלום\u0301\u0336é한🇩🇪\x1b\x9b("),
    ),
    max_size=120,
)


@given(letters, st.booleans())
@example("\u2028", False)
def test_nothing_a_terminal_obeys_is_displayable(raw: str, joined: bool) -> None:
    shown = text.displayable(raw, joined=joined)
    for char in shown:
        code = ord(char)
        assert char == "\n" or code >= 0x20
        assert not 0x7F <= code < 0xA0
        assert not 0x202A <= code <= 0x202E
        assert not 0x2066 <= code <= 0x2069
        assert not 0xE0000 <= code <= 0xE007F
        assert char not in "\u2028\u2029"


@given(letters)
def test_without_joined_emoji_every_character_is_as_wide_as_rich_counts_it_alone(raw: str) -> None:
    # Then no terminal can draw more than was counted, whatever it joins or does not.
    for line in text.displayable(raw).split("\n"):
        assert cell_len(line) == sum(cell_len(char) for char in line)


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("joined", [False, True])
def test_hostile_text_takes_the_cells_that_are_counted(raw: str, joined: bool) -> None:
    shown = text.displayable(raw, joined=joined)
    for line in text.wrap(shown, 40):
        assert text.width(line.shown) <= 40
        assert len(line.shown) <= 40 * 9, "nothing hides behind a cell"


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_the_longest_text_wraps_in_linear_time(raw: str) -> None:
    def took(text_: str) -> float:
        began = time.thread_time()
        text.wrap(text.displayable(text_), 58)
        return time.thread_time() - began

    assert took(raw) < 10.0  # 30 ms here; quadratic it would be minutes


def test_joiners_stay_where_they_are_seen() -> None:
    family = "👨\u200d👩\u200d👧"
    assert text.displayable(family, joined=True) == family
    assert text.displayable(family) == "👨👩👧"
    assert text.displayable("👍🏽 ❤\ufe0f", joined=True) == "👍🏽 ❤\ufe0f"
    assert text.displayable("👍🏽 ❤\ufe0f") == "👍 ❤"
    assert text.displayable("می\u200cخواهم") == "می\u200cخواهم"
    assert text.displayable("ه\u200d.ش") == f"ه{text.JOINER}.ش"
    assert text.displayable("a\u200db", joined=True) == "ab"
    assert text.displayable("👨" + "\u200d👨" * 9, joined=True).count("\u200d") == 3


def test_marks_stacked_on_a_letter_are_few() -> None:
    assert len(text.displayable("Z" + "\u0336\u0334\u0301" * 99)) == 5


def test_tabs_are_spaces_and_line_separators_are_lines() -> None:
    assert text.displayable("a\tb\r\n\tc\u2028d") == "a   b\n    c\nd"
    assert text.displayable_line("a\nb") == "a b"


@pytest.mark.parametrize(
    ("environ", "joins"),
    [
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, True),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, False),
        ({"TERM": "xterm-256color"}, False),
        ({}, False),
    ],
)
def test_only_terminals_known_for_it_join_emoji(environ: dict[str, str], joins: bool) -> None:
    assert text.joins_emoji(environ) is joins


@pytest.mark.parametrize(
    ("environ", "draws"),
    [
        ({}, True),
        ({"LANG": "de_DE.UTF-8", "TERM": "xterm"}, True),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, False),
    ],
)
def test_signs_are_for_a_locale_and_a_terminal_that_have_them(environ: dict[str, str], draws: bool) -> None:
    assert text.draws_unicode(environ) is draws


# ---------------------------------------------------------------- wrapping


@given(letters, st.integers(2, 60), st.booleans())
@example("aaa     ", 3, False)
@example("你" * 5, 3, False)
def test_no_line_is_wider_than_the_width_and_nothing_is_lost(raw: str, cells: int, joined: bool) -> None:
    shown = text.displayable(raw, joined=joined)
    lines = text.wrap(shown, cells)
    at = 0
    for line in lines:
        assert text.width(line.shown) <= cells
        assert shown[at : line.start] in ("", "\n")
        assert line.shown == shown[line.start : line.end].rstrip(" ") or line.shown == shown[line.start : line.end]
        assert "\n" not in line.shown
        at = line.end
    assert at == len(shown)
    assert lines[0].start == 0


def lines(shown: str, cells: int) -> list[str]:
    return [line.shown for line in text.wrap(shown, cells)]


def test_lines_break_at_spaces() -> None:
    assert lines("are we still on for tonight", 12) == ["are we still", "on for", "tonight"]
    assert lines("one  two", 4) == ["one", "two"]
    assert lines("", 10) == [""]
    assert lines("a\n\nb", 10) == ["a", "", "b"]


def test_indentation_stays() -> None:
    assert lines("if x:\n    return long_name", 12) == ["if x:", "    return", "long_name"]
    assert lines("        word", 6) == ["", "word"]


def test_long_words_are_cut() -> None:
    assert lines("see abcdefghij", 5) == ["see", "abcde", "fghij"]
    assert lines("Донаудампфшифф", 5) == ["Донау", "дампф", "шифф"]


def test_chinese_breaks_anywhere_but_not_before_a_full_stop() -> None:
    assert lines("你好世界。", 8) == ["你好世", "界。"]
    assert lines("hi 你好", 6) == ["hi 你", "好"]


def test_wide_characters_do_not_stand_out() -> None:
    assert lines("👍👍👍", 5) == ["👍👍", "👍"]


@given(letters, st.integers(0, 30))
def test_a_cut_text_fits(raw: str, cells: int) -> None:
    shown = text.displayable_line(raw)
    assert text.width(text.cut(shown, cells)) <= cells
    if text.width(shown) <= cells:
        assert text.cut(shown, cells) == shown


def test_a_cut_text_says_so() -> None:
    assert text.cut("Alexandra", 5) == "Alex…"
    assert text.cut("你好世界", 6) == "你好…"


# ---------------------------------------------------------------- direction


@pytest.mark.parametrize(
    ("paragraph", "rtl"),
    [("hello", False), ("سلام", True), ("שלום hello", True), ("hello שלום", False), ("123 سلام", True), ("...", False)],
)
def test_the_first_letter_gives_the_direction(paragraph: str, rtl: bool) -> None:
    assert text.is_rtl(paragraph) is rtl


def test_right_to_left_is_found_anywhere() -> None:
    assert text.has_rtl("see שלום")
    assert not text.has_rtl("Привет, 你好 👍")


# ---------------------------------------------------------------- time

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)


def test_days() -> None:
    today = NOW.date()
    assert text.day(today, today) == "Today"
    assert text.day(date(2026, 11, 21), today) == "Yesterday"
    assert text.day(date(2026, 11, 20), today) == "Friday 20 November"
    assert text.day(date(2026, 11, 23), today) == "Monday 23 November"
    assert text.day(date(2025, 11, 20), today) == "Thursday 20 November 2025"
    assert text.clock(datetime(2026, 1, 1, 7, 5, tzinfo=UTC)) == "07:05"


def test_times_in_a_list_are_short() -> None:
    assert text.brief(NOW, NOW) == "10:30"
    assert text.brief(NOW - timedelta(days=1), NOW) == "Sat"
    assert text.brief(NOW - timedelta(days=7), NOW) == "15 Nov"
    assert text.brief(NOW - timedelta(days=400), NOW) == "Oct 2025"
    assert text.brief(NOW + timedelta(days=1), NOW) == "23 Nov"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-44, "just now"),
        (-50, "1 minute ago"),
        (180, "in 3 minutes"),
        (-7200, "2 hours ago"),
        (-3300, "1 hour ago"),
        (-86400 * 5, "5 days ago"),
        (86400, "in 1 day"),
    ],
)
def test_how_long_ago(seconds: int, words: str) -> None:
    assert text.relative(NOW + timedelta(seconds=seconds), NOW) == words


def test_every_state_has_a_mark_in_both_sets_and_words() -> None:
    assert text.MARKS.keys() == text.PLAIN_MARKS.keys() == text.STATES.keys() - {"received"}
    assert all(mark.isascii() and len(mark) <= 2 for mark in text.PLAIN_MARKS.values())
    assert len(set(text.PLAIN_MARKS.values())) == 5
    assert all(text.width(mark) <= 2 for mark in text.MARKS.values())
