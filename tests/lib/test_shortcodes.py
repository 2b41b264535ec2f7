"""Emoji by their names."""

from __future__ import annotations

import sys

import pytest

from p2pchat.core.emoji import is_emoji
from p2pchat.lib import shortcodes
from p2pchat.lib.shortcodes import begun_in, emoji_named, names_beginning


def test_an_emoji_has_the_names_that_people_know() -> None:
    assert [emoji_named(name) for name in (":tada:", "thumbsup", "+1", ":nothing:", "👍", "")] == [
        *("🎉", "👍", "👍"),
        *("", "", ""),
    ]
    assert names_beginning("tad") == [("tada", "🎉")]
    assert emoji_named(":TADA:") == "🎉"
    assert not any("skin_tone" in name for name, _ in names_beginning("thumbs_up"))
    found = names_beginning("heart")
    assert found[0] == ("heart", "❤")
    assert [len(name) for name, _ in found] == sorted(len(name) for name, _ in found)
    # Nearly all are reactions too; the rest, such as the letters of flags, is text like any other.
    assert sum(is_emoji(emoji) for _, emoji in found) == len(found)


def test_without_the_table_no_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    shortcodes._table.cache_clear()
    monkeypatch.setitem(sys.modules, "rich._emoji_codes", None)
    assert (emoji_named("tada"), names_beginning("tad")) == ("", [])
    shortcodes._table.cache_clear()


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
