"""Members of a group replace their keys of encryption, and nobody is lost by that."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.groups import events
from p2pchat.core.groups.events import UpdateMember
from p2pchat.core.ids import MemberId
from p2pchat.core.primitives import sign_public, x25519_public
from p2pchat.engine.groups import adopting, history, log_carrier, own_keys, pairwise
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import leaves as store_leaves
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from tests.support.group_worlds import found, has_members, reads
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_group_logs import found as found_town

CHAT = "hikers"


def row_of(node: WorldNode) -> GroupRow:
    (chat,) = store_groups.chats(node.db)
    row = store_groups.get(node.db, chat)
    assert row is not None
    return row


def leaf_of(node: WorldNode, member: MemberId) -> bytes:
    """The public key of a member, as a node knows it."""
    row = store_members.get(node.db, row_of(node).chat, member)
    assert row is not None
    return row.leaf


async def update(node: WorldNode) -> None:
    """Replace the keys of a node in its group now."""

    def do(tx: Transaction) -> None:
        (chat,) = store_groups.chats(tx.db)
        row = store_groups.get(tx.db, chat)
        assert row is not None
        own_keys.update(tx, row)

    await node.engine.committer.submit(do)


async def knows_keys(node: WorldNode, other: WorldNode) -> None:
    """Wait until a node knows the present keys of another."""

    async def there() -> bool:
        return leaf_of(node, row_of(other).member) == x25519_public(row_of(other).leaf_seed)

    await until(there)


def test_all_replace_their_keys_within_weeks_and_delete_the_old_ones(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        people = await found(world, "alice", "bob", "carol")
        first = [row_of(node).leaf_seed for node in people]
        await world.sleep_days(1)
        assert [row_of(node).leaf_seed for node in people] == first
        for _ in range(6):
            await world.sleep_days(16)
            await trio.sleep(2 * HOUR_SECONDS)  # deadlines end once the clock has agreed for an hour
        for node, before in zip(people, first, strict=True):
            assert row_of(node).leaf_seed != before
            assert before not in [leaf for leaf, _ in store_leaves.of(node.db, row_of(node).chat)]
            for other in people:
                await knows_keys(other, node)
        alice, bob, carol = people
        await alice.call("remove_member", chat=CHAT, member="carol")
        for node in (alice, bob):
            await has_members(node, CHAT, 2)
        await bob.call("send", chat=CHAT, text="by the new keys")
        await reads(alice, CHAT, "by the new keys")
        await world.sleep_days(2)  # who was removed keeps what there is for a day
        assert store_leaves.of(carol.db, row_of(carol).chat) == []

    run_world(tmp_path, main)


def test_a_rekey_of_somebody_who_does_not_know_the_new_keys_is_opened(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        old = row_of(bob).leaf_seed
        world.cut(alice, bob)
        await update(bob)
        await alice.call("remove_member", chat=CHAT, member="carol")
        assert leaf_of(alice, row_of(bob).member) == x25519_public(old)
        world.mend(alice, bob)
        await has_members(bob, CHAT, 2)
        await knows_keys(alice, bob)
        await alice.call("send", chat=CHAT, text="to the old keys")
        await reads(bob, CHAT, "to the old keys")
        assert [leaf for leaf, _ in store_leaves.of(bob.db, row_of(bob).chat)] == [old]
        for _ in range(9):  # alice has rotated by then, for the new keys
            await world.sleep_days(1)
        assert store_leaves.of(bob.db, row_of(bob).chat) == []
        await alice.call("send", chat=CHAT, text="to the new ones")
        await reads(bob, CHAT, "to the old keys", "to the new ones")

    run_world(tmp_path, main)


def test_who_is_restored_from_a_copy_with_old_keys_makes_new_ones(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        before = bob.copy()
        await update(bob)
        await knows_keys(alice, bob)
        lost = row_of(bob).leaf_seed
        await bob.stop()
        world.put_back(before)
        bob = await world.start("bob")
        await alice.call("remove_member", chat=CHAT, member="carol")
        for day in range(3):
            await world.sleep_days(1)
            await alice.call("send", chat=CHAT, text=f"day {day}")

        async def has_others() -> bool:
            now = row_of(bob)
            return now.leaf_seed != lost and leaf_of(alice, now.member) == x25519_public(now.leaf_seed)

        await until(has_others)
        await carol.stop()
        await alice.call("send", chat=CHAT, text="can you read this?")

        async def read() -> bool:
            log = await bob.call("log", chat=CHAT, limit=1000)
            return any(one["text"] == "can you read this?" for one in log)

        await until(read)

    run_world(tmp_path, main)


def test_two_copies_of_a_profile_do_not_replace_each_others_keys_without_end(tmp_path: Path) -> None:
    """The other copy makes new keys as soon as it sees those of this one."""

    async def main(world: World) -> None:
        _, bob = await found(world, "alice", "bob")

        def other_copy(tx: Transaction) -> None:
            row, log = row_of(bob), history.log_of(tx, row_of(bob).chat)
            if log.state.members[row.member].leaf == x25519_public(row.leaf_seed):
                made = UpdateMember(x25519_public(tx.random(32)), log.state.members[row.member].kem, row.name)
                core = log.draft(sign_public(row.sign_seed), made).core
                adopting.take(tx, row, events.sign_event(core, None, None, row.sign_seed))

        for _ in range(20):
            await bob.engine.committer.submit(other_copy)
            await trio.sleep(3 * HOUR_SECONDS)
        assert 2 <= len(store_leaves.of(bob.db, row_of(bob).chat)) <= 3, "once a day"
        log = [one["text"] for one in await bob.call("log", chat=CHAT, limit=1000) if one["kind"] == "group"]
        assert log.count(own_keys.TWO_COPIES) == 1

    run_world(tmp_path, main)


def test_admins_keep_the_key_of_the_logs_when_they_replace_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    async def main(world: World) -> None:
        (alice, _), _ = await found_town(world, 1, ("alice", "bob"))

        async def seeds() -> set[bytes]:
            places = await alice.engine.committer.read(log_carrier.read, {}, 0)
            return {place.keys.admin_seed for place in places}

        before = await seeds()
        assert b"" not in before
        for _ in range(2):  # the second time, what the log has is sealed to keys that are gone
            await update(alice)
            assert await seeds() == before

    run_world(tmp_path, main)
