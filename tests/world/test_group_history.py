"""What newcomers of a group read of the time before they joined."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.content import Content, encode_content, new_message_id
from p2pchat.core.contents import GroupHistory, Text
from p2pchat.core.groups import messages, welcome
from p2pchat.core.groups.chains import Chain
from p2pchat.core.ids import EventId
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.groups import past
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups import records
from tests.support.group_worlds import found, has_members, reads
from tests.support.world import World, WorldNode, befriend, run_world, until


async def says(node: WorldNode, text: str, *others: WorldNode) -> str:
    """Say something, and wait until the others have read it; return its id."""
    sent = await node.call("send", chat="hikers", text=text)
    for other in others:
        await until(lambda other=other: has_read(other, text))  # type: ignore[misc]
    id: str = sent["id"]
    return id


async def has_read(node: WorldNode, text: str) -> bool:
    return text in await node.texts("hikers")


async def texts(node: WorldNode) -> list[dict[str, Any]]:
    return [one for one in await node.call("log", chat="hikers") if one["kind"] == "text"]


async def add(alice: WorldNode, world: World, name: str, count: int) -> WorldNode:
    node = await world.start(name)
    await befriend(alice, node)
    await alice.call("add_members", chat="hikers", contacts=[name])
    await has_members(node, "hikers", count)
    return node


def test_newcomers_read_what_the_group_lets_them_signed_by_its_authors(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await says(alice, "before anybody kept it", bob)
        carol = await add(alice, world, "carol", 3)
        assert await texts(carol) == []
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await until(lambda: keeps(bob))
        await says(bob, "from bob", alice, carol)
        gone = await says(alice, "taken back", bob, carol)
        await alice.call("delete", id=gone, for_both=True)
        changed = await says(alice, "mispelled", bob, carol)
        await alice.call("edit", id=changed, text="misspelled")
        await says(carol, "from carol", alice, bob)
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)
        await says(alice, "from alice", bob)

        dave = await add(alice, world, "dave", 3)
        await until(lambda: has_read(dave, "from alice"))
        shown = await texts(dave)
        assert [one["text"] for one in shown] == ["from bob", "from carol", "from alice"]
        assert [one["member"]["name"] for one in shown] == ["bob", "carol", "alice"]
        assert {one["route"] for one in shown} == {"history"}
        assert [one["unread"] for one in await dave.call("chats") if one["name"] == "hikers"] == [0]
        await says(bob, "hello dave", dave)
        assert (await texts(dave))[-1]["route"] != "history"

    run_world(tmp_path, main)


async def keeps(node: WorldNode) -> bool:
    return bool((await node.call("group", chat="hikers"))["settings"]["history"] == 50)


def test_nothing_is_kept_for_newcomers_once_they_are_to_read_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await until(lambda: keeps(bob))
        await says(bob, "while it was on", alice)
        assert alice.db.query("SELECT count(*) FROM group_records") == [(1,)]
        for value in ("0", "50"):
            await alice.call("set_group", chat="hikers", key="history", value=value)
        for node in (alice, bob):

            async def kept_none(node: WorldNode = node) -> bool:
                return node.db.query("SELECT count(*) FROM group_records") == [(0,)]

            await until(kept_none)

    run_world(tmp_path, main)


def test_whoever_adds_cannot_put_words_into_anybodys_mouth(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await until(lambda: keeps(bob))
        await says(bob, "my words", alice)
        carol = await add(alice, world, "carol", 3)
        await until(lambda: has_read(carol, "my words"))

        def forge(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            (record,) = records.newest(tx.db, chat, 50)
            true = messages.open_record(record, row.group_id)
            said = Content(Text("not my words"), new_message_id(tx.now, tx.random), 9, tx.now)
            for member in (true.member, row.member):
                forged = messages.GroupMessage(
                    true.group, true.epoch, member, 9, (), (), encode_content(said), true.signature
                )
                (part,) = welcome.cut_history(row.group_id, [messages.encode_record(forged), record])
                contact = next(
                    tx.contact(contact)
                    for id, contact in store_members.contacts_in(tx.db, chat)
                    if store_members.shown_name(tx.db, chat, id) == "carol"
                )
                assert contact is not None
                outbound.queue(tx, contact, GroupHistory(part))

        await alice.engine.committer.submit(forge)
        await says(alice, "and now", carol)
        await reads(carol, "hikers", "my words", "and now")

    run_world(tmp_path, main)


def test_a_block_holds_for_what_was_written_before_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await until(lambda: keeps(bob))
        carol = await world.start("carol")
        for node in (alice, bob):
            await befriend(node, carol)
        await alice.call("add_members", chat="hikers", contacts=["carol"])
        await has_members(carol, "hikers", 3)

        async def is_known() -> bool:
            members = (await carol.call("group_members", chat="hikers"))["members"]
            return any(one["contact"] == "bob" for one in members)

        await until(is_known)
        await carol.call("block", contact="bob")
        await says(bob, "you cannot stop me", alice)

        def send(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            past.send(tx, row, tx.find("carol"))

        await alice.engine.committer.submit(send)
        await says(alice, "stop whom?", carol)
        await reads(carol, "hikers", "stop whom?")

    run_world(tmp_path, main)


def test_who_joins_by_an_invite_reads_it_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await until(lambda: keeps(bob))
        await says(bob, "for whoever comes", alice)
        carol = await world.start("carol")
        await carol.call("add", invite=(await alice.call("group_invite", chat="hikers"))["text"])
        await has_members(carol, "hikers", 3)
        await until(lambda: has_read(carol, "for whoever comes"))

    run_world(tmp_path, main)


def test_what_somebody_wrote_who_may_only_read_is_not_shown_to_newcomers_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds somebody may have kept it all the same, and it is signed."""

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await until(lambda: keeps(bob))
        await alice.call("set_role", chat="hikers", member="bob", role="observer")
        await add(alice, world, "carol", 3)  # a new epoch, in which he is one
        await has_members(bob, "hikers", 3)
        with monkeypatch.context() as lying:
            lying.setattr(group_rules, "check_post", lambda *_: None)
            lying.setattr(group_rules, "may_post", lambda *_: True)
            await says(bob, "I only read", alice)
        await says(alice, "and I write", bob)
        assert alice.db.query("SELECT count(*) FROM group_records") == [(2,)]
        dave = await add(alice, world, "dave", 4)
        await until(lambda: has_read(dave, "and I write"))
        assert [one["text"] for one in await texts(dave)] == ["and I write"]

    run_world(tmp_path, main)


def test_what_the_rules_of_then_did_not_let_somebody_write_is_not_shown_to_newcomers_either(tmp_path: Path) -> None:
    """bob's node does not keep the rules, and alice's hands newcomers what nobody was shown."""

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_group", chat="hikers", key="history", value="50")
        await until(lambda: keeps(bob))
        carol = await add(alice, world, "carol", 3)
        await has_members(bob, "hikers", 3)
        written, seq = list[bytes](), 100

        async def writes(text: str) -> None:
            """Sign a text with what he knows of the group now."""
            nonlocal seq
            seq += 1

            def sign(tx: Transaction) -> bytes:
                (chat,) = store_groups.chats(tx.db)
                row = store_groups.get(tx.db, chat)
                assert row is not None
                assert row.epoch is not None
                said = encode_content(Content(Text(text), new_message_id(tx.now, tx.random), seq, tx.now))
                heads = [EventId(row.heads[start : start + 32]) for start in range(0, len(row.heads), 32)]
                chain, seed = Chain(bytes(32), seq), row.sign_seed
                made = messages.write(row.group_id, row.epoch, row.member, seed, chain, heads, (), said, tx.random)
                return messages.encode_record(made.message)

            written.append(await bob.engine.committer.submit(sign))

        async def rule(key: str, value: str, shown: object) -> None:
            await alice.call("set_group", chat="hikers", key=key, value=value)
            for node in (bob, carol):

                async def there(node: WorldNode = node) -> bool:
                    return bool((await node.call("group", chat="hikers"))["settings"][key] == shown)

                await until(there)

        async def is_shown(*wanted: str) -> None:
            def send(tx: Transaction) -> None:
                (chat,) = store_groups.chats(tx.db)
                row = store_groups.get(tx.db, chat)
                assert row is not None
                for part in welcome.cut_history(row.group_id, written):
                    outbound.queue(tx, tx.find("carol"), GroupHistory(part))
                outbound.nudge(tx, tx.find("carol"))

            await alice.engine.committer.submit(send)
            await alice.call("send", chat="carol", text="all sent", wait="delivered")
            assert {one["text"] for one in await texts(carol)} == {*wanted}

        await writes("before any rule")
        await rule("locked", "yes", True)
        await writes("while it is locked")
        await rule("locked", "no", False)
        await rule("slow_mode", "60", 60)
        await trio.sleep(61)
        await writes("slowly")
        await trio.sleep(10)
        await writes("too fast")
        await rule("slow_mode", "0", 0)
        await writes("as fast as I want")
        shown = ("before any rule", "slowly", "as fast as I want")
        await is_shown(*shown)
        await writes("before the mute")
        await alice.call("mute_member", chat="hikers", member="bob", seconds=3600)
        for node in (bob, carol):
            await until(partial(is_muted, node))
        await writes("while he is muted")
        await is_shown(*shown)
        await trio.sleep(2 * 3600)
        await is_shown(*shown, "before the mute")

    run_world(tmp_path, main)


async def is_muted(node: WorldNode) -> bool:
    (chat,) = store_groups.chats(node.db)
    return any(member.muted_until for member in store_members.all(node.db, chat))
