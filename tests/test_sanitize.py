"""Attacks 29 and 31: what terminals obey never reaches one."""

from __future__ import annotations

import json

import pytest

from p2pchat.sanitize import clean, clean_line, escape_json

HOSTILE = [
    *(chr(code) for code in range(0x20) if code not in (0x09, 0x0A)),
    "\x7f",
    *(chr(code) for code in range(0x80, 0xA0)),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *(chr(code) for code in (0xE0000, 0xE0001, 0xE0041, 0xE007F)),
]


@pytest.mark.parametrize("char", HOSTILE, ids=lambda char: f"U+{ord(char):04X}")
def test_control_characters_do_not_pass(char: str) -> None:
    assert char not in clean(f"a{char}b{char}")
    assert char not in clean_line(f"a{char}b")


@pytest.mark.parametrize(
    "sequence",
    ["\x1b[2J", "\x1b]0;title\x07", "\x1b]52;c;aGk=\x07", "\x9b31m", "\x90q\x9c", "\x1b_apc\x1b\\", "x\ry", "x\by"],
)
def test_terminal_commands_lose_their_beginning(sequence: str) -> None:
    made = clean(sequence)
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in made)


@pytest.mark.parametrize(
    "text",
    ["hello\nworld", "Привет, ёж!", "سلام می‌خواهم", "你好世界", "👩‍👩‍👧‍👦 ❤️ 🇮🇷", "עברית \u200fabc", "é à Ñ ế"],
)
def test_what_people_write_stays(text: str) -> None:
    assert clean(text) == text


def test_a_name_has_one_line() -> None:
    assert clean_line("bob\n✓✓ fake\u2028x\u2029y") == "bob ✓✓ fake x y"


def test_every_kind_of_new_line_is_one() -> None:
    assert clean("a\u2028b\u2029c\nd") == "a\nb\nc\nd"


def test_a_tab_is_a_space_and_crlf_a_newline() -> None:
    assert clean("a\tb\r\nc") == "a\tb\nc"
    assert clean_line("a\tb\r\nc") == "a b c"


def test_marks_do_not_pile_up() -> None:
    assert clean("a" + "\u0301" * 50 + "b") == "a" + "\u0301" * 4 + "b"


def test_half_characters_are_replaced() -> None:
    clean("a\ud800b").encode()


@pytest.mark.parametrize("char", [*HOSTILE, "\u2028", "é", "\u200c"])
def test_json_stays_exact_and_harmless(char: str) -> None:
    text = f"x{char}y"
    made = escape_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(made) == {"text": text}
    assert (char in made) == (char in "é\u200c")
