"""Several who manage a group and act at one time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import GroupLost, Text
from p2pchat.core.groups import epochs, welcome
from p2pchat.core.ids import MemberId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.files import transfers
from p2pchat.engine.groups import welcoming
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from tests.support.group_worlds import found, has_members, members, reads, said
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, befriend, run_world, until


@pytest.mark.parametrize("seed", sampled(list(range(12)), 2, "partitions"))
def test_admins_who_act_at_once_agree_when_they_meet(tmp_path: Path, seed: int) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await found(world, "alice", "bob", "carol", "dave")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def is_admin() -> bool:
            return bool((await bob.call("group", chat="hikers"))["role"] == "admin")

        await until(is_admin)
        await befriend(bob, await world.start("erin"))
        world.cut(alice, bob)
        await alice.call("remove_member", chat="hikers", member="dave")
        await bob.call("add_members", chat="hikers", contacts=["erin"])
        await has_members(world.nodes["erin"], "hikers", 5)
        await bob.call("set_group", chat="hikers", key="topic", value="bob's")
        await alice.call("send", chat="hikers", text="on this side")
        await bob.call("send", chat="hikers", text="on that side")
        await trio.sleep(60)
        world.mend(alice, bob)
        here = [alice, bob, carol, world.nodes["erin"]]
        for node in here:
            await has_members(node, "hikers", 4)
        await trio.sleep(300)
        for node in here:
            await node.call("send", chat="hikers", text=f"{node.name} is here")
        for node in here:

            async def complete(node: WorldNode = node) -> bool:
                texts = await said(node, "hikers")
                return {f"{other.name} is here" for other in here if other is not node} <= set(texts)

            await until(complete)
        assert (await carol.call("group", chat="hikers"))["topic"] == "bob's"
        assert "erin is here" not in await said(dave, "hikers")

    run_world(tmp_path, main, seed=seed)


def test_admins_who_add_more_than_there_is_room_for_can_remove_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "MAX_MEMBERS", 4)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def is_admin() -> bool:
            return bool((await bob.call("group", chat="hikers"))["role"] == "admin")

        await until(is_admin)
        for admin, name in ((alice, "dave"), (bob, "erin")):
            await befriend(admin, await world.start(name))
        world.cut(alice, bob)
        for admin, name in ((alice, "dave"), (bob, "erin")):
            await admin.call("add_members", chat="hikers", contacts=[name])
            await has_members(admin, "hikers", 4)
        world.mend(alice, bob)
        here = [alice, bob, carol]
        for node in here:
            await has_members(node, "hikers", 5)
        await bob.call("set_group", chat="hikers", key="topic", value="too many")
        await alice.call("remove_member", chat="hikers", member="erin")
        for node in (*here, world.nodes["dave"]):
            await has_members(node, "hikers", 4)
        await bob.call("send", chat="hikers", text="all of us")
        await reads(world.nodes["dave"], "hikers", "all of us")

    run_world(tmp_path, main)


def test_what_somebody_did_who_was_removed_meanwhile_does_not_count(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")

        async def is_admin() -> bool:
            return bool((await bob.call("group", chat="hikers"))["role"] == "admin")

        await until(is_admin)
        world.cut(alice, bob)
        world.cut(bob, carol)
        await alice.call("remove_member", chat="hikers", member="bob")
        await bob.call("set_group", chat="hikers", key="topic", value="mine")
        await trio.sleep(60)
        world.mend(alice, bob)

        async def told() -> bool:
            log = await alice.call("group_log", chat="hikers")
            return any(
                one["text"].endswith("it does not count, since the right to it had been taken away.") for one in log
            )

        await until(told)
        assert (await alice.call("group", chat="hikers"))["topic"] == ""
        assert not any("topic" in one["text"] for one in await alice.call("log", chat="hikers"))

    run_world(tmp_path, main)


async def friends(world: World) -> tuple[WorldNode, WorldNode, WorldNode, WorldNode]:
    """A group of alice, of bob, who is an admin, and of carol and dave, in which carol hears of bob first."""
    bob, carol = await world.start("bob"), await world.start("carol")
    await befriend(bob, carol)
    alice = await world.start("alice")
    dave = await world.start("dave")
    for other in (bob, carol, dave):
        await befriend(alice, other)
    await alice.call("create_group", name="hikers", contacts=["bob", "carol", "dave"])
    for node in (alice, bob, carol, dave):
        await has_members(node, "hikers", 4)
    await alice.call("set_role", chat="hikers", member="bob", role="admin")

    async def is_ready() -> bool:
        role = (await bob.call("group", chat="hikers"))["role"]
        return bool(role == "admin" and "carol" in await members(bob, "hikers"))

    await until(is_ready)
    return alice, bob, carol, dave


async def is_out(node: WorldNode) -> bool:
    return (await node.call("group", chat="hikers"))["role"] is None


async def remove_in_vain(world: World) -> None:
    """Have bob, whom alice removes, remove carol, who does not know of that."""
    alice, bob, carol = [world.nodes[name] for name in ("alice", "bob", "carol")]
    world.cut(alice, bob)
    world.cut(alice, carol)
    await alice.call("remove_member", chat="hikers", member="bob")
    await bob.call("remove_member", chat="hikers", member="carol")
    await until(lambda: is_out(carol))


async def come_back(world: World) -> None:
    """Have carol hear that bob had been removed."""
    world.mend(world.nodes["alice"], world.nodes["carol"])

    async def is_back() -> bool:
        return not await is_out(world.nodes["carol"])

    await until(is_back)


def test_a_removal_that_turns_out_void_takes_nothing_from_who_was_removed(tmp_path: Path) -> None:
    """An admin who is being removed could otherwise take everybody along whom they reach first."""

    async def main(world: World) -> None:
        alice, _, carol, dave = await friends(world)
        await remove_in_vain(world)
        with pytest.raises(NotNow):
            await carol.call("send", chat="hikers", text="am I out?")
        await dave.call("send", chat="hikers", text="where is carol?")
        await has_members(dave, "hikers", 3)
        await come_back(world)
        await carol.call("send", chat="hikers", text="here")
        for node in (alice, dave):
            await has_members(node, "hikers", 3)
        await reads(alice, "hikers", "where is carol?", "here")
        await reads(dave, "hikers", "here")
        await reads(carol, "hikers", "where is carol?")
        assert await members(carol, "hikers") == {"me", "alice", "dave"}

    run_world(tmp_path, main)


async def file_state(node: WorldNode) -> str:
    (sent,) = await node.call("files", chat="hikers")
    return str(sent["file"]["state"])


@pytest.mark.parametrize("void", [True, False])
def test_what_waits_and_moves_is_given_up_only_when_a_removal_stands(tmp_path: Path, void: bool) -> None:
    """A file of hers, what she wrote that waits for keys, and what she keeps for newcomers."""
    source = tmp_path / "source.bin"
    source.write_bytes(b"x" * 100_000)
    (tmp_path / "world").mkdir()

    async def main(world: World) -> None:
        alice, _, carol, dave = await friends(world)
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await alice.call("send", chat="hikers", text="kept for newcomers")
        await reads(carol, "hikers", "kept for newcomers")
        await carol.call("send_file", chat="hikers", path=str(source))

        def wait(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            id = tx.new_message_id()
            store_items.leave_unsent(tx.db, chat, id, encode_content(Content(Text("it waited"), id, 1, tx.now)))

        await remove_in_vain(world)
        await carol.engine.committer.submit(wait)
        kept = "SELECT (SELECT count(*) FROM group_unsent), (SELECT count(*) FROM group_records) > 0"
        assert carol.db.query(kept) == [(1, 1)]
        assert await file_state(carol) == "waiting"
        if void:
            await come_back(world)
            await reads(dave, "hikers", "kept for newcomers", "it waited")
            assert carol.db.query(kept) == [(0, 1)]
            assert await file_state(carol) == "waiting"
        else:
            await world.sleep_days(1)
            await trio.sleep(2 * HOUR_SECONDS)
            assert carol.db.query(kept) == [(0, 0)]
            assert await file_state(carol) == "gone"

    run_world(tmp_path / "world", main)


def test_a_file_of_somebody_whose_removal_turns_out_void_is_offered_again(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x" * 100_000)
    (tmp_path / "world").mkdir()

    async def main(world: World) -> None:
        alice, bob, carol, _ = await friends(world)
        world.cut(alice, bob)
        await bob.call("settings", fetch_up_to=0)
        await carol.call("send_file", chat="hikers", path=str(source))

        async def has(state: str) -> bool:
            found = await bob.call("files", chat="hikers")
            return [one["file"]["state"] for one in found] == [state]

        await until(lambda: has("offered"))

        def settle(tx: Transaction, member: MemberId, *, gone: bool) -> None:
            (chat,) = store_groups.chats(tx.db)
            (transfers.members_left if gone else transfers.members_back)(tx, chat, [member])

        them = MemberId(carol.db.query("SELECT member FROM groups")[0][0])
        await bob.engine.committer.submit(partial(settle, member=them, gone=True))
        assert await has("failed")
        await bob.engine.committer.submit(partial(settle, member=them, gone=False))
        assert await has("offered")

    run_world(tmp_path / "world", main)


def test_an_admin_who_leaves_keeps_no_keys(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        _, bob, carol, _ = await friends(world)
        await bob.call("leave_group", chat="hikers")
        for table in ("group_epochs", "group_chains", "group_leaves"):
            assert bob.db.query(f"SELECT count(*) FROM {table}") == [(0,)]
        await has_members(carol, "hikers", 3)

    run_world(tmp_path, main)


def test_who_was_removed_keeps_the_keys_for_a_day_and_no_longer(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)

        await until(lambda: is_out(carol))
        await trio.sleep(3 * HOUR_SECONDS)
        assert carol.db.query("SELECT count(*) FROM group_chains") != [(0,)]
        await world.sleep_days(1)
        for table in ("group_epochs", "group_chains", "group_skipped", "group_waiting"):
            assert carol.db.query(f"SELECT count(*) FROM {table}") == [(0,)]

    run_world(tmp_path, main)


def test_who_is_added_by_two_at_once_is_one_member(tmp_path: Path) -> None:
    """They were away when both asked for their keys."""

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_group", chat="hikers", key="invites", value="members")
        await until(partial(has, bob, "invites", "members"))
        carol = await world.start("carol")
        for node in (alice, bob):
            await befriend(node, carol)
        await carol.stop()
        for node in (alice, bob):
            await node.call("add_members", chat="hikers", contacts=["carol"])
        carol = await world.start("carol")
        await has_members(carol, "hikers", 3)
        await trio.sleep(600)
        for node in (alice, bob, carol):
            await has_members(node, "hikers", 3)
            await node.call("send", chat="hikers", text=f"{node.name} is here")
        await reads(alice, "hikers", "bob is here", "carol is here")
        await reads(carol, "hikers", "alice is here", "bob is here")

    run_world(tmp_path, main)


def test_an_admin_who_was_restored_from_a_copy_is_no_suspect(tmp_path: Path) -> None:
    """The copy has forgotten what they signed last. Nothing is signed with those numbers before they hear of it."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")
        await until(partial(has, bob, "role", "admin"))
        await bob.call("set_group", chat="hikers", key="topic", value="one")
        await until(partial(has, alice, "topic", "one"))
        copy = bob.copy()
        await bob.call("set_group", chat="hikers", key="topic", value="two")
        for node in (alice, world.nodes["carol"]):
            await until(partial(has, node, "topic", "two"))
        for node in (alice, bob, world.nodes["carol"]):
            await node.stop()
        await world.sleep_days(8)
        world.put_back(copy)
        bob = await world.start("bob")
        await trio.sleep(3600)  # new keys are due, and nobody else is there to make them
        alice, carol = await world.start("alice"), await world.start("carol")
        await until(partial(has, bob, "topic", "two"))
        await bob.call("set_group", chat="hikers", key="topic", value="three")
        for node in (alice, carol):
            await until(partial(has, node, "topic", "three"))
            log = [one["text"] for one in await node.call("log", chat="hikers")]
            assert not any("different things" in text for text in log)
        await bob.call("send", chat="hikers", text="back")
        await reads(alice, "hikers", "back")

    run_world(tmp_path, main)


async def has(node: WorldNode, key: str, value: str) -> bool:
    group = await node.call("group", chat="hikers")
    return bool({**group, **group["settings"]}[key] == value)


def test_a_group_whose_log_is_too_long_for_newcomers_goes_on_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await befriend(alice, await world.start("dave"))
        monkeypatch.setattr(welcome, "fits", lambda events, size: False)
        with pytest.raises(NotNow, match="takes no more"):
            await alice.call("add_members", chat="hikers", contacts=["dave"])
        with monkeypatch.context() as patched:
            patched.setattr(welcoming, "can_send", lambda tx, row: True)
            await alice.call("add_members", chat="hikers", contacts=["dave"])
        await bob.engine.committer.submit(is_lost)
        await trio.sleep(600)
        assert await members(alice, "hikers") == {"me", "bob", "carol"}
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        assert [one["op"] for one in await alice.call("group_log", chat="hikers")][-1] == "remove"

    run_world(tmp_path, main)


def is_lost(tx: Transaction) -> None:
    """Ask for new keys."""
    (chat,) = store_groups.chats(tx.db)
    row = store_groups.get(tx.db, chat)
    assert row is not None
    outbound.queue(tx, tx.find("alice"), GroupLost(row.group_id))
