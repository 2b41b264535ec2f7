"""How a message looks, in rows of pieces."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.tui.model import Message
from p2pchat.tui.text import PLAIN_MARKS, width
from p2pchat.tui.widgets.conversation import ROLES
from p2pchat.tui.widgets.rendering import Block, Look, lay_out, pattern
from p2pchat.tui.widgets.spans import Row
from tests.tui.conversing import NOW, START, message
from tests.tui.test_text import HOSTILE, letters

WIDE = Look(80, "bob", "c1", NOW.date())
NARROW = replace(WIDE, cells=40)
ROOMY = replace(WIDE, compact=False)


def plain(row: Row) -> str:
    return "".join(piece.text for piece in row)


def shown(block: Block) -> list[str]:
    return [plain(row).rstrip() for row in block.rows]


def body(block: Block) -> list[str]:
    return shown(block)[block.lead :]


def roles(block: Block, role: str) -> list[str]:
    return [piece.text for row in block.rows for piece in row if piece.role == role]


def after(one: Message, **more: object) -> Message:
    """A message of the same sender a minute after another."""
    changes: dict[str, Any] = {"id": one.id[:-1] + "f", "at": one.at + timedelta(minutes=1), **more}
    return one._replace(**changes)


def test_the_first_of_a_day_has_the_date_above() -> None:
    block = lay_out(message(0), None, WIDE)
    assert shown(block)[0].strip(" ─") == "Friday 20 November"
    assert body(block) == [" bob  09:00  message 0"]
    assert lay_out(message(1), message(0), WIDE).lead == 0
    assert shown(lay_out(message(144), message(0), WIDE))[1].strip(" ─") == "Yesterday"


def test_soon_after_another_it_has_no_name() -> None:
    first = message(0)
    assert body(lay_out(after(first), first, WIDE)) == ["      09:01  message 0"]
    same_minute = after(first, at=first.at)
    assert body(lay_out(same_minute, first, WIDE)) == ["             message 0"]
    assert body(lay_out(after(first, sender="me"), first, WIDE))[0].startswith(" you")
    assert body(lay_out(message(1), message(0), WIDE))[0].startswith(" bob  09:10"), "ten minutes are another group"


def test_a_narrow_screen_has_the_name_above() -> None:
    block = lay_out(message(0, "x" * 40), None, NARROW)
    assert shown(block)[-3:] == [" bob  09:00", "  " + "x" * 34, "  " + "x" * 6]
    assert lay_out(after(message(0)), message(0), NARROW).lead == 0


def test_a_group_has_a_head_with_its_state_and_a_bar_down_its_side() -> None:
    first = message(0, "yes, at eight, behind the station, where we met the last time and the time before", mine=True)
    block = lay_out(first, None, ROOMY)
    assert shown(block) == [
        " " + "─" * 29 + " Friday 20 November " + "─" * 29,
        "",
        " ▎ you  09:00" + " " * 64 + "✓✓",
        " ▎ yes, at eight, behind the station, where we met the last time and the time",
        " ▎ before",
    ]
    assert block.lead == 3
    assert [width(row) for row in shown(block)[:3:2]] == [79, 79], "date and state end in the same column"
    again = lay_out(after(first, text="bring a coat"), first, ROOMY)
    assert shown(again) == [" ▎ bring a coat" + " " * 56 + "09:01 ✓✓"]
    other = lay_out(message(1, "ok", state="read", mine=True), first, ROOMY)
    assert shown(other)[0] == ""
    assert shown(other)[1].endswith(" read ✓✓")
    assert shown(lay_out(message(1), message(0), replace(ROOMY, gap=False)))[0] == " ▎ bob  09:10"


def test_a_wide_window_has_one_column_of_text() -> None:
    block = lay_out(message(1, "word " * 60, mine=True), message(0), replace(ROOMY, cells=200), unread=2)
    assert {width(row) for row in shown(block) if "─" in row or "✓✓" in row} == {103}
    assert max(width(row) for row in shown(block)) == 103


def test_marks_become_looks_and_links_lead_where_they_say() -> None:
    text = 'see **this**: https://b\u0443d.example/a?b=c, `make`\n> was it\n```sh\nrm "$1"\n```\ndone'
    block = lay_out(message(0, text), None, replace(ROOMY, cells=60))
    assert roles(block, "strong") == ["this"]
    assert roles(block, "code")[0] == "make"
    assert body(block)[1:] == [" ▎ ┃ was it", " ▎ ▏sh", ' ▎ ▏rm "$1"', " ▎ done"]
    [link] = [piece for row in block.rows for piece in row if piece.link]
    assert link.text == link.link == "https://xn--bd-umc.example/a?b=c"
    narrow = lay_out(message(0, text), None, replace(ROOMY, cells=24))
    pieces = [piece for row in narrow.rows for piece in row if piece.link]
    assert len(pieces) > 1
    assert {piece.link for piece in pieces} == {link.link}, "over a line break too"
    assert "".join(piece.text for piece in pieces) == link.link


def test_code_has_a_ground_of_its_own_to_the_edge_of_the_column() -> None:
    block = lay_out(message(0, "```\nall:\n\techo\n```"), None, ROOMY)
    rows = ["".join(piece.text for piece in row if "code" in piece.role) for row in block.rows[block.lead :]]
    assert rows == ["▏all:".ljust(76), "▏    echo".ljust(76)]


def test_words_that_are_searched_for_are_marked_in_links_and_code() -> None:
    look = replace(ROOMY, search="lamp make")
    block = lay_out(message(0, "at https://lamp.example/lamp or `make it`"), None, look)
    assert roles(block, "match") == ["lamp", "lamp", "make"]
    linked = [piece.text for row in block.rows for piece in row if piece.link]
    assert "".join(linked) == "https://lamp.example/lamp"


@pytest.mark.parametrize("look", [WIDE, NARROW])
def test_what_came_after_ours_and_stands_before_says_so(look: Look) -> None:
    block = lay_out(message(0)._replace(late=True), None, look)
    assert roles(block, "late") == ["arrived late"]
    assert body(block)[-1].endswith(" arrived late")
    assert roles(lay_out(message(0), None, look), "late") == []


@pytest.mark.parametrize(
    ("state", "mark", "role"),
    [("saved", "◷", "mark"), ("stored", "✓", "mark"), ("delivered", "✓✓", "mark"), ("read", "✓✓", "read")],
)
def test_own_messages_have_their_state_at_the_right(state: str, mark: str, role: str) -> None:
    block = lay_out(message(0, mine=True, state=state), None, WIDE)
    assert body(block)[0].endswith(" " + mark)
    assert width(body(block)[0]) == 79
    assert roles(block, role) == [mark.rjust(2)]
    ascii_only = lay_out(message(0, mine=True, state=state), None, replace(WIDE, marks=PLAIN_MARKS))
    assert body(ascii_only)[0].isascii()


def test_a_failure_is_said_in_words() -> None:
    assert body(lay_out(message(0, mine=True, state="failed"), None, WIDE))[0].endswith("not sent  ✗")


def test_others_have_no_state() -> None:
    assert body(lay_out(message(0), None, WIDE)) == [" bob  09:00  message 0"]


def test_the_way_is_told_where_it_was_not_straight() -> None:
    assert body(lay_out(message(0, route="mailbox"), None, WIDE))[0].endswith("by mailbox")
    assert body(lay_out(message(0, mine=True, route="circuit"), None, WIDE))[0].endswith("through a relay ✓✓")
    assert body(lay_out(message(0, route="pigeon" * 9), None, WIDE))[0].endswith("pigeonpigeonpig…")
    assert "by mailbox" not in body(lay_out(message(0, route="mailbox"), None, replace(WIDE, channel=True)))[0]


def test_the_way_has_a_row_of_its_own_where_there_is_no_room() -> None:
    block = lay_out(message(0, "x" * 62, route="circuit"), None, WIDE)
    assert body(block)[-1].strip() == "through a relay"
    assert len(block.starts) == len(block.rows) - block.lead


def test_the_unread_line() -> None:
    block = lay_out(message(1), message(0), WIDE, unread=3)
    assert " 3 new " in shown(block)[0]
    assert width(shown(block)[0]) == 79
    assert " 3 new " not in shown(lay_out(message(2), message(1), WIDE))[0]
    near = after(message(0))
    assert body(lay_out(near, message(0), WIDE, unread=0))[0].startswith(" bob"), "a group ends"


def test_a_text_of_endless_lines_is_cut_and_says_so() -> None:
    block = lay_out(message(0, "a\n" * 24_000), None, WIDE)
    assert len(block.rows) < 1010
    assert "y copies all of it" in body(block)[-1]


def test_what_cannot_be_shown_says_so() -> None:
    block = lay_out(message(0, "?", kind="unknown"), None, WIDE)
    assert "cannot show" in body(block)[0]


def test_search_words_are_marked_over_the_end_of_a_line_too() -> None:
    look = replace(NARROW, search="LONG ещё")
    assert roles(lay_out(message(0, "a long, long story"), None, look), "match") == ["long", "long"]
    assert roles(lay_out(message(0, "еще раз"), None, look), "match") == ["еще"]
    assert roles(lay_out(message(0, "x" * 32 + "long"), None, look), "match") == ["lo", "ng"]


def test_search_words_are_marked_in_right_to_left_text() -> None:
    block = lay_out(message(0, "این کتاب خوب است"), None, replace(WIDE, search="کتاب"))
    (marked,) = roles(block, "match")
    assert marked == "\ufe8f\ufe8e\ufe98\ufb90"


def test_search_words_are_no_syntax() -> None:
    found = pattern("a.c (")
    assert found is not None
    assert found.findall("abc a.c (") == ["a.c", "("]
    assert pattern("  ") is None


def test_right_to_left_text_is_at_the_right_in_drawing_order() -> None:
    block = lay_out(message(0, "שלום bob"), None, WIDE)
    assert body(block)[0].endswith("bob םולש")
    assert width(body(block)[0]) == 76


def test_a_terminal_that_orders_text_itself_gets_it_as_it_is() -> None:
    for rtl in ("terminal", "off"):
        assert body(lay_out(message(0, "שלום bob"), None, replace(WIDE, rtl=rtl)))[0].endswith("  שלום bob")


def test_each_paragraph_has_its_own_direction() -> None:
    rows = body(lay_out(message(0, "hello\nשלום"), None, WIDE))
    assert rows[0].endswith("  hello")
    assert width(rows[1]) == 76


def test_names_that_are_long_or_hostile_stay_in_their_column() -> None:
    look = replace(WIDE, label="\x1b[2JAlexandra Constantinopolitana")
    row = body(lay_out(message(0), None, look))[0]
    assert "\x1b" not in row
    assert "…  09:00  message 0" in row


def holds(block: Block, cells: int) -> None:
    """What is true of every block, whatever it shows."""
    for row in block.rows:
        assert sum(width(piece.text) for piece in row) <= cells
        assert width(plain(row)) <= cells
        for piece in row:
            assert piece.role in ROLES
            assert all(ord(char) >= 0x20 and not 0x7F <= ord(char) < 0xA0 for char in piece.text)
            assert not set(piece.text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert len(block.rows) - block.lead == len(block.starts)
    assert list(block.starts) == sorted(set(block.starts))
    for number in range(len(block.rows)):
        assert block.row(block.place(number)) == number


@given(
    letters,
    letters,
    st.integers(1, 130),
    st.booleans(),
    st.sampled_from(["auto", "terminal"]),
    st.booleans(),
    st.booleans(),
)
def test_no_row_is_wider_than_the_screen_or_has_a_control_character(
    text: str, name: str, cells: int, mine: bool, joined: bool, compact: bool, rtl: str
) -> None:
    look = Look(cells, name, "c1", NOW.date(), "a سلام", rtl, joined, compact=compact)
    holds(lay_out(message(0, text, mine=mine, route=name, at=START), None, look, unread=2), cells)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("joined", [False, True])
def test_hostile_text_stays_on_its_rows(text: str, joined: bool) -> None:
    for cells in (20, 100):
        look = Look(cells, text[:2000], "c1", NOW.date(), joined=joined, search="w ب", compact=not joined)
        holds(lay_out(message(0, text, route=text[:2000]), None, look), cells)


def test_what_runs_from_right_to_left_has_its_time_and_state_at_its_left_end() -> None:
    first = message(0, "سلام", mine=True)
    rows = shown(lay_out(after(first, text="قرار امشب سر جایش است"), first, ROOMY))
    assert [row[:13] for row in rows] == [" ▎ 09:01 ✓✓  "]


def test_a_name_above_a_group_is_not_cut_while_there_is_room() -> None:
    look = replace(ROOMY, cells=64, label="Anna Maria Lindqvist-Andersson")
    assert "Anna Maria Lindqvist-Andersson  09:00" in shown(lay_out(message(0), None, look))[2]
