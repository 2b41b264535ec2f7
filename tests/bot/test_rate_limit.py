"""The bucket of each chat."""

from __future__ import annotations

import pytest

from p2pchat.bot import rate_limit
from p2pchat.bot.rate_limit import RateLimit, TooFast


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(made: RateLimit, chat: str) -> int:
    """How many tokens a chat has."""
    count = 0
    while count < 100:
        try:
            made.take(chat)
        except TooFast:
            return count
        count += 1
    return count


def test_a_chat_has_so_many_and_they_come_back_in_a_minute() -> None:
    clock = Clock()
    made = RateLimit(6, clock)
    assert taken(made, "a") == 6
    assert taken(made, "b") == 6
    clock.now = 9.9
    assert taken(made, "a") == 0
    clock.now = 10
    assert taken(made, "a") == 1
    clock.now = 1000
    assert taken(made, "a") == 6


def test_it_remembers_so_many_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CHATS", 2)
    made = RateLimit(1, Clock())
    assert [taken(made, chat) for chat in ("a", "b", "a", "c", "a", "c")] == [1, 1, 0, 1, 1, 0]
