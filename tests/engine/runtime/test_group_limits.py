"""What a member of a group may have us do for nothing: by member and group, and back after a while."""

from __future__ import annotations

from p2pchat.core.ids import ChatId, MemberId
from p2pchat.engine.runtime.group_limits import ERRORS, FREE_KEYS, KEYS, KEYS_OF_GROUP, UPDATES, GroupLimits
from p2pchat.lib.times import DAY_MS, MINUTE_MS

HIKERS, OTHERS = ChatId(b"hikers88"), ChatId(b"others88")
EVE, BOB = MemberId(b"eve88888"), MemberId(b"bob88888")
NOW = 10 * DAY_MS


def test_errors_and_updates_are_counted_for_each_member_of_each_group_and_come_back() -> None:
    limits = GroupLimits()
    for _ in range(ERRORS.burst):
        assert limits.may_err(HIKERS, EVE, NOW)
        limits.erred(HIKERS, EVE, NOW)
    for _ in range(UPDATES.burst):
        assert limits.may_update(HIKERS, EVE, NOW)
        limits.updated(HIKERS, EVE, NOW)
    assert not limits.may_err(HIKERS, EVE, NOW)
    assert not limits.may_update(HIKERS, EVE, NOW)
    assert limits.may_err(HIKERS, BOB, NOW)
    assert limits.may_update(OTHERS, EVE, NOW)
    assert not limits.may_update(HIKERS, EVE, NOW - DAY_MS), "a clock that is set back gives nothing"
    assert limits.may_update(HIKERS, EVE, NOW + DAY_MS // UPDATES.burst)
    assert limits.may_err(HIKERS, EVE, NOW + DAY_MS // ERRORS.burst)


def test_keys_are_counted_for_each_member_and_for_the_group() -> None:
    limits, jump = GroupLimits(), 5_000
    assert all(limits.may_skip(HIKERS, EVE, FREE_KEYS, NOW) for _ in range(10_000))
    assert [limits.may_skip(HIKERS, EVE, jump, NOW) for _ in range(5)] == [True] * (KEYS.burst // jump) + [False]
    claimed = [limits.may_skip(HIKERS, MemberId(bytes([number] * 8)), jump, NOW) for number in range(100)]
    assert claimed.count(True) == (KEYS_OF_GROUP.burst - KEYS.burst) // jump
    assert limits.may_skip(HIKERS, BOB, FREE_KEYS, NOW), "what is in order costs nothing"
    assert not limits.may_skip(HIKERS, BOB, 1_000, NOW)
    assert limits.may_skip(OTHERS, EVE, jump, NOW)
    assert limits.may_skip(HIKERS, EVE, jump, NOW + 20 * MINUTE_MS)
