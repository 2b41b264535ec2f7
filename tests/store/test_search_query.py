"""The language of a search: what it means, and that nothing else is taken for it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.errors import BadQuery
from p2pchat.store.search_query import MAX_TERMS, Query, Term, parse, plain
from p2pchat.store.text_folding import fold


def day(text: str) -> int:
    """A day of May as a number of milliseconds."""
    if not text.isdecimal():
        raise ValueError
    return int(text)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("One two", Query((Term("one"), Term("two")))),
        ("mor*", Query((Term("mor", open_end=True),))),
        ('"Good morning" x', Query((Term("good morning"), Term("x")))),
        ('"good mo"*', Query((Term("good mo", open_end=True),))),
        ("from:anna", Query(sender="anna")),
        ('from:"Anna Lindqvist" snow', Query((Term("snow"),), sender="Anna Lindqvist")),
        ("FROM:me has:Link", Query(sender="me", link=True)),
        ("x after:3 before:9", Query((Term("x"),), since=3, until=9)),
        ("https://example.org/a:b", Query((Term("https://example.org/a:b"),))),
        ("Привет:да 10:30", Query((Term("привет:да"), Term("10:30")))),
        ("日*", Query((Term("日", open_end=True),))),
        ('"x:y"', Query((Term("x:y"),))),
        ("\tx\n", Query((Term("x"),))),
    ],
)
def test_what_is_understood(text: str, query: Query) -> None:
    assert parse(text, day) == query


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing to search for"),
        ("  ", "nothing to search for"),
        ('""', "no letter"),
        ("x -", "- holds no letter"),
        ("🎉", "🎉 holds no letter"),
        ('"good', "not closed"),
        ('x"y"', "inside of a word"),
        ('"x"y', "inside of a word"),
        ("form:anna", "no form: to search by"),
        ("from:", "from: needs a value"),
        ('from:" "', "from: needs a value"),
        ("from:a from:b", "from: is there twice"),
        ("has:photo", "has: takes link, not photo"),
        ("x before:soon", "soon is no date for before:"),
        ("after:3", "Dates alone"),
        ("x after:9 before:9", "earlier than before:"),
        ("*", "holds no letter"),
        ("a*", "2 letters"),
        ('"good m"*', "2 letters"),
        ("wo*rd", "does not stand at the end"),
        ("word**", "does not stand at the end"),
        ("x " * (MAX_TERMS + 1), "at most 32 words"),
        ("x" * 1001, "at most 1,000 bytes"),
    ],
)
def test_what_is_refused_and_why(text: str, why: str) -> None:
    with pytest.raises(BadQuery, match=why.replace("*", r"\*")) as caught:
        parse(text, day)
    assert caught.value.exit_code == 2
    assert caught.value.advice


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("sno", [True]),
        ("good mor", [False, True]),
        ("sno ", [False]),
        ("s", [False]),
        ('"sno"', [False]),
        ("mor x*", None),
        ("mor from:anna", [False]),
    ],
)
def test_while_a_person_types_the_last_word_may_go_on(text: str, ends: list[bool] | None) -> None:
    if ends is None:
        with pytest.raises(BadQuery):
            parse(text, day, open_end=True)
    else:
        assert [term.open_end for term in parse(text, day, open_end=True).terms] == ends


@given(st.text())
def test_no_text_is_more_than_refused(text: str) -> None:
    for typing in (False, True):
        with suppress(BadQuery):
            parse(text, day, open_end=typing)


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        ("", None),
        ('!? -- "', None),
        ("One two", (Term("one"), Term("two", open_end=True))),
        ("from:a b", (Term("from:a"), Term("b"))),
        ("👍 ok", (Term("ok", open_end=True),)),
    ],
)
def test_words_without_syntax(words: str, terms: tuple[Term, ...] | None) -> None:
    query = plain(words)
    assert (None if query is None else query.terms) == terms


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ('a"b', '"a b"'),
        ("本語", '" 本  語 "'),
        ("x and y", '"x and y"'),
        ("a\0b", '"a b"'),
        ("a\uefffb", '"a b"'),
        ("a\ud83db", '"ab"'),
    ],
)
def test_nothing_in_a_term_is_syntax_of_the_index(words: str, expression: str) -> None:
    assert Term(fold(words)).expression() == expression
