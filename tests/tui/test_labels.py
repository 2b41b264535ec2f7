"""Names that look alike are told apart."""

from __future__ import annotations

import pytest

from p2pchat.tui.labels import labels, skeleton
from p2pchat.tui.model import Chat


def chat(name: str, ident: str) -> Chat:
    return Chat(ident, name, name, "contact", False, None, 0, None, None, "")


@pytest.mark.parametrize(
    "other",
    [
        "alice",
        "\u0410lice",  # Cyrillic A
        "A\u200dlice",  # a joiner nobody sees
        "Al\u0131ce",  # dotless i
        "\uff21lice",  # full width
        "A1ice",
        " Alice",
        "Ali\u0441e",  # Cyrillic es
        "\u0391lice",  # Greek alpha
    ],
)
def test_these_could_be_taken_for_alice(other: str) -> None:
    assert skeleton(other) == skeleton("Alice")
    shown = labels([chat("Alice", "a1b2" + "0" * 28), chat(other, "c3d4" + "0" * 28), chat("Bob", "0" * 32)])
    assert [each.label for each in shown] == ["Alice ·a1b2", f"{other} ·c3d4", "Bob"]


@pytest.mark.parametrize("other", ["Alicia", "Bob", "Alice 2", "Аркадий"])
def test_these_could_not(other: str) -> None:
    shown = labels([chat("Alice", "a" * 32), chat(other, "b" * 32)])
    assert [each.label for each in shown] == ["Alice", other]


def test_an_id_that_begins_alike_is_shown_longer() -> None:
    first, second = "abcd1111" + "0" * 24, "abcd2222" + "0" * 24
    assert [each.label for each in labels([chat("Al", first), chat("Al", second)])] == ["Al ·abcd1111", "Al ·abcd2222"]


def test_a_label_goes_when_its_double_does() -> None:
    two = labels([chat("Al", "a" * 32), chat("Al", "b" * 32)])
    assert labels(two[:1])[0].label == "Al"
