"""Links, code and marks in a text: taken apart into plain pieces, and never more than was typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.tui import formatting
from p2pchat.tui.formatting import CODE, QUOTE, TEXT, Span, code, in_code, in_italics, links, parts, url


def roles(text: str) -> list[tuple[str, str]]:
    """The pieces with a role, and which."""
    return [(part.text[span.start : span.end], span.role) for part in parts(text) for span in part.spans]


def test_marks_of_a_line() -> None:
    assert roles("**bold** and *it*, `co*de` ~~no~~ _so_") == [
        ("bold", "strong"),
        ("it", "em"),
        ("co*de", "code"),
        ("no", "strike"),
        ("so", "em"),
    ]
    [part] = parts("a **b** c")
    assert part.text == "a b c"
    assert part.spans == (Span(2, 3, "strong"),)


@pytest.mark.parametrize(
    "text",
    [
        *("2 * 3 * 4", "snake_case_name", "__init__", "a*b*c", "**", "* a *", "`", "``x``", "5 ~~ 6 ~~ 7"),
        *("[b](javascript:x)", "[@click=app.quit]x[/]", "```\nnever closed"),
    ],
)
def test_what_is_not_surely_a_mark_stays_as_it_was_typed(text: str) -> None:
    assert [(part.kind, part.text, part.spans) for part in parts(text)] == [(TEXT, text, ())]


def test_what_one_does_is_in_italics_line_by_line() -> None:
    said = "waves\n\n  2 * 3 * 4\nsnake_case\nsnake_case * 2\n_*  both\nreads https://lamp.example/a_b"
    assert roles(in_italics(said)) == [
        ("waves", "em"),
        ("2 * 3 * 4", "em"),
        ("snake_case", "em"),
        ("snake_case", "em"),
        ("* 2", "em"),
        ("https://lamp.example/a_b", "link"),
    ]


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("", False),
        ("say `", True),
        ("say `a` and", False),
        ("```\n", True),
        ("```py\na\n```py\n", True),
        ("```py\na\n```\n", False),
        ("say ```\n", False),
    ],
)
def test_what_is_behind_a_backtick_or_in_a_block_will_be_code(written: str, code: bool) -> None:
    assert in_code(written.split("\n")) == code


def test_what_one_does_at_length_is_in_italics_too() -> None:
    words = ["walks"] * 200
    spans = roles(in_italics(" ".join(words)))
    assert {role for _, role in spans} == {"em"}
    assert [word for text, _ in spans for word in text.split()] == words


def test_code_and_quotations_are_parts() -> None:
    text = "before\n```py\nif x:\n\ty **z**\n```\n> she said\n>and more\nafter"
    assert [(part.kind, part.text, part.language) for part in parts(text)] == [
        (TEXT, "before", ""),
        (CODE, "if x:\n\ty **z**", "py"),
        (QUOTE, "she said\nand more", ""),
        (TEXT, "after", ""),
    ]
    assert code(text) == ["if x:\n\ty **z**"]


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("https://example.org/a_b_(c)", "https://example.org/a_b_(c)"),
        ("HTTPS://Example.ORG", "https://example.org"),
        ("http://[::1]:8080/x?y=1#z", "http://[::1]:8080/x?y=1#z"),
        ("https://\u0430pple.com/", "https://xn--pple-43d.com/"),  # a Cyrillic a
        ("https://example.org/\u0441\u0430\u0442", "https://example.org/%D1%81%D0%B0%D1%82"),
        ("https://example.org@evil.example/", None),
        ("https://ex\u202eample.org/", None),
        ("https://example.org:99999/", None),
        ("https://", None),
        ("https://exa mple.org/", None),
        ("ftp://example.org/", None),
    ],
)
def test_an_address_is_shown_as_what_it_is(typed: str, shown: str | None) -> None:
    assert url(typed) == shown


def test_what_belongs_to_the_sentence_is_not_in_the_address() -> None:
    assert links("see https://a.example/x. (or https://b.example/c_(d)), “https://c.example”!") == [
        "https://a.example/x",
        "https://b.example/c_(d)",
        "https://c.example",
    ]
    assert links("https://a.example https://a.example") == ["https://a.example"], "each once"


@given(st.text(st.sampled_from("`*_~> \nahttps://.:@[]()\u0430\u0627"), max_size=200))
def test_nothing_is_lost_but_marks_and_what_leads_somewhere_says_where(text: str) -> None:
    for part in parts(text):
        end = 0
        for span in part.spans:
            assert end <= span.start < span.end <= len(part.text)
            end = span.end
            if span.link:
                assert part.text[span.start : span.end] == span.link
                assert span.link.isascii()
                assert span.link.isprintable()
                assert " " not in span.link
    letters = [char for char in text if char not in "`*_~> \n"]
    if "http" not in text:
        assert [char for part in parts(text) for char in part.language + part.text if char not in "`*_~> \n"] == letters


def test_a_text_too_long_to_be_formatted_by_hand_is_not() -> None:
    text = "**a** " * formatting.MAX_FORMATTED
    assert parts(text) == [formatting.Part(TEXT, text)]
