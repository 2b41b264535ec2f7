"""Those who would join a group though nobody lets them in: their nodes send their keys again and again."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.contents import GroupAsk, GroupJoin, GroupOffer
from p2pchat.core.groups import welcome
from p2pchat.core.groups.epochs import LeafKeys
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.ids import GroupId, InviteId
from p2pchat.core.invite import invite_mark
from p2pchat.core.primitives import KEY_BYTES, sign_public
from p2pchat.core.session import standing_root
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import joining, links
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import contacts as store_contacts
from p2pchat.store import invites as store_invites
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups import links as store_links
from p2pchat.store.groups.links import JoinRequestRow
from tests.support.group_worlds import found, members
from tests.support.world import World, WorldNode, befriend, run_world
from tests.world.test_group_invites import asking, join


def new_keys(tx: Transaction, group: GroupId, name: str, contact: Contact) -> GroupJoin:
    """Make keys for a group, as somebody would who is to be added by a contact."""
    assert contact.identity is not None
    assert contact.device is not None
    pair = standing_root(tx.me, contact.identity, contact.device)
    seed, leaf = tx.random(KEY_BYTES), tx.random(KEY_BYTES)
    mine = LeafKeys(member_id(sign_public(seed)), leaf).leaf
    return GroupJoin(group, welcome.make_join_keys(group, seed, mine, name, pair), "")


async def insist(node: WorldNode, group: GroupId) -> None:
    """Send new keys to everybody who is known for a group alone, as if they had been asked for."""

    def act(tx: Transaction) -> None:
        for id in store_contacts.for_groups(tx.db):
            contact = tx.contact(id)
            assert contact is not None
            outbound.queue(tx, contact, new_keys(tx, group, node.name, contact))

    await node.engine.committer.submit(act)
    await trio.sleep(60)


async def group_of(node: WorldNode) -> GroupId:
    def act(tx: Transaction) -> GroupId:
        (chat,) = store_groups.chats(tx.db)
        row = store_groups.get(tx.db, chat)
        assert row is not None
        return row.group_id

    return await node.engine.committer.submit(act)


def test_who_was_declined_does_not_get_in_by_asking_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        eve = await world.start("eve")
        await join(eve, (await alice.call("group_invite", chat="hikers", ask=True))["text"])
        await asking(alice, 1)
        await alice.call("answer_request", chat="hikers", id="eve", accept=False)
        await insist(eve, await group_of(alice))
        assert await members(alice, "hikers") == {"me", "bob"}
        assert await alice.call("group_requests", chat="hikers") == []

    run_world(tmp_path, main)


def test_who_is_too_late_does_not_get_in_by_asking_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol, eve = await world.start("carol"), await world.start("eve")
        invite = await alice.call("group_invite", chat="hikers", uses=1, ask=True)
        await join(carol, invite["text"])
        await join(eve, invite["text"])
        await asking(alice, 2)
        await alice.call("answer_request", chat="hikers", id="carol")
        await insist(eve, await group_of(alice))
        assert await members(alice, "hikers") == {"me", "bob", "carol"}

    run_world(tmp_path, main)


def test_who_answers_after_the_invite_was_revoked_does_not_get_in(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        eve = await world.start("eve")
        invite = await alice.call("group_invite", chat="hikers", ask=True)
        await join(eve, invite["text"])
        await asking(alice, 1)
        await alice.call("invites", revoke=invite["id"])
        await insist(eve, await group_of(alice))
        assert await alice.call("group_requests", chat="hikers") == []
        await insist(eve, await group_of(alice))
        assert alice.db.query("SELECT count(*) FROM group_offers") == [(0,)]
        assert await members(alice, "hikers") == {"me", "bob"}

    run_world(tmp_path, main)


def test_of_two_who_answer_at_once_as_many_get_in_as_the_invite_lets(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        for name in ("carol", "dan"):
            await befriend(alice, await world.start(name))

        def act(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            invite = links.make(tx, row, expires_s=86_400, uses=1, ask=False, role=Role.MEMBER)
            joins = []
            for name in ("carol", "dan"):
                contact = tx.find(name)
                store_links.ask(tx.db, JoinRequestRow(chat, contact.id, invite.id, None, tx.now))
                store_joins.offer(tx.db, chat, contact.id, int(Role.MEMBER), tx.now)
                joins.append((contact, new_keys(tx, row.group_id, name, contact)))
            joining.answered(tx, joins)

        await alice.engine.committer.submit(act)
        assert (await alice.call("group", chat="hikers"))["members"] == 3

    run_world(tmp_path, main)


def test_who_uses_an_invite_and_never_answers_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "offered", lambda *_: None)

    async def main(world: World) -> None:
        alice, eve = await world.start("alice"), await world.start("eve")
        await alice.call("create_group", name="hikers")
        await join(eve, (await alice.call("group_invite", chat="hikers"))["text"])
        await trio.sleep(600)
        assert alice.db.query("SELECT answer FROM group_requests") == [(None,)]
        await world.sleep_days(9)
        assert alice.db.query("SELECT count(*) FROM group_requests") == [(0,)]
        assert await alice.engine.committer.read(store_contacts.for_groups) == []

    run_world(tmp_path, main)


def test_nobody_joins_with_the_keys_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mallory was sent them by bob, as somebody who would add him. She would read under his name, and keep him out."""

    async def main(world: World) -> None:
        alice = await world.start("alice")
        for name in ("bob", "mallory"):
            await befriend(alice, await world.start(name))
        answered, answers = joining.answered, dict[str, GroupJoin]()

        def keep(tx: Transaction, joins: list[tuple[Contact, GroupJoin]]) -> None:
            answers.update({contact.name: answer for contact, answer in joins})

        with monkeypatch.context() as patched:
            patched.setattr(joining, "answered", keep)
            await alice.call("create_group", name="hikers", contacts=["bob", "mallory"])
            await trio.sleep(60)
        assert answers.keys() == {"bob", "mallory"}

        def answer(tx: Transaction, name: str, keys_of: str) -> None:
            answered(tx, [(tx.find(name), answers[keys_of])])

        await alice.engine.committer.submit(answer, "mallory", "bob")
        assert await members(alice, "hikers") == {"me"}
        await alice.engine.committer.submit(answer, "bob", "bob")
        assert await members(alice, "hikers") == {"me", "bob"}

    run_world(tmp_path, main)


def test_who_was_declined_is_not_offered_to_join_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        eve, carol = await world.start("eve"), await world.start("carol")
        invite = await alice.call("group_invite", chat="hikers", ask=True)
        for node in (eve, carol):
            await join(node, invite["text"])
        await asking(alice, 2)
        await alice.call("answer_request", chat="hikers", id="eve", accept=False)

        def ask_again(tx: Transaction) -> None:
            made = store_invites.get(alice.db, InviteId(bytes.fromhex(invite["id"])))
            assert made is not None
            for id in store_contacts.for_groups(tx.db):
                contact = tx.contact(id)
                assert contact is not None
                outbound.queue(tx, contact, GroupAsk(invite_mark(made.hello)))

        for node in (eve, carol):
            await node.engine.committer.submit(ask_again)
        await trio.sleep(60)
        assert [one["name"] for one in await alice.call("group_requests", chat="hikers")] == ["carol"]
        assert alice.db.query("SELECT count(*) FROM group_requests") == [(1,)]
        assert alice.db.query("SELECT count(*) FROM group_offers") == [(1,)]

    run_world(tmp_path, main)


@pytest.mark.parametrize(
    ("limit", "kept"), [(store_joins.MAX_JOINS + 5, store_joins.MAX_JOINS), (3, 3)], ids=["room", "a day"]
)
def test_a_contact_who_offers_groups_without_end_takes_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, kept: int
) -> None:
    monkeypatch.setattr(joining, "MAX_OFFERS_A_DAY", limit)

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)

        def offer(tx: Transaction) -> None:
            for _ in range(store_joins.MAX_JOINS + 5):
                outbound.queue(tx, tx.find("bob"), GroupOffer(GroupId(tx.random(32)), "made up", 9, False, 5_000))

        await alice.engine.committer.submit(offer)
        await alice.call("send", chat="bob", text="that was all", wait="delivered", timeout=600)
        assert bob.db.query("SELECT count(*) FROM group_joins") == [(kept,)]
        assert [one["name"] for one in await bob.call("chats")] == ["alice"]

    run_world(tmp_path, main)


def test_more_than_may_ask_at_a_time_are_not_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_REQUESTS", 2)

    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        invite = await alice.call("group_invite", chat="hikers", ask=True)
        for number in range(3):
            await join(await world.start(f"sybil {number}"), invite["text"])
            if number < 2:
                await asking(alice, number + 1)
        await trio.sleep(600)
        assert [one["name"] for one in await alice.call("group_requests", chat="hikers")] == ["sybil 0", "sybil 1"]

    run_world(tmp_path, main)
