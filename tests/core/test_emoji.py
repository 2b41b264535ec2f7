"""What passes as a reaction: one emoji, and nothing that a terminal or a reader could take for anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.emoji import MAX_EMOJI_BYTES, is_emoji
from p2pchat.sanitize import clean_line

TAGS = {letter: chr(0xE0000 + ord(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"}
END_OF_TAGS = "\U000e007f"


def tagged(word: str) -> str:
    return "🏴" + "".join(TAGS[letter] for letter in word) + END_OF_TAGS


EMOJI = [
    *("👍", "❤", "❤️", "😀", "☺️", "©️", "🫨", "🫪", "🤷🏽", "🏻", "1️⃣", "#⃣", "🇩🇪", "🏳️‍🌈", "🏴‍☠️", "🧑🏽‍💻"),
    *("👨‍👩‍👧‍👦", "👩🏻‍❤️‍💋‍👩🏽", "🧔🏿‍♂️", tagged("gbeng"), tagged("gbsct"), tagged("gbwls")),
]
OTHERS = [
    *(
        "",
        " ",
        "a",
        "yes",
        "1",
        "#",
        "★",
        "界",
        "👍👍",
        "👍 ",
        " 👍",
        "👍\n",
        "👍a",
        "🇩",
        "🇩🇪🇩🇪",
        "\ufe0f",
        "\u200d",
        "\u20e3",
    ),
    *(
        "👍\ufe0f\ufe0f",
        "👍\u0301",
        "👍\u202e",
        "\u202e👍",
        "👍\u200d",
        "\u200d👍",
        "👍\u200d\u200d👍",
        "♥\u20e3",
        "❤️\ufe0e",
    ),
    *(
        "👍\x1b[31m",
        "\x1b]0;x\x07👍",
        "👩‍👩‍👩‍👩‍👩",
        "👍🏽🏽",
        "🏴" + END_OF_TAGS,
        tagged("secret"),
        tagged("gbeng") + "👍",
    ),
    *("👍" * 1000, "👩‍" * 1000, "\ud83d", "e\u0301"),
]


@pytest.mark.parametrize("emoji", EMOJI)
def test_an_emoji_is_one(emoji: str) -> None:
    assert is_emoji(emoji)
    assert len(emoji.encode()) <= MAX_EMOJI_BYTES


@pytest.mark.parametrize("text", OTHERS)
def test_anything_else_is_none(text: str) -> None:
    assert not is_emoji(text)


@given(st.text(max_size=12))
def test_what_passes_needs_no_cleaning_but_for_the_letters_of_a_flag(text: str) -> None:
    if is_emoji(text):
        assert clean_line(text) == text or text in EMOJI
