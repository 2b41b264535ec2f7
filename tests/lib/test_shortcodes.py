"""Emoji by their names."""

from __future__ import annotations

import pytest

from p2pchat.core.emoji import is_emoji
from p2pchat.lib.shortcodes import begun_in, emoji_named, names_beginning


def test_an_emoji_has_the_names_that_people_know() -> None:
    assert [emoji_named(name) for name in (":tada:", "thumbsup", "+1", ":nothing:", "👍", "")] == [
        *("🎉", "👍", "👍"),
        *("", "", ""),
    ]
    assert names_beginning("tad") == [("tada", "🎉")]
    found = names_beginning("heart")
    assert found[0] == ("heart", "❤")
    assert [len(name) for name, _ in found] == sorted(len(name) for name, _ in found)
    # Nearly all are reactions too; the rest, such as the letters of flags, is text like any other.
    assert sum(is_emoji(emoji) for _, emoji in found) == len(found)


@pytest.mark.parametrize(
    ("text", "begun"),
    [
        (":ta", "ta"),
        ("well :ta", "ta"),
        ("one\n:+1", "+1"),
        ("at 10:30", ""),
        ("std::on", ""),
        (":d", ""),
        (":ta ", ""),
        ("hi :ta\n", ""),
        (":" + "a" * 41, ""),
        ("https://x", ""),
    ],
)
def test_only_a_word_of_its_own_begins_a_name(text: str, begun: str) -> None:
    assert begun_in(text) == begun
