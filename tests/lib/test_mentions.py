"""Mentions of members in a text."""

from __future__ import annotations

import pytest

from p2pchat.lib.mentions import MAX_SIGNS, calls_all, is_mentioned, mentions


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@anna look", ["@anna"]),
        ("hello @Anna!", ["@Anna"]),
        ("(@anna, @Bob the builder)", ["@anna", "@Bob the builder"]),
        ("@bob @bob", ["@bob", "@bob"]),
        ("@annabel @anna_b mail@anna.example", []),
        ("@ anna", []),
        ("سلام @سارا!", ["@سارا"]),
    ],
)
def test_a_name_is_a_whole_word_behind_its_sign(text: str, found: list[str]) -> None:
    names = ["anna", "bob", "Bob the builder", "سارا", ""]
    assert [text[each.start : each.end] for each in mentions(text, names)] == found


def test_of_two_names_the_longer_is_meant() -> None:
    assert [each.name for each in mentions("@anna lindqvist and @anna", ["anna", "anna lindqvist"])] == [
        "anna lindqvist",
        "anna",
    ]


def test_digits_say_which_of_two_is_meant() -> None:
    assert mentions("@anna ·1f3c, hello", ["anna"])[0][1:] == (11, "anna", "1f3c")
    assert is_mentioned("@anna ·1f3c", "anna", "1f3c55")
    assert not is_mentioned("@anna ·1f3c", "anna", "1f3d55")
    assert is_mentioned("@anna", "anna", "1f3d55")
    assert not is_mentioned("anna", "anna", "1f3d55")


def test_only_so_many_signs_are_looked_behind() -> None:
    assert mentions("@a@a " * 20_000, [f"a{number}" for number in range(400)]) == []
    assert len(mentions("@a1 " * 1_000, ["a1"])) == MAX_SIGNS


def test_a_text_calls_all_by_the_word_alone() -> None:
    assert [text for text in ("@all", "hey @ALL!", "all", "@allan", "mail@all") if calls_all(text)] == [
        "@all",
        "hey @ALL!",
    ]
