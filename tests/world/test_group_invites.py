"""Groups that strangers join by an invite: with and without somebody who decides, and what is left of it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.contents import Text
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import joining, links
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import InviteExpired, NoSuchContact, NotNow, NotReached, UsageError
from p2pchat.lib.times import DAY_SECONDS, HOUR_MS, HOUR_SECONDS
from p2pchat.store import contacts as store_contacts
from tests.support.group_worlds import found, has_members, members, reads
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, befriend, run_world, until


async def join(node: WorldNode, text: str, words: str = "") -> None:
    asked = await node.call("add", invite=text, words=words)
    assert asked["group"]


async def asking(node: WorldNode, count: int) -> list[dict[str, str]]:
    """Wait until so many ask to join, and return them."""
    await until(lambda: has_requests(node, count))
    found: list[dict[str, str]] = await node.call("group_requests", chat="hikers")
    return found


async def has_requests(node: WorldNode, count: int) -> bool:
    return len(await node.call("group_requests", chat="hikers")) == count


def test_a_stranger_joins_by_an_invite_and_is_no_contact(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        carol = await world.start("carol")
        invite = await alice.call("group_invite", chat="hikers")
        await join(carol, invite["text"])
        for node in (alice, bob, carol):
            await has_members(node, "hikers", 3)
        await carol.call("send", chat="hikers", text="hello all")
        await reads(alice, "hikers", "hello all")
        await reads(bob, "hikers", "hello all")
        await bob.call("send", chat="hikers", text="welcome")
        await reads(carol, "hikers", "welcome")
        assert await carol.call("contacts") == []
        assert [one["name"] for one in await carol.call("chats")] == ["hikers"]
        assert [one["name"] for one in await alice.call("contacts")] == ["bob"]
        assert {one["name"] for one in await alice.call("chats")} == {"hikers", "bob"}
        assert await alice.call("requests") == []
        (listed,) = [one for one in await alice.call("invites") if one["id"] == invite["id"]]
        assert (listed["kind"], listed["label"], listed["uses"], listed["used_by"]) == ("group", "hikers", 1, [])
        assert not [event for event in carol.heard if event["event"] in ("contact", "joined")]
        assert await members(bob, "hikers") == {"me", "alice", "carol"}

    run_world(tmp_path, main)


def test_somebody_decides_about_those_who_ask(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        carol, eve = await world.start("carol"), await world.start("eve")
        invite = await alice.call("group_invite", chat="hikers", ask=True)
        await join(carol, invite["text"], "we met on the hill")
        (asked,) = await asking(alice, 1)
        assert (asked["name"], asked["words"]) == ("carol", "we met on the hill")
        assert asked["via"] == "hikers"
        await join(eve, invite["text"])
        await asking(alice, 2)
        await alice.call("answer_request", chat="hikers", id="eve", accept=False)
        await alice.call("answer_request", chat="hikers", id=asked["id"][:6])
        assert await alice.call("group_requests", chat="hikers") == []
        for node in (alice, bob, carol):
            await has_members(node, "hikers", 3)
        await bob.call("send", chat="hikers", text="who is there")
        await reads(carol, "hikers", "who is there")
        assert await alice.call("group_requests", chat="hikers") == []
        assert await eve.call("chats") == []
        with pytest.raises(NotNow):
            await carol.call("group_invite", chat="hikers")

    run_world(tmp_path, main)


def test_who_asks_is_let_in_days_later_and_for_a_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol, eve = await world.start("carol"), await world.start("eve")
        invite = await alice.call("group_invite", chat="hikers", ask=True)
        for node in (carol, eve):
            await join(node, invite["text"])
        await asking(alice, 2)
        await trio.sleep(50 * HOUR_SECONDS)
        await alice.call("answer_request", chat="hikers", id="carol")
        await has_members(carol, "hikers", 3)
        monkeypatch.setattr(links, "DECIDE_MS", 48 * HOUR_MS)
        await until(lambda: has_requests(alice, 0), DAY_SECONDS)
        monkeypatch.setattr(joining, "WAIT_MS", 48 * HOUR_MS)

        async def is_forgotten() -> bool:
            return await eve.engine.committer.read(store_contacts.for_groups) == []

        await until(is_forgotten, DAY_SECONDS)

    run_world(tmp_path, main)


async def awaited(node: WorldNode) -> list[str]:
    return [group["name"] for group in await node.call("joining")]


def test_who_asks_is_told_which_group_is_waited_for(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol, dan = await world.start("carol"), await world.start("dan")
        await befriend(alice, dan)
        invite = await alice.call("group_invite", chat="hikers", ask=True, uses=1)
        for node in (carol, dan):
            await join(node, invite["text"])
        await asking(alice, 2)
        assert await awaited(carol) == await awaited(dan) == ["hikers"]
        for node in (carol, dan):
            with pytest.raises(NotNow, match="Waiting for an admin of hikers to let you in"):
                await node.call("group", chat="Hikers")
        listed = {one["name"]: one["requests"] for one in await alice.call("chats")}
        assert listed == {"hikers": 2, "bob": 0, "dan": 0}
        assert (await alice.call("group", chat="hikers"))["requests"] == 2
        await alice.call("answer_request", chat="hikers", id="carol")
        await has_members(carol, "hikers", 3)
        assert await awaited(carol) == []

        async def is_refused() -> bool:
            return await awaited(dan) == []

        await until(is_refused)  # it was good for one
        assert (await alice.call("group", chat="hikers"))["requests"] == 0
        await alice.stop()
        erin = await world.start("erin")
        with pytest.raises(NotReached):
            await erin.call("add", invite=invite["text"], timeout=5)
        assert await awaited(erin) == ["hikers"], "before anybody knows that they ask"

    run_world(tmp_path, main)


def test_an_invite_is_good_for_as_many_as_it_says(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol, dan = await world.start("carol"), await world.start("dan")
        invite = await alice.call("group_invite", chat="hikers", uses=1, role="observer")
        await join(carol, invite["text"])
        await has_members(carol, "hikers", 3)
        assert (await carol.call("group", chat="hikers"))["role"] == "observer"
        (listed,) = [each for each in await alice.call("invites") if each["id"] == invite["id"]]
        assert (listed["state"], listed["uses"]) == ("used", 1)
        with pytest.raises(InviteExpired):
            await dan.call("add", invite=invite["text"], timeout=60)
        await has_members(alice, "hikers", 3)
        for wrong in ({"uses": 0}, {"expires": 5}):
            with pytest.raises(UsageError):
                await alice.call("group_invite", chat="hikers", **wrong)

    run_world(tmp_path, main)


def test_a_contact_uses_an_invite_in_the_session_there_is(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol = await world.start("carol")
        await befriend(alice, carol)
        invite = await alice.call("group_invite", chat="hikers")
        answer = await carol.call("add", invite=invite["text"])
        assert (answer["group"], answer["state"], answer["name"]) == (True, "contact", "alice")
        for node in (alice, carol):
            await has_members(node, "hikers", 3)
        assert [one["name"] for one in await carol.call("contacts")] == ["alice"]
        assert await carol.call("requests") == []
        assert await alice.call("requests") == []

    run_world(tmp_path, main)


def test_who_was_met_in_a_group_can_become_a_contact(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol = await world.start("carol")
        await join(carol, (await alice.call("group_invite", chat="hikers"))["text"])
        await has_members(carol, "hikers", 3)
        with pytest.raises(NoSuchContact):
            await alice.call("send", chat="carol", text="psst")
        invite = await alice.call("invite")
        await carol.call("add", invite=invite["invite"])

        async def known() -> bool:
            return [one["name"] for one in await alice.call("contacts")] == ["bob", "carol"]

        await until(known)
        await alice.call("send", chat="carol", text="hi carol")
        await reads(carol, "alice", "hi carol")

    run_world(tmp_path, main)


def test_who_is_known_for_a_group_alone_cannot_write_to_us(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol = await world.start("carol")
        await join(carol, (await alice.call("group_invite", chat="hikers"))["text"])
        await has_members(carol, "hikers", 3)

        def whisper(tx: Transaction) -> None:
            (id,) = store_contacts.for_groups(tx.db)
            contact = tx.contact(id)
            assert contact is not None
            outbound.send(tx, contact, Text("psst"))

        await carol.engine.committer.submit(whisper)
        await carol.call("send", chat="hikers", text="aloud")
        await reads(alice, "hikers", "aloud")
        assert await alice.call("search", query="psst") == []
        assert {one["name"] for one in await alice.call("chats")} == {"hikers", "bob"}

    run_world(tmp_path, main)


@pytest.mark.parametrize("small", [True, False])
def test_who_was_known_for_joining_alone_is_forgotten(
    tmp_path: Path, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_PAIRWISE", 8 if small else 2)

    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol = await world.start("carol")
        await join(carol, (await alice.call("group_invite", chat="hikers"))["text"])
        await has_members(carol, "hikers", 3)
        await trio.sleep(26 * HOUR_SECONDS)
        for node in (alice, carol):
            assert len(await node.engine.committer.read(store_contacts.for_groups)) == int(small)

    run_world(tmp_path, main)


def test_who_was_removed_knows_those_of_the_group_for_a_day_yet(tmp_path: Path) -> None:
    """Only they can bring what says that the removal does not count."""

    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol = await world.start("carol")
        await join(carol, (await alice.call("group_invite", chat="hikers"))["text"])
        await has_members(carol, "hikers", 3)
        await trio.sleep(26 * HOUR_SECONDS)
        await alice.call("remove_member", chat="hikers", member="carol")
        await until(lambda: has_role(carol, None))
        await trio.sleep(3 * HOUR_SECONDS)
        assert len(await carol.engine.committer.read(store_contacts.for_groups)) == 1
        await world.sleep_days(1)
        await trio.sleep(3 * HOUR_SECONDS)
        assert await carol.engine.committer.read(store_contacts.for_groups) == []

    run_world(tmp_path, main)


async def mailing(world: World, name: str, relay: MailRelay) -> WorldNode:
    """Start a node that uses this relay."""
    node = await world.start(name)
    if not await node.call("relays"):
        await node.call("relays", add=relay.address)
    return node


def test_a_stranger_joins_through_relays_while_nobody_is_there(tmp_path: Path) -> None:
    """The maker of the invite, and whoever uses it, are never there at the same time."""

    async def main(world: World) -> None:
        relay = world.mailbox("relay")
        alice = await mailing(world, "alice", relay)
        await alice.call("create_group", name="hikers")
        invite = await alice.call("group_invite", chat="hikers")
        await trio.sleep(60)
        await alice.stop()
        carol = await mailing(world, "carol", relay)
        with pytest.raises(NotReached, match="stored at a relay"):
            await carol.call("add", invite=invite["text"], timeout=60)
        for _ in range(3):  # the first message, the keys, the welcome
            await trio.sleep(120)
            await carol.stop()
            alice = await mailing(world, "alice", relay)
            await trio.sleep(120)
            await alice.stop()
            carol = await mailing(world, "carol", relay)
        await has_members(carol, "hikers", 2)
        assert [one["name"] for one in await carol.call("chats")] == ["hikers"]

    run_world(tmp_path, main)


def test_who_was_banned_does_not_come_back_by_an_invite(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        carol = await world.start("carol")
        used, other = [await alice.call("group_invite", chat="hikers") for _ in range(2)]
        await join(carol, used["text"])
        await has_members(alice, "hikers", 3)
        await alice.call("remove_member", chat="hikers", member="carol", ban=True)
        await has_members(bob, "hikers", 2)
        states = {one["id"]: one["state"] for one in await alice.call("invites")}
        assert (states[used["id"]], states[other["id"]]) == ("revoked", "open")
        await carol.call("add", invite=other["text"])
        await trio.sleep(600)
        assert (await alice.call("group", chat="hikers"))["members"] == 2

    run_world(tmp_path, main)


def test_of_two_who_use_the_last_one_is_told_that_it_is_too_late(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carol, dan = await world.start("carol"), await world.start("dan")
        invite = await alice.call("group_invite", chat="hikers", uses=1, ask=True)
        await join(carol, invite["text"])
        await join(dan, invite["text"])
        first, second = await asking(alice, 2)
        await alice.call("answer_request", chat="hikers", id=first["id"])
        with pytest.raises(NoSuchContact):
            await alice.call("answer_request", chat="hikers", id=second["id"])
        await has_members(carol if first["name"] == "carol" else dan, "hikers", 3)
        await trio.sleep(60)
        late = dan if first["name"] == "carol" else carol
        told = [event["warning"] for event in late.heard if event["event"] == "node" and "warning" in event]
        assert told == ["You cannot join hikers: the invite has been used up."]
        assert await alice.call("group_requests", chat="hikers") == []

    run_world(tmp_path, main)


@pytest.mark.parametrize("how", ["leaves", "is made a member"])
def test_invites_end_with_the_right_to_invite(tmp_path: Path, how: str) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat="hikers", member="bob", role="admin")
        await until(lambda: has_role(bob, "admin"))
        invite = await bob.call("group_invite", chat="hikers")
        if how == "leaves":
            await bob.call("leave_group", chat="hikers")
        else:
            await alice.call("set_role", chat="hikers", member="bob", role="member")
            await until(lambda: has_role(bob, "member"))
        assert [one["state"] for one in await bob.call("invites") if one["id"] == invite["id"]] == ["revoked"]

    run_world(tmp_path, main)


async def has_role(node: WorldNode, role: str | None) -> bool:
    return bool((await node.call("group", chat="hikers"))["role"] == role)
