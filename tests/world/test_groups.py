"""Groups of people with real engines: founded, talked in, left and deleted."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest
import trio

from p2pchat.core.groups import events
from p2pchat.core.ids import ChatId, ContactId
from p2pchat.errors import NoSuchMember, NotNow, UsageError
from p2pchat.store.database import Database
from p2pchat.store.groups import members as store_members
from tests.support.group_worlds import found, has_members, reads, said, talk
from tests.support.world import World, WorldNode, befriend, run_world, until


def test_three_people_found_a_group_and_talk(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        await befriend(alice, bob)
        await befriend(alice, carol)
        made = await alice.call("create_group", name="hikers", contacts=["bob", "carol"])
        assert made["kind"] == "group"
        for node in (alice, bob, carol):
            await has_members(node, "hikers", 3)
            assert node.db.query("SELECT 1 FROM group_waiting") == []
        await alice.call("send", chat="hikers", text="hello")
        await bob.call("send", chat="hikers", text="hi from bob")
        await carol.call("send", chat="hikers", text="hi from carol")
        await reads(alice, "hikers", "hi from bob", "hi from carol")
        await reads(bob, "hikers", "hello", "hi from carol")
        await reads(carol, "hikers", "hello", "hi from bob")
        log = await talk(bob, "hikers")
        notices = [one["text"] for one in await bob.call("log", chat="hikers") if one["kind"] == "group"]
        assert notices[0].startswith("alice added ")
        assert "you" in notices[0]
        assert {one["from"] for one in log} == {"me", "alice", "carol"}
        assert {one["member"]["name"] for one in log if not one["mine"]} == {"alice", "carol"}

    run_world(tmp_path, main)


def test_several_are_removed_in_one_change_or_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dave = await found(world, "alice", "bob", "carol", "dave")
        for wrong in (["carol", "nobody"], ["carol", "alice"]):
            with pytest.raises((NoSuchMember, UsageError)):
                await alice.call("remove_member", chat="hikers", member="bob", others=wrong)
        with monkeypatch.context() as patched:
            patched.setattr(events, "MAX_REMOVED", 2)
            with pytest.raises(UsageError, match="At most 2 members"):
                await alice.call("remove_member", chat="hikers", member="bob", others=["carol", "dave"])
        assert (await alice.call("group", chat="hikers"))["members"] == 4
        await alice.call("remove_member", chat="hikers", member="bob", others=["carol", "bob"], reason="spam")
        await has_members(dave, "hikers", 2)
        await alice.call("send", chat="hikers", text="the two of us")
        await reads(dave, "hikers", "the two of us")
        removals = [one for one in await dave.call("group_log", chat="hikers") if one["op"] == "remove"]
        (text,) = [one["text"] for one in removals]
        assert text.startswith(("alice removed bob and carol: spam", "alice removed carol and bob: spam"))
        for node in (bob, carol):

            async def is_out(node: WorldNode = node) -> bool:
                return (await node.call("group", chat="hikers"))["role"] is None

            await until(is_out)

    run_world(tmp_path, main)


def test_who_was_removed_reads_nothing_that_is_said_after(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("remove_member", chat="hikers", member="bob", reason="spam")
        await has_members(carol, "hikers", 2)
        await alice.call("send", chat="hikers", text="among us")
        await reads(carol, "hikers", "among us")
        await carol.call("send", chat="hikers", text="yes")
        await reads(alice, "hikers", "yes")
        await trio.sleep(3600)
        assert await said(bob, "hikers") == []
        (chat,) = [one for one in await bob.call("chats") if one["name"] == "hikers"]
        assert chat["state"] == "left"
        assert (await bob.call("group", chat="hikers"))["role"] is None
        with pytest.raises(NotNow):
            await bob.call("send", chat="hikers", text="hello?")
        assert [one["text"] for one in await carol.call("group_log", chat="hikers")][
            -1
        ] == "alice removed bob: spam; everybody has seen it."

    run_world(tmp_path, main)


def test_the_chat_of_a_group_that_was_left_can_be_deleted_with_all_of_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("send", chat="hikers", text="hello")
        await reads(bob, "hikers", "hello")
        with pytest.raises(NotNow):
            await bob.call("forget", contact="hikers", history=True)
        await bob.call("clear", chat="hikers")
        assert await bob.call("log", chat="hikers") == []
        await bob.call("leave_group", chat="hikers")
        await trio.sleep(10)
        await bob.call("clear", chat="hikers")
        assert [one["name"] for one in await bob.call("chats")] == ["alice"]
        tables = bob.db.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'group%'")
        assert not any(bob.db.query(f"SELECT 1 FROM {table} LIMIT 1") for (table,) in tables)

    run_world(tmp_path, main)


def test_eight_people_who_all_know_only_the_founder(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        names = ("ann", "bo", "cy", "dot", "ed", "flo", "gus", "hal")
        people = await found(world, *names)
        await people[3].stop()
        for node in (one for one in people if one is not people[3]):
            await node.call("send", chat="hikers", text=f"{node.name} was here")
        people[3] = await world.start("dot")
        await people[3].call("send", chat="hikers", text="dot was here")
        for node in people:

            async def complete(node: WorldNode = node) -> bool:
                return len(await said(node, "hikers")) >= 7

            await until(complete)
            assert sorted(await said(node, "hikers")) == [f"{name} was here" for name in names if name != node.name]
        await people[0].call("remove_member", chat="hikers", member="hal", ban=True)
        for node in people[:7]:
            await has_members(node, "hikers", 7)
        await people[1].call("send", chat="hikers", text="seven of us")
        for node in people[2:7]:

            async def heard(node: WorldNode = node) -> bool:
                return "seven of us" in await said(node, "hikers")

            await until(heard)
        assert "seven of us" not in await said(people[7], "hikers")

    run_world(tmp_path, main)


def test_the_name_of_an_author_is_looked_up_once_for_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[frozenset[ContactId]]()
    names = store_members.names

    def counting(db: Database, chat: ChatId, senders: Collection[ContactId]) -> dict[ContactId, str]:
        if senders:
            asked.append(frozenset(senders))
        return names(db, chat, senders)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        with monkeypatch.context() as patched:
            patched.setattr(store_members, "names", counting)
            await alice.call("send", chat="hikers", text="hello")
            await trio.sleep(60)
        for node in (bob, carol):
            assert await said(node, "hikers") == ["hello"]
        assert len(asked) == 2, "by each of those who were told of it"

    run_world(tmp_path, main)
