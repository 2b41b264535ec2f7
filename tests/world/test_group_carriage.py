"""How what is said in a small group gets to everybody: once, late, and without the one who wrote it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupMeet, GroupWelcome, Payload
from p2pchat.core.ids import ContactId
from p2pchat.engine.contents import group_meet
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.group_limits import MEETS
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull
from p2pchat.store import partners
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from tests.support.group_worlds import found, has_members, reads, said, talk
from tests.support.world import World, WorldNode, befriend, run_world, until


def test_what_overtakes_a_welcome_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent after the welcome, and comes before; the newcomer could not follow the group without it."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        dave = await world.start("dave")
        await befriend(alice, dave)
        welcomes, queue = list[tuple[ContactId, GroupWelcome]](), outbound.queue

        def hold(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
            if isinstance(payload, GroupWelcome):
                welcomes.append((contact.id, payload))
            else:
                queue(tx, contact, payload, **more)

        with monkeypatch.context() as patched:
            patched.setattr(outbound, "queue", hold)
            await alice.call("add_members", chat="hikers", contacts=["dave"])
            await has_members(alice, "hikers", 4)
            await alice.call("remove_member", chat="hikers", member="carol")
            await alice.call("send", chat="hikers", text="hello, dave")
            await reads(bob, "hikers", "hello, dave")
            await trio.sleep(30)

        def send(tx: Transaction) -> None:
            for id, payload in welcomes:
                contact = tx.contact(id)
                assert contact is not None
                queue(tx, contact, payload)
                outbound.nudge(tx, contact)

        await alice.engine.committer.submit(send)
        await has_members(dave, "hikers", 3)
        await reads(dave, "hikers", "hello, dave")
        assert dave.db.query("SELECT 1 FROM group_parts") == []

    run_world(tmp_path, main)


def test_a_message_is_stored_once_somebody_has_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await bob.stop()
        await carol.stop()
        sent = await alice.call("send", chat="hikers", text="anybody?")
        assert "bob, carol" in (await alice.call("why", id=sent["id"]))["reason"]
        bob = await world.start("bob")
        await reads(bob, "hikers", "anybody?")

        async def stored() -> bool:
            (message,) = await talk(alice, "hikers")
            return bool(message["state"] == "stored")

        await until(stored)
        assert "carol" in (await alice.call("why", id=sent["id"]))["reason"]

    run_world(tmp_path, main)


def test_contacts_find_each_other_in_a_group_and_need_nobody_between_them(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        await befriend(alice, bob)
        await befriend(alice, carol)
        await befriend(bob, carol)
        await alice.call("create_group", name="hikers", contacts=["bob", "carol"])
        for node, others in ((bob, {"me", "alice", "carol"}), (carol, {"me", "alice", "bob"})):

            async def known(node: WorldNode = node, others: set[str] = others) -> bool:
                if not any(one["name"] == "hikers" for one in await node.call("chats")):
                    return False
                page = await node.call("group_members", chat="hikers")
                return {"me" if one["me"] else one["contact"] for one in page["members"]} == others

            await until(known)
        await alice.stop()
        await bob.call("send", chat="hikers", text="without alice")  # nobody else could have brought it
        await reads(carol, "hikers", "without alice")
        await carol.call("send", chat="hikers", text="yes")
        await reads(bob, "hikers", "yes")

    run_world(tmp_path, main)


def test_a_member_has_contacts_looked_for_a_few_times_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks that say nothing cost whoever has many contacts as much as those that do."""

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await trio.sleep(60)
        looked, pairs = list[None](), group_meet._pairs

        def count(tx: Transaction) -> list[tuple[Contact, bytes]]:
            looked.append(None)
            return pairs(tx)

        def send(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            group = partners.of(tx.db, chat)
            assert group is not None
            outbound.queue(tx, group, GroupMeet((bytes(8),)))

        monkeypatch.setattr(group_meet, "_pairs", count)
        for _ in range(3 * MEETS.burst):
            await bob.engine.committer.submit(send)
        await bob.call("send", chat="hikers", text="that was all")
        await reads(alice, "hikers", "that was all")
        assert 0 < len(looked) <= MEETS.burst

    run_world(tmp_path, main)


def test_what_is_repeated_on_the_way_shows_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        world.meddle = lambda stream, frame: [frame, frame]
        for node in (alice, bob, carol):
            for number in range(3):
                await node.call("send", chat="hikers", text=f"{node.name} {number}")
        await trio.sleep(120)
        for node, others in ((alice, "bob carol"), (bob, "alice carol"), (carol, "alice bob")):
            texts = await said(node, "hikers")
            for name in others.split():
                assert [text for text in texts if text.startswith(name)] == [f"{name} {n}" for n in range(3)]
            assert len(texts) == 6

    run_world(tmp_path, main)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        commit, refused = bob.db.commit, 0

        def full() -> None:
            nonlocal refused
            refused += 1
            if refused <= 3:
                raise DiskFull
            commit()

        bob.db.commit = full  # type: ignore[method-assign]
        with pytest.raises(DiskFull):
            await bob.call("send", chat="hikers", text="not saved")
        await alice.call("send", chat="hikers", text="saved later")
        await reads(bob, "hikers", "saved later")
        await bob.call("send", chat="hikers", text="and sent")
        await reads(alice, "hikers", "and sent")

    run_world(tmp_path, main)


def test_people_who_are_never_there_together_read_each_other_by_their_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("hill")
        nodes = {node.name: node for node in await found(world, "alice", "bob", "carol")}
        for node in nodes.values():
            await node.call("relays", add=relay.address)
        await trio.sleep(120)
        for node in nodes.values():
            await node.stop()

        async def visit(name: str, text: str, *expected: str) -> None:
            node = nodes[name] = await world.start(name)
            await reads(node, "hikers", *expected)
            await node.call("send", chat="hikers", text=text, wait="stored", timeout=600)
            await trio.sleep(300)
            await node.stop()

        await visit("alice", "alice was here")
        await visit("bob", "bob was here", "alice was here")
        await visit("carol", "carol was here", "alice was here")
        await visit("alice", "alice again", "bob was here", "carol was here")
        await visit("carol", "carol again", "alice was here", "bob was here", "alice again")
        await visit("bob", "bob again", "alice was here", "carol was here", "alice again")

    run_world(tmp_path, main)


def test_who_was_away_reads_what_somebody_said_before_their_removal(tmp_path: Path) -> None:
    """alice has both for bob. If carol told him of the removal first, he would not be shown what comes after it."""

    async def main(world: World) -> None:
        bob, carol = await world.start("bob"), await world.start("carol")
        await befriend(bob, carol)
        alice = await world.start("alice")
        dora = await world.start("dora")
        for node in (bob, carol, dora):
            await befriend(alice, node)
        await alice.call("create_group", name="hikers", contacts=["bob", "carol", "dora"])
        for node in (bob, carol, dora):
            await has_members(node, "hikers", 4)
        await until(partial(_knows, carol, "bob"))
        await bob.stop()
        await dora.call("send", chat="hikers", text="one more thing")
        for node in (alice, carol):
            await reads(node, "hikers", "one more thing")
        await alice.call("remove_member", chat="hikers", member="dora")
        await has_members(carol, "hikers", 3)
        await trio.sleep(60)
        world.cut(alice, bob)
        bob = await world.start("bob")
        await trio.sleep(600)
        world.mend(alice, bob)
        await has_members(bob, "hikers", 3)
        await reads(bob, "hikers", "one more thing")

    run_world(tmp_path, main)


async def _knows(node: WorldNode, name: str) -> bool:
    """Whether a node knows which member a contact is."""
    members = (await node.call("group_members", chat="hikers"))["members"]
    return any(one["contact"] == name for one in members)
