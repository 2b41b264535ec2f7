"""Our keys of encryption in a group: when they are replaced, and how long the old ones are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.engine.groups import changes, own_keys
from p2pchat.errors import NotNow
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups.groups import GroupRow
from tests.engine.groups.test_gaps import Group, in_time


def now(group: Group) -> GroupRow:
    row = store_groups.get(group.tx.db, group.chat)
    assert row is not None
    return row


def kept(group: Group) -> list[tuple[bytes, int]]:
    return [(leaf, until) for leaf, until in group.tx.db.query("SELECT leaf_seed, until FROM group_leaves")]


def test_they_are_replaced_at_the_time_that_was_chosen_and_kept_for_a_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        tx, first = group.tx, now(group)
        store_groups.update(tx.db, group.chat, update_at=0)
        own_keys.check(tx, group.chat)
        chosen = now(group).update_at
        assert tx.latest + 15 * DAY_MS <= chosen <= tx.latest + 45 * DAY_MS
        for passed in (chosen - 1, tx.passed):
            tx.passed = passed
            own_keys.check(tx, group.chat)
            assert (now(group).leaf_seed, now(group).update_at, kept(group)) == (first.leaf_seed, chosen, [])
        tx.passed = tx.latest = chosen
        store_groups.update(tx.db, group.chat, epoch=None)
        own_keys.check(tx, group.chat)
        assert kept(group) == [], "of a group that we cannot read"
        store_groups.update(tx.db, group.chat, epoch=first.epoch)

        own_keys.check(tx, group.chat)
        new = now(group)
        assert new.leaf_seed != first.leaf_seed
        assert new.kem_seed not in (None, first.kem_seed)
        assert new.update_at > chosen
        until = chosen + 30 * DAY_MS
        assert kept(group) == [(first.leaf_seed, until)]
        own_keys.check(tx, group.chat)
        assert now(group) == new, "once"

        tx.erased = False
        for passed, left in ((until - 1, 1), (until, 0)):
            tx.passed = passed
            own_keys.tick(tx)
            assert (len(kept(group)), tx.erased) == (left, not left)

    in_time(tmp_path, monkeypatch, play)


def test_what_cannot_be_told_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotNow("the log is full")

    def play(group: Group) -> None:
        before = now(group)
        with monkeypatch.context() as patched:
            patched.setattr(changes, "make", refuse)
            own_keys.update(group.tx, before)
        assert now(group) == before
        assert kept(group) == []

    in_time(tmp_path, monkeypatch, play)


def test_who_has_no_ml_kem_key_in_a_group_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        store_groups.update(group.tx.db, group.chat, kem_seed=None)
        own_keys.update(group.tx, now(group))
        assert now(group).kem_seed is None

    in_time(tmp_path, monkeypatch, play)


def test_keys_that_the_log_does_not_have_are_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another copy of the profile has made those that it has."""

    def play(group: Group) -> None:
        store_groups.update(group.tx.db, group.chat, leaf_seed=bytes(32))
        own_keys.check(group.tx, group.chat)
        assert now(group).leaf_seed not in (bytes(32), group.row.leaf_seed)
        before = now(group)
        own_keys.check(group.tx, group.chat)
        assert now(group) == before

    in_time(tmp_path, monkeypatch, play)


def test_another_copy_that_lives_is_answered_daily_and_the_user_told_weekly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        tx = group.tx

        def told() -> int:
            return len(tx.db.query("SELECT 1 FROM messages WHERE text = ?", (own_keys.TWO_COPIES,)))

        def after(ms: int) -> tuple[bool, int]:
            """Find keys of the other copy in the log; return whether ours replace them, and how often it is told."""
            tx.now = group.start + ms
            theirs = bytes([tx.now % 256]) * 32
            store_groups.update(tx.db, group.chat, leaf_seed=theirs)
            own_keys.check(tx, group.chat)
            return now(group).leaf_seed != theirs, told()

        assert after(0) == (True, 0), "that copy may be gone"
        assert after(1) == (False, 1), "it is not"
        assert after(DAY_MS - 1) == (False, 1)
        assert after(DAY_MS) == (True, 1)
        assert after(2 * DAY_MS - 1) == (False, 1)
        assert after(7 * DAY_MS) == (True, 1)
        assert after(7 * DAY_MS + 1) == (False, 2)
        assert after(14 * DAY_MS) == (True, 2)
        assert after(14 * DAY_MS + HOUR_MS) == (False, 3)

    in_time(tmp_path, monkeypatch, play)
