"""Those who were removed, or whom nobody asked, and every way by which they could come into a group."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.ids import GroupId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import carriage, joining
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.store import contacts as store_contacts
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups.joins import JoinRow
from tests.support.group_worlds import found, has_members, members
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_group_admins import friends
from tests.world.test_group_invites import has_role, join
from tests.world.test_group_uninvited import group_of, new_keys


async def chats(node: WorldNode) -> set[str]:
    return {chat["name"] for chat in await node.call("chats")}


async def end_of(node: WorldNode, contact: str) -> None:
    """Wait until all that was said to a contact so far has arrived."""
    await node.call("send", chat=contact, text="that was all", wait="delivered", timeout=3000)


def test_nobody_comes_back_with_the_keys_from_before(tmp_path: Path) -> None:
    """The log passes such an add over, so they would be no member, but have the new keys by the welcome."""

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        ((sign, leaf, kem),) = carol.db.query("SELECT sign_seed, leaf_seed, kem_seed FROM groups")
        await alice.call("remove_member", chat="hikers", member="carol")
        await until(lambda: has_role(carol, None))

        def keep_old_keys(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            store_joins.add(tx.db, JoinRow(row.group_id, tx.find("alice").id, sign, leaf, kem, "hikers", tx.now))

        await carol.engine.committer.submit(keep_old_keys)
        epochs = alice.db.query("SELECT count(*) FROM group_epochs")
        await alice.call("add_members", chat="hikers", contacts=["carol"])

        async def answered() -> bool:
            await trio.lowlevel.checkpoint()
            return alice.db.query("SELECT count(*) FROM group_offers") == [(0,)]

        await until(answered)
        await end_of(alice, "carol")
        assert alice.db.query("SELECT count(*) FROM group_epochs") == epochs
        assert await members(alice, "hikers") == {"me", "bob"}
        await alice.call("add_members", chat="hikers", contacts=["carol"])
        for node in (alice, bob, carol):
            await has_members(node, "hikers", 3)

    run_world(tmp_path, main)


@pytest.mark.parametrize("by", ["who added them", "another admin"])
def test_an_answer_to_an_offer_from_before_the_removal_adds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Dave does not answer alice, lets bob add him, is removed, and answers alice then."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        dave = await world.start("dave")
        for node in (alice, bob):
            await befriend(node, dave)
        await alice.call("set_role", chat="hikers", member="bob", role="admin")
        await until(lambda: has_role(bob, "admin"))
        with monkeypatch.context() as patched:
            patched.setattr(joining, "offered", lambda *_: None)
            await alice.call("add_members", chat="hikers", contacts=["dave"])
            await end_of(alice, "dave")
        await bob.call("add_members", chat="hikers", contacts=["dave"])
        for node in (alice, bob, dave):
            await has_members(node, "hikers", 4)

        async def knows_dave() -> bool:
            page = await alice.call("group_members", chat="hikers")
            return "dave" in [one["contact"] for one in page["members"]]

        await until(knows_dave)
        assert alice.db.query("SELECT count(*) FROM group_offers") == [(1,)]
        remover = bob if by == "who added them" else alice
        await remover.call("remove_member", chat="hikers", member="dave")
        for node in (alice, bob):
            await has_members(node, "hikers", 3)

        def answer(tx: Transaction, group: GroupId) -> None:
            contact = tx.find("alice")
            outbound.queue(tx, contact, new_keys(tx, group, "dave", contact))

        await dave.engine.committer.submit(answer, await group_of(dave))
        await end_of(dave, "alice")
        assert alice.db.query("SELECT count(*) FROM group_offers") == [(0,)]
        assert (await alice.call("group", chat="hikers"))["members"] == 3

    run_world(tmp_path, main)


def test_who_was_banned_does_not_come_back_by_the_invites_of_another_admin(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")
        await until(lambda: has_role(bob, "admin"))
        carol = await world.start("carol")
        used, other = [await bob.call("group_invite", chat="hikers") for _ in range(2)]
        await join(carol, used["text"])
        for node in (alice, bob):
            await has_members(node, "hikers", 3)
        await alice.call("remove_member", chat="hikers", member="carol", ban=True)
        await has_members(bob, "hikers", 2)
        states = {one["id"]: one["state"] for one in await bob.call("invites")}
        assert (states[used["id"]], states[other["id"]]) == ("revoked", "open")
        await carol.call("add", invite=other["text"])
        await trio.sleep(600)
        assert (await bob.call("group", chat="hikers"))["members"] == 2

    run_world(tmp_path, main)


async def offer_to_strangers(node: WorldNode, group: str) -> None:
    """Found a group, and offer it to all who are known for a group alone."""
    await node.call("create_group", name=group)

    def act(tx: Transaction) -> None:
        row = store_groups.get(tx.db, tx.partner(group).group or tx.partner(group).chat)
        assert row is not None
        for id in store_contacts.for_groups(tx.db):
            contact = tx.contact(id)
            assert contact is not None
            joining.offer(tx, row, contact)

    await node.engine.committer.submit(act)


@pytest.mark.parametrize("who", ["who invited", "who was invited"])
def test_who_is_known_for_a_group_alone_adds_nobody_to_others(tmp_path: Path, who: str) -> None:
    """Only contacts add one without a question."""

    async def main(world: World) -> None:
        alice = await world.start("alice")
        await alice.call("create_group", name="hikers")
        carol = await world.start("carol")
        await join(carol, (await alice.call("group_invite", chat="hikers"))["text"])
        for node in (alice, carol):
            await has_members(node, "hikers", 2)
        by, to = (alice, carol) if who == "who invited" else (carol, alice)
        await offer_to_strangers(by, "casino")
        await by.call("send", chat="hikers", text="that was all")
        await trio.sleep(600)
        assert await chats(to) == {"hikers"}
        assert (await by.call("group", chat="casino"))["members"] == 1
        # By an invite of theirs one still joins another group, and the one that takes the place of this.
        if who == "who invited":
            await join(carol, (await alice.call("group_invite", chat="casino"))["text"])
            await has_members(carol, "casino", 2)
            await offer_to_strangers(alice, "bingo")
            await alice.call("succeed_group", chat="hikers", name="walkers")
            await has_members(carol, "walkers", 2)
            assert await chats(carol) == {"hikers", "casino", "walkers"}
            for chat in ("hikers", "casino", "walkers"):
                await carol.call("leave_group", chat=chat)
            await offer_to_strangers(alice, "again")
            await trio.sleep(600)
            assert "again" not in await chats(carol), "who has left is not added again"

    run_world(tmp_path, main)


def test_somebody_who_uses_an_invite_adds_its_maker_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They need not even join the group for which they are known."""

    async def main(world: World) -> None:
        alice = await world.start("alice")
        await alice.call("create_group", name="hikers")
        carol = await world.start("carol")
        with monkeypatch.context() as patched:
            patched.setattr(joining, "offered", lambda *_: None)
            await join(carol, (await alice.call("group_invite", chat="hikers"))["text"])
            await trio.sleep(60)
        await offer_to_strangers(carol, "casino")
        await trio.sleep(HOUR_SECONDS)
        assert await chats(alice) == {"hikers"}
        assert (await carol.call("group", chat="casino"))["members"] == 1

    run_world(tmp_path, main)


def test_whoever_comes_back_still_knows_what_the_welcome_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob removes carol and adds her again, and has not heard what alice had changed."""

    async def main(world: World) -> None:
        alice, bob, carol, _ = await friends(world)
        monkeypatch.setattr(carriage, "pass_on", lambda *_: None)
        world.cut(alice, bob)
        await alice.call("set_group", chat="hikers", key="topic", value="uphill")

        async def topic() -> bool:
            return bool((await carol.call("group", chat="hikers"))["topic"] == "uphill")

        await until(topic)
        world.cut(alice, carol)
        await bob.call("remove_member", chat="hikers", member="carol")
        await until(lambda: has_role(carol, None))
        await bob.call("add_members", chat="hikers", contacts=["carol"])
        await has_members(bob, "hikers", 4)
        await until(lambda: has_role(carol, "member"))
        for restarted in (False, True):
            if restarted:
                await carol.stop()
                carol = await world.start("carol")
            shown = await carol.call("group", chat="hikers")
            assert (shown["topic"], shown["members"], shown["role"]) == ("uphill", 4, "member")

    run_world(tmp_path, main)
