"""The chats of the list with their labels; which names look alike is in `lib/test_lookalikes`."""

from __future__ import annotations

from p2pchat.tui.labels import labels
from p2pchat.tui.model import Chat


def chat(name: str, ident: str) -> Chat:
    return Chat(ident, name, name, "contact", False, None, 0, None, None, "")


def test_a_label_goes_when_its_double_does() -> None:
    two = labels([chat("Al", "a" * 32), chat("Al", "b" * 32)])
    assert [each.label for each in two] == ["Al ·aaaa", "Al ·bbbb"]
    assert labels(two[:1])[0].label == "Al"
