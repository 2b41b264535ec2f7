"""How much of a group's logs a relay may have us read."""

from __future__ import annotations

import pytest

from p2pchat.core.ids import ChatId, PeerKey
from p2pchat.core.relays import Relay
from p2pchat.engine.groups import log_intake
from p2pchat.engine.groups.log_intake import DAILY_BYTES, MORE_THAN_A_DAY, PAUSE_SECONDS, LogIntake
from p2pchat.lib.times import DAY_SECONDS

TOWN, OTHER = ChatId(b"the town"), ChatId(b"another.")
RELAY, SECOND = [Relay(PeerKey(bytes([number]) * 32), ()).mailbox for number in range(2)]
SMALL, PAGE = [(1, bytes(1024))], [(1, bytes(65_536))] * 16
PAGE_BYTES = 1 << 20
KEYS = [(1, bytes(1024))] * 240
"""The new keys of a group of 5,000."""


def day(intake: LogIntake, at: float) -> bool:
    """Whether a relay may bring 20,000 messages of a large group one by one, and 400 new keys, in a day."""
    messages = all(intake.take(TOWN, RELAY, SMALL, at + DAY_SECONDS * number / 20_000) for number in range(20_000))
    return messages and all(intake.take(TOWN, RELAY, KEYS, at + DAY_SECONDS) for _ in range(400))


def test_the_days_of_a_group_of_thousands_are_far_from_the_bound() -> None:
    intake = LogIntake()
    assert all(day(intake, number * DAY_SECONDS) for number in range(3))
    assert not intake.problem(TOWN, 3 * DAY_SECONDS)


def test_who_was_away_for_two_weeks_reads_all_of_them_at_once() -> None:
    intake, pages = LogIntake(), 14 * (20_000 + 400 * len(KEYS)) * 1024 // PAGE_BYTES
    assert all(intake.take(TOWN, RELAY, PAGE, 0.0) for _ in range(pages))


def test_a_relay_that_hands_out_more_and_more_is_not_asked_for_a_while_and_the_others_are() -> None:
    intake, brought, now = LogIntake(), 0, 0.0
    while intake.take(TOWN, RELAY, PAGE, now):
        brought += PAGE_BYTES
    assert brought <= 4 * DAILY_BYTES
    assert not intake.may_bring(TOWN, RELAY, now)
    assert intake.problem(TOWN, now) == MORE_THAN_A_DAY
    assert intake.may_bring(TOWN, SECOND, now)
    assert intake.take(TOWN, SECOND, PAGE, now)
    assert intake.may_bring(OTHER, RELAY, now)
    assert intake.problem(OTHER, now) == ""
    later = now + PAUSE_SECONDS
    assert intake.may_bring(TOWN, RELAY, later)
    assert intake.problem(TOWN, later) == ""
    brought = sum(PAGE_BYTES for _ in range(9_999) if intake.take(TOWN, RELAY, PAGE, later))
    assert 0 < brought <= DAILY_BYTES / 24


def test_what_brings_nothing_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_intake, "AT_ONCE_BYTES", 1 << 20)
    intake = LogIntake()
    assert not all(intake.take(TOWN, RELAY, [], 0.0) for _ in range(300))


def test_a_group_that_is_gone_is_forgotten() -> None:
    intake = LogIntake()
    while intake.take(TOWN, RELAY, PAGE, 0.0):
        pass
    intake.keep({OTHER})
    assert intake.may_bring(TOWN, RELAY, 0.0)
