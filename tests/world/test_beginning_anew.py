"""People who come again: with an old profile, another invite, another transport key, although they were blocked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.ids import ContactId, first_device
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import timestamp
from p2pchat.errors import InviteUsed, NotReached, UsageError
from p2pchat.store import contacts as store_contacts
from p2pchat.store import devices as store_devices
from p2pchat.store import invites as store_invites
from p2pchat.store import messages as store_messages
from p2pchat.store import meta
from p2pchat.store.database import Database
from tests.support.asking import events_of, has, linked, names, sessions_of
from tests.support.databases import KEY
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_renewal import live_sessions

DAY_S = 86_400


async def bob_lost_his_contacts(world: World, tmp_path: Path) -> tuple[WorldNode, WorldNode]:
    """Alice and bob are contacts, and bob's folder is from before that."""
    bob = await world.start("bob")
    await bob.stop()
    copy = bob.copy()
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    await bob.call("send", chat="alice", text="before", wait="delivered")
    await bob.stop()
    world.put_back(copy)
    return alice, await world.start("bob")


def test_who_begins_anew_has_to_be_accepted(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await bob_lost_his_contacts(world, tmp_path)
        await alice.call("send", chat="bob", text="undelivered")
        await bob.call("add", invite=(await alice.call("invite"))["invite"], name="alice")
        asked = await alice.call("requests")
        assert [(one["name"], one["known"]) for one in asked] == [("bob", True)]
        assert {key: value for key, value in events_of(alice, "request")[-1].items() if key != "event"} == asked[0]
        assert asked[0]["sas"] == (await bob.call("verify", contact="alice"))["sas"]
        await trio.sleep(3600)
        assert await names(bob) == {"alice": "waiting"}
        await alice.call("accept", contact="bob")
        await until(lambda: has(bob, "alice", ["undelivered"]))
        await bob.call("send", chat="alice", text="after", wait="delivered")
        assert await alice.texts("bob") == ["before", "after"]
        assert await names(alice) == {"bob": "contact"}

    run_world(tmp_path, main)


def test_the_safety_number_is_of_the_person_and_stays_verified(tmp_path: Path) -> None:
    """Who begins anew has proved the identity that was compared; the eight words are of the new beginning."""

    async def main(world: World) -> None:
        alice, bob = await bob_lost_his_contacts(world, tmp_path)
        before = await alice.call("verify", contact="bob", set=True)
        await trio.sleep(60)
        await bob.call("add", invite=(await alice.call("invite"))["invite"], name="alice")
        asked = (await alice.call("requests"))[0]
        added = world.nodes["alice"].clock() - 1000
        assert asked["since"] >= timestamp(added)  # of the request, not of the contact
        await alice.call("accept", contact="bob")
        after = await alice.call("verify", contact="bob")
        assert (after["safety_number"], after["verified"]) == (before["safety_number"], True)
        assert after["sas"] == asked["sas"] != before["sas"]
        assert (await bob.call("verify", contact="alice"))["safety_number"] == after["safety_number"]

    run_world(tmp_path, main)


def test_a_stranger_who_asks_is_not_known(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await bob.call("add", invite=(await alice.call("invite", ask=True))["invite"])
        assert [one["known"] for one in await alice.call("requests")] == [False]
        assert [one["known"] for one in events_of(alice, "request")] == [False]

    run_world(tmp_path, main)


def test_who_begins_anew_may_be_declined(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await bob_lost_his_contacts(world, tmp_path)
        await bob.call("add", invite=(await alice.call("invite"))["invite"], name="alice")
        await alice.call("decline", contact="bob")
        assert await alice.call("requests") == []
        assert await names(alice) == {"bob": "contact"}
        assert len(await sessions_of(alice, "bob")) == 1

    run_world(tmp_path, main)


def test_a_beginning_that_was_not_accepted_changes_nothing_of_a_contact(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        bob = await world.start("bob")
        await bob.stop()
        copy = bob.copy()
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        contact = await alice.id_of("bob")
        ways = await alice.engine.committer.read(ways_of, contact)
        await bob.stop()
        world.put_back(copy)
        thief = await world.start("bob", lambda node: move_house(world, node))
        await thief.call("add", invite=(await alice.call("invite"))["invite"], name="alice")
        assert len(await alice.call("requests")) == 1
        assert await alice.engine.committer.read(ways_of, contact) == ways
        assert await names(alice) == {"bob": "contact"}

    run_world(tmp_path, main)


def move_house(world: World, node: WorldNode) -> None:
    """Give a profile's next node another name and address."""
    node.host.name = "thief"
    with node.db.transaction():
        meta.put(node.db, "name", b"thief")


def ways_of(db: Database, contact: ContactId) -> list[Any]:
    return list(store_devices.ways(db, first_device(contact)))


def test_blocking_holds_whatever_they_come_with(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("block", contact="bob")
        await bob.call("send", chat="alice", text="why?")
        said = len([one for one in world.traffic if one[0] == "alice"])
        await trio.sleep(DAY_S)
        assert len([one for one in world.traffic if one[0] == "alice"]) == said
        assert not await linked(bob, "alice")
        await bob.stop()
        # the same identity, another transport key, no contacts, and a fresh invite
        db = Database.open(bob.folder / "p2pchat.db", KEY)
        with db.transaction():
            meta.put(db, "transport", world.entropy.random(32))
            for contact in store_contacts.all(db):
                store_contacts.remove(db, contact.id)
        db.close()
        bob = await world.start("bob")
        for how in ({}, {"ask": True}, {"reusable": True}):
            invite = (await alice.call("invite", **how))["invite"]
            with pytest.raises((NotReached, UsageError)):
                await bob.call("add", invite=invite, timeout=60)
        assert await alice.call("requests") == []
        assert await names(alice) == {"bob": "blocked"}
        assert await alice.engine.committer.read(lambda db: store_messages.newest(db, None, 10)) == []
        assert [row.state for row in await alice.engine.committer.read(store_invites.all)][1:] == ["open"] * 3

    run_world(tmp_path, main)


@pytest.mark.parametrize("reusable", [False, True])
@pytest.mark.parametrize("asks", ["alice", "bob"])
@pytest.mark.parametrize("dead", [False, True])
def test_two_contacts_begin_anew_by_a_fresh_invite(tmp_path: Path, asks: str, dead: bool, reusable: bool) -> None:
    """Either way round, whether their sessions still work or not."""

    async def main(world: World) -> None:
        nodes = {name: await world.start(name) for name in ("alice", "bob")}
        await befriend(nodes["alice"], nodes["bob"])
        asking, asked = nodes.pop(asks), next(iter(nodes.values()))
        if dead:
            await kill_sessions(asking, asked.name)
            await asking.call("send", chat=asked.name, text="undelivered")
            await asked.call("send", chat=asking.name, text="undelivered")
        invite = (await asked.call("invite", reusable=reusable))["invite"]
        added = await asking.call("add", invite=invite, timeout=120)
        assert (added["name"], added["state"], added["anew"]) == (asked.name, "contact", True)
        (request,) = await asked.call("requests")
        assert (request["name"], request["known"]) == (asking.name, True)
        assert await names(asking) == {asked.name: "contact"}
        if not dead:  # what is there goes on
            await asking.call("send", chat=asked.name, text="undelivered", wait="delivered")
            await asked.call("send", chat=asking.name, text="undelivered", wait="delivered")
        await asked.call("accept", contact=asking.name)
        await until(lambda: has(asked, asking.name, ["undelivered"]))
        await until(lambda: has(asking, asked.name, ["undelivered"]))
        for one, other in ((asking, asked), (asked, asking)):
            await one.call("send", chat=other.name, text="after", wait="delivered")
            assert (await one.call("verify", contact=other.name))["sas"] == request["sas"]
        live = [await live_sessions(asking, asked.name), await live_sessions(asked, asking.name)]
        assert live[0] == live[1]
        assert len(live[0]) == 1
        assert await asked.call("requests") == []

    run_world(tmp_path, main)


async def kill_sessions(node: WorldNode, name: str) -> None:
    """Nothing is left by which the two know each other."""
    contact = await node.id_of(name)

    def kill(tx: Transaction) -> None:
        for session in tx.sessions.all(first_device(contact)):
            tx.sessions.drop(first_device(contact), session.session_id)
        tx.change(contact, device=tx.random(32))
        tx.pairs_of.add(contact)

    await node.engine.committer.submit(kill)


def test_beginning_anew_goes_by_relays_too_and_may_be_refused_in_silence(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.mailbox("relay")
        alice, bob = await world.start("alice"), await world.start("bob")
        world.cut(alice, bob)
        await alice.call("relays", add=relay.address)
        await befriend(alice, bob)
        invite = (await alice.call("invite"))["invite"]
        with pytest.raises(NotReached) as raised:
            await bob.call("add", invite=invite, timeout=60)
        assert (raised.value.result or {})["anew"]
        await until(lambda: asked_by(alice, "bob"))
        await alice.call("decline", contact="bob")
        await bob.call("send", chat="alice", text="as before", wait="delivered", timeout=3600)
        again = (await alice.call("invite"))["invite"]
        with pytest.raises(NotReached):
            await bob.call("add", invite=again, timeout=60)
        await until(lambda: asked_by(alice, "bob"))
        await alice.call("accept", contact="bob")
        await bob.call("send", chat="alice", text="in the new session", wait="delivered", timeout=3600)
        assert not (await bob.call("add", invite=again, wait="accepted"))["anew"]
        assert len(bob.host.streams) == 0

    run_world(tmp_path, main)


async def asked_by(node: WorldNode, name: str) -> bool:
    return [one["name"] for one in await node.call("requests")] == [name]


def test_one_who_blocked_us_is_silent_when_we_begin_anew(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        invite = (await alice.call("invite"))["invite"]
        await alice.call("block", contact="bob")
        with pytest.raises(NotReached):
            await bob.call("add", invite=invite, timeout=60)
        assert await alice.call("requests") == []
        with pytest.raises(UsageError, match="blocked"):
            await alice.call("add", invite=(await bob.call("invite"))["invite"], timeout=60)

    run_world(tmp_path, main)


def test_an_invite_that_was_used_by_somebody_else_leaves_a_contact_as_it_is(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        await befriend(alice, bob)
        invite = (await alice.call("invite"))["invite"]
        await bob.stop()
        await carol.call("add", invite=invite, wait="accepted")
        bob = await world.start("bob")
        with pytest.raises((InviteUsed, NotReached)):
            await bob.call("add", invite=invite, timeout=60)
        await bob.call("send", chat="alice", text="as before", wait="delivered")

    run_world(tmp_path, main)
