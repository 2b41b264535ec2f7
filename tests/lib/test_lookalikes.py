"""Names that look alike are told apart."""

from __future__ import annotations

import pytest

from p2pchat.lib.lookalikes import labels, skeleton


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
    shown = labels([("Alice", "a1b2" + "0" * 28), (other, "c3d4" + "0" * 28), ("Bob", "0" * 32)])
    assert shown == ["Alice ·a1b2", f"{other} ·c3d4", "Bob"]


@pytest.mark.parametrize("other", ["Alicia", "Bob", "Alice 2", "Аркадий"])
def test_these_could_not(other: str) -> None:
    assert labels([("Alice", "a" * 32), (other, "b" * 32)]) == ["Alice", other]


def test_an_id_that_begins_alike_is_shown_longer() -> None:
    first, second = "abcd1111" + "0" * 24, "abcd2222" + "0" * 24
    assert labels([("Al", first), ("Al", second)]) == ["Al ·abcd1111", "Al ·abcd2222"]


@pytest.mark.parametrize("dot", ["·", "•", "\u30fb"])
def test_a_name_that_passes_for_a_label_gets_one_of_its_own(dot: str) -> None:
    assert labels([("Al", "a" * 16), (f"Al {dot}aaaa", "b" * 16)]) == ["Al", f"Al {dot}aaaa ·bbbb"]


def test_labels_of_labels_are_the_same() -> None:
    named = [("Al", "a" * 16), ("AI", "b" * 16), ("Al ·aaaa", "c" * 16)]
    once = labels(named)
    assert once == ["Al ·aaaa", "AI ·bbbb", "Al ·aaaa ·cccc"]
    assert labels([(label, ident) for label, (_, ident) in zip(once, named, strict=True)]) == once
