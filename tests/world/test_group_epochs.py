"""Keys of a group: renewed, deleted in time, and got back by who has lost them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupLost
from p2pchat.core.groups import membership, upkeep
from p2pchat.core.groups.events import RotateEpoch
from p2pchat.core.groups.roles import Role
from p2pchat.engine.groups import catching_up, changes, duties, gaps, history, welcoming
from p2pchat.engine.groups import upkeep as group_upkeep
from p2pchat.engine.runtime.group_limits import LOSSES
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull, NotNow
from p2pchat.lib.times import DAY_MS, HOUR_SECONDS
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups.groups import GroupRow
from tests.support.group_worlds import found, has_members, reads, said
from tests.support.world import World, befriend, run_world, until


def test_old_keys_are_deleted_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        await world.sleep_days(2)
        keys = "SELECT exporter IS NULL, over_since IS NULL FROM group_epochs ORDER BY pk"
        *over, current = bob.db.query(keys)
        assert set(over) == {(1, 0)}
        assert current == (0, 1)
        assert alice.db.query(keys)[-1] == (0, 1)
        assert {first for first, last in alice.db.query(keys) if not last} == {1}
        await bob.stop()
        bob = await world.start("bob")
        await bob.call("send", chat="hikers", text="after the restart")
        await reads(alice, "hikers", "after the restart")
        before = bob.db.query("SELECT id FROM group_epochs")
        for _ in range(2):  # the keys are renewed first, so those before are over
            await world.sleep_days(31)
            await trio.sleep(3700)
        assert not set(before) & set(bob.db.query("SELECT id FROM group_epochs"))

    run_world(tmp_path, main)


def test_a_clock_that_was_a_day_ahead_delays_nothing(tmp_path: Path) -> None:
    """New keys that are due, and the question for those that did not come."""

    async def main(world: World) -> None:
        _, bob, _ = await found(world, "alice", "bob", "carol")

        def look(tx: Transaction) -> tuple[bool, bool, bool]:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            state = history.log_of(tx, chat).state
            (owner,) = [member for member in state.members.values() if member.role is Role.OWNER]
            ours = duties.is_our_turn(tx, {chat: tx.now + DAY_MS}, chat, state, owner.id)
            store_items.wait(tx.db, chat, b"later" * 6, b"ahead", tx.now + DAY_MS, row.member)
            catching_up.check(tx, chat)
            ahead = chat in tx.memory.lost_asked
            store_items.wait(tx.db, chat, b"just " * 6, b"now", tx.now, row.member)
            store_items.waits_no_more(tx.db, chat, b"later" * 6)
            tx.memory.lost_asked.clear()
            catching_up.check(tx, chat)
            return ours, ahead, chat in tx.memory.lost_asked

        assert await bob.engine.committer.submit(look) == (True, True, False)

    run_world(tmp_path, main)


def test_an_offer_that_is_not_answered_for_a_month_is_forgotten(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, carol = await world.start("alice"), await world.start("carol")
        await befriend(alice, carol)
        await carol.stop()
        await alice.call("create_group", name="hikers", contacts=["carol"])
        await world.sleep_days(20)
        assert alice.db.query("SELECT count(*) FROM group_offers") == [(1,)]
        await world.sleep_days(12)
        await trio.sleep(2 * HOUR_SECONDS)
        assert alice.db.query("SELECT count(*) FROM group_offers") == [(0,)]

    run_world(tmp_path, main)


def test_old_keys_are_deleted_by_an_admin_who_cannot_renew_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        monkeypatch.setattr(changes, "renew_keys", lambda tx, row, action: None)
        monkeypatch.setattr(upkeep, "renewal", lambda state, **_: RotateEpoch())
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        await world.sleep_days(2)
        assert alice.engine.committer.memory.keys_due
        links = alice.db.query("SELECT exporter FROM group_epochs WHERE over_since IS NOT NULL")
        assert links
        assert set(links) == {(None,)}

    run_world(tmp_path, main)


def test_keys_are_renewed_once_a_week_by_the_most_senior(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def renewals() -> list[str]:
            return [one["by"] for one in await bob.call("group_log", chat="hikers") if one["op"] == "rotate"]

        async def renewed() -> bool:
            return bool(await renewals())

        await world.sleep_days(6)
        assert not await renewed()
        await world.sleep_days(1)
        await until(renewed)
        await trio.sleep(3700)
        assert await renewals() == ["alice"]
        await bob.call("send", chat="hikers", text="under new keys")
        await reads(alice, "hikers", "under new keys")

    run_world(tmp_path, main)


def test_who_was_restored_from_a_copy_comes_back_into_the_group(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        copy = bob.copy()
        await bob.call("send", chat="hikers", text="of the time that is gone")
        await reads(alice, "hikers", "of the time that is gone")
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        await bob.stop()
        world.put_back(copy)
        bob = await world.start("bob")
        await trio.sleep(600)
        assert (await bob.call("group", chat="hikers"))["members"] == 3
        await alice.call("send", chat="hikers", text="where are you?")
        await has_members(bob, "hikers", 2)
        assert bob.db.query("SELECT 1 FROM group_waiting") == []
        await alice.call("send", chat="hikers", text="there")
        await reads(bob, "hikers", "there")
        await bob.call("send", chat="hikers", text="here again")
        await reads(alice, "hikers", "of the time that is gone", "here again")

    run_world(tmp_path, main)


def test_a_newcomer_reads_nothing_older_and_who_comes_back_reads_on(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("send", chat="hikers", text="before")
        await reads(bob, "hikers", "before")
        dave = await world.start("dave")
        await befriend(alice, dave)
        await alice.call("add_members", chat="hikers", contacts=["dave"])
        await has_members(dave, "hikers", 4)
        assert await said(dave, "hikers") == []
        await alice.call("remove_member", chat="hikers", member="bob")
        await has_members(dave, "hikers", 3)
        await alice.call("send", chat="hikers", text="without bob")
        await reads(dave, "hikers", "without bob")
        await alice.call("add_members", chat="hikers", contacts=["bob"])
        await has_members(dave, "hikers", 4)
        await bob.call("send", chat="hikers", text="back again")
        await reads(dave, "hikers", "without bob", "back again")
        assert await said(bob, "hikers") == ["before"]

    run_world(tmp_path, main)


def test_a_member_leaves_and_is_followed_by_new_keys(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        assert (await bob.call("leave_group", chat="hikers"))["name"] == "hikers"
        await has_members(carol, "hikers", 2)
        await alice.call("send", chat="hikers", text="without bob")
        await reads(carol, "hikers", "without bob")
        await trio.sleep(600)
        assert await said(bob, "hikers") == []

    run_world(tmp_path, main)


def test_a_full_log_keeps_nothing_from_being_done_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        monkeypatch.setattr(membership, "MAX_EVENTS", 0)
        monkeypatch.setattr(upkeep, "ROTATE_MS", 0)
        with pytest.raises(NotNow, match="takes no more of this"):
            await alice.call("set_group", chat="hikers", key="topic", value="hills")
        await alice.engine.committer.submit(group_upkeep.tidy)

    run_world(tmp_path, main)


def test_a_clock_that_was_ahead_keeps_no_keys(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await trio.sleep(2 * HOUR_SECONDS)
        bob.skew = 400 * DAY_MS
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        assert bob.db.query("SELECT max(over_since) > ? FROM group_epochs", (world.now() + 399 * DAY_MS,)) == [(1,)]
        bob.skew = 0
        await trio.sleep(3 * HOUR_SECONDS)  # until the clock is believed again
        await world.sleep_days(2)
        *over, current = bob.db.query("SELECT exporter IS NULL FROM group_epochs ORDER BY pk")
        assert set(over) == {(1,)}
        assert current == (0,)

    run_world(tmp_path, main)


def test_what_fails_in_the_upkeep_of_groups_keeps_nothing_else_from_being_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(tx: Transaction) -> None:
        raise ValueError

    async def main(world: World) -> None:
        await found(world, "alice", "bob")
        tidied: list[Transaction] = []
        monkeypatch.setattr(duties, "check_all", fails)
        monkeypatch.setattr(group_upkeep, "tidy", tidied.append)
        await trio.sleep(2 * HOUR_SECONDS)
        assert tidied

    run_world(tmp_path, main)


def test_what_cannot_be_looked_for_at_the_start_is_looked_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        _, bob = await found(world, "alice", "bob")
        await bob.stop()
        begin, failed = gaps.begin, list[Transaction]()

        def full(tx: Transaction) -> None:
            begin(tx)
            failed.append(tx)
            raise DiskFull

        monkeypatch.setattr(gaps, "begin", full)
        bob = await world.start("bob")

        async def has_failed() -> bool:
            return bool(failed)

        await until(has_failed)
        begun = list[Transaction]()
        monkeypatch.setattr(gaps, "begin", begun.append)
        await trio.sleep(2 * HOUR_SECONDS)
        assert len(begun) == 1

    run_world(tmp_path, main)


def test_one_member_has_new_keys_made_a_few_times_a_day(tmp_path: Path) -> None:
    """Each time takes a place in the log of all, which has only so many."""

    async def main(world: World) -> None:
        alice, _, _ = await found(world, "alice", "bob", "carol")

        def ask(name: str) -> Callable[[Transaction], None]:
            def act(tx: Transaction) -> None:
                row = store_groups.get(tx.db, *store_groups.chats(tx.db))
                assert row is not None
                catching_up.lost(tx, tx.find(name), GroupLost(row.group_id))

            return act

        async def made() -> int:
            log = await alice.call("group_log", chat="hikers")
            return sum(one["op"] == "rotate" for one in log)

        for _ in range(12):
            await alice.engine.committer.submit(ask("bob"))
            await trio.sleep(HOUR_SECONDS + 120)
        assert LOSSES.burst <= await made() <= LOSSES.burst + 2, "and what is regained in half a day"
        before = await made()
        await alice.engine.committer.submit(ask("carol"))
        await trio.sleep(2 * HOUR_SECONDS)
        assert await made() == before + 1

    run_world(tmp_path, main)


def test_keys_are_made_once_for_all_who_have_lost_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, _, _, _ = await found(world, "alice", "bob", "carol", "dave")
        welcomed, send = list[str](), welcoming.send

        def record(tx: Transaction, row: GroupRow, contact: Contact, *more: Any) -> None:
            welcomed.append(contact.name)
            send(tx, row, contact, *more)

        monkeypatch.setattr(welcoming, "send", record)

        def ask(*names: str) -> Callable[[Transaction], None]:
            def act(tx: Transaction) -> None:
                (chat,) = store_groups.chats(tx.db)
                row = store_groups.get(tx.db, chat)
                assert row is not None
                for name in names:
                    catching_up.lost(tx, tx.find(name), GroupLost(row.group_id))

            return act

        async def made() -> int:
            log = await alice.call("group_log", chat="hikers")
            return sum(one["op"] == "rotate" for one in log)

        await alice.engine.committer.submit(ask("bob", "carol", "dave"))
        await trio.sleep(60)
        await alice.engine.committer.submit(ask("carol"))
        assert (await made(), welcomed) == (1, ["bob"])
        await trio.sleep(2 * HOUR_SECONDS)
        assert (await made(), welcomed[0], sorted(welcomed[1:])) == (2, "bob", ["carol", "dave"])

    run_world(tmp_path, main)
