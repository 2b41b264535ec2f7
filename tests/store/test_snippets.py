"""What is shown of a hit, and what in it is marked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.store.search_query import Term, plain
from p2pchat.store.snippets import MAX_LOOKED_AT, MAX_MARKS, marks, snippet
from p2pchat.store.text_folding import fold


def marked(text: str, *words: str, open_end: bool = False) -> list[str]:
    terms = [Term(fold(word), open_end) for word in words]
    return [text[first:last] for first, last in marks(text, terms)]


@pytest.mark.parametrize(
    ("text", "words", "hits"),
    [
        ("Snow and snow, snows", ["snow"], ["Snow", "snow"]),
        ("Good  morning\nall", ["good morning"], ["Good  morning"]),
        ("good good morning", ["good morning", "good"], ["good", "good morning"]),
        ("see https://example.org/a", ["example.org"], ["example.org"]),
        ("Ёлка и ёж", ["еж"], ["ёж"]),
        ("Crème brûlée", ["creme"], ["Crème"]),
        ("an e\u0301clair", ["eclair"], ["e\u0301clair"]),
        ("die Straße da", ["strasse"], ["Straße"]),
        ("من می\u200cخواهم", ["میخواهم"], ["می\u200cخواهم"]),
        ("我在東京學日本語", ["日本"], ["日本"]),
        ("don't", ["don't"], ["don't"]),
        ("nothing", ["else"], []),
        ("🎉 x", ["x"], ["x"]),
    ],
)
def test_what_is_marked(text: str, words: list[str], hits: list[str]) -> None:
    assert marked(text, *words) == hits


def test_the_beginning_of_a_word_marks_the_word() -> None:
    assert marked("foxes fox of", "fo", open_end=True) == ["foxes", "fox"]


def parts(text: str, words: str, length: int) -> str:
    """A snippet with its hits in brackets."""
    query = plain(words)
    segments = snippet(text, query.terms if query else (), length)
    return "".join(f"[{part.text}]" if part.hit else part.text for part in segments)


def test_a_snippet_is_the_text_around_the_first_match() -> None:
    text = " ".join(["before"] * 30 + ["needle"] + ["after"] * 30)
    assert parts(text, "needle", 60) == "…before before [needle]" + " after" * 6 + "…"
    assert parts("a needle", "needle", 60) == "a [needle]"
    assert parts(text, "needle", 0).count("before") == 30
    assert parts(text, "", 20) == "before before before…"
    assert parts("x" * 50 + " needle", "needle", 20) == "…[needle]"


def test_long_texts_cost_little() -> None:
    assert len(marks("a " * MAX_LOOKED_AT, [Term("a")])) == MAX_MARKS
    assert marks("x " * MAX_LOOKED_AT + "needle", [Term("needle")]) == []


@given(st.text(), st.text(), st.integers(0, 30))
def test_a_snippet_is_made_of_the_text(text: str, words: str, length: int) -> None:
    query = plain(words)
    segments = snippet(text, query.terms if query else (), length)
    shown = "".join(part.text for part in segments)
    assert shown.removeprefix("…").removesuffix("…") in text or shown in text
    assert all(part.text for part in segments)
