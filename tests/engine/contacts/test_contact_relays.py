"""Relays of contacts: who is asked to be one when, what an answer does, and what those hear who could use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.content import Content, new_message_id
from p2pchat.core.contents import ContactRelay
from p2pchat.core.contents.relay import NO_RELAY
from p2pchat.core.delivery import Route
from p2pchat.core.ids import MessageId, PeerKey
from p2pchat.core.relays import Relay
from p2pchat.engine import contents
from p2pchat.engine.contacts import contact_relays
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, NotServed
from p2pchat.net import multiaddrs
from p2pchat.store import contacts as store_contacts
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from tests.support.world import World, WorldNode, befriend, run_world, until

PUBLIC = "/ip4/198.51.100.7/tcp/4001"


async def friends(world: World) -> tuple[WorldNode, WorldNode]:
    """Two friends, of whom bob dials alice."""
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    await bob.call("send", chat="alice", text="hi", wait="delivered")
    return alice, bob


def warnings(node: WorldNode) -> list[str]:
    return [event["warning"] for event in node.heard if event["event"] == "node"]


async def is_asked(node: WorldNode) -> bool:
    return bool((await node.call("status"))["could_relay"])


async def doctor(node: WorldNode) -> str:
    lines = {line["check"]: line["detail"] for line in await node.call("doctor")}
    return str(lines["offer"])


async def hears_of_it(node: WorldNode) -> dict[str, Any]:
    """The relay that a contact offers, once it is there."""

    async def listed() -> bool:
        return bool(await node.call("relays"))

    await until(listed)
    (one,) = await node.call("relays")
    assert isinstance(one, dict)
    return one


async def hears_no_more(node: WorldNode) -> None:
    async def empty() -> bool:
        return not await node.call("relays")

    await until(empty)


async def tokens(node: WorldNode) -> list[bytes]:
    return [row.token for row in await node.engine.committer.read(store_relays.all)]


# --- who is asked ---------------------------------------------------------------------------------------------------


def test_nobody_is_asked_where_the_internet_does_not_come(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        assert not await is_asked(alice)
        assert not await is_asked(bob)
        answer = await alice.call("offer")
        assert (answer["relay"], answer["reachable"]) == (None, False)
        assert await doctor(alice) == "This node is not a relay."
        assert answer["notice"].startswith(await doctor(alice))

    run_world(tmp_path, main)


def test_who_was_reached_from_outside_is_asked(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        world.found["alice"] = PUBLIC
        alice, bob = await friends(world)
        await bob.stop()
        bob = await world.start("bob")  # and dials her
        await until(lambda: is_asked(alice))
        assert not await is_asked(bob)
        answer = await alice.call("offer")
        assert (answer["relay"], answer["reachable"]) == (None, True)
        assert "could be a relay" in answer["notice"]
        assert "You hide" not in answer["notice"]
        assert "`p2pchat offer` says more" in await doctor(alice)
        assert "not" not in (await alice.call("offer", answer=True))["notice"].partition("A relay")[0]
        assert not await is_asked(alice)

    run_world(tmp_path, main)


def test_a_stranger_is_no_proof(tmp_path: Path) -> None:
    """Whoever is not a contact may lie beside us, or be us."""

    async def main(world: World) -> None:
        alice, _ = await friends(world)
        world.found["alice"] = PUBLIC
        spy = world.outsider("spy")
        with pytest.raises(NotServed):
            await spy.open(alice.host.peer, alice.host.addresses(), "/p2pchat/envelope/1")
        await trio.sleep(60)
        assert not (await alice.call("offer"))["reachable"]

    run_world(tmp_path, main)


def test_who_hides_is_told_what_it_shows(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        await alice.call("hide", contact="bob")
        for answer in (None, True, False):
            assert "You hide your address" in (await alice.call("offer", answer=answer))["notice"]

    run_world(tmp_path, main)


def test_a_no_is_kept_and_nobody_asks_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        assert (await alice.call("offer", answer=False))["relay"] is False
        world.found["alice"] = PUBLIC
        await bob.stop()
        await alice.stop()
        alice = await world.start("alice")
        bob = await world.start("bob")
        await bob.call("send", chat="alice", text="again", wait="delivered")
        await trio.sleep(10)
        assert not await is_asked(alice)
        answer = await alice.call("offer")
        assert (answer["relay"], answer["reachable"]) == (False, True)
        assert "not a relay" in answer["notice"]

    run_world(tmp_path, main)


def test_a_yes_holds_after_a_restart_with_the_same_token_and_keeps_the_node(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        assert not alice.engine.keeps_running()
        changed = alice.engine.relay_offer.changed
        await alice.call("offer", answer=True)
        assert changed.is_set()
        changed = alice.engine.relay_offer.changed
        await alice.call("offer", answer=True)
        assert not changed.is_set()
        token = await alice.engine.committer.read(contact_relays.token)
        assert len(token) == 64
        await alice.stop()
        alice = await world.start("alice")
        assert alice.engine.relay_offer.wanted
        assert alice.engine.keeps_running()
        assert await alice.engine.committer.read(contact_relays.token) == token
        assert "is a relay" in await doctor(alice)
        await alice.call("offer", answer=False)
        await alice.call("offer", answer=True)
        assert await alice.engine.committer.read(contact_relays.token) != token

    run_world(tmp_path, main)


# --- who hears of it ------------------------------------------------------------------------------------------------


def test_contacts_hear_of_it_once_and_take_it_if_they_like(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.call("offer", answer=True)
        offered = await hears_of_it(bob)
        address = multiaddrs.full(alice.host.peer, alice.host.addresses()[0])
        assert (offered["state"], offered["contact"], offered["address"]) == ("offered", "alice", address)
        assert not offered["used"]
        (told,) = warnings(bob)
        assert told.startswith("alice offers to be a relay")
        (taken,) = await bob.call("relays", add="alice")
        assert (taken["address"], taken["contact"], taken["used"]) == (address, "alice", True)
        assert await tokens(bob) == [await alice.engine.committer.read(contact_relays.token)]
        (left,) = await bob.call("relays", remove=address)
        assert (left["state"], await tokens(bob)) == ("offered", [])
        await bob.call("relays", add="alice")
        await alice.call("offer", answer=False)
        await hears_no_more(bob)
        assert await tokens(bob) == []
        await alice.call("offer", answer=True)
        assert (await hears_of_it(bob))["state"] == "offered"
        assert len(warnings(bob)) == 1

    run_world(tmp_path, main)


def test_who_becomes_a_contact_later_hears_of_it_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await alice.call("offer", answer=True)
        await befriend(alice, bob)
        assert (await hears_of_it(bob))["contact"] == "alice"

    run_world(tmp_path, main)


def test_who_takes_it_follows_its_address_and_its_token(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.call("offer", answer=True)
        await hears_of_it(bob)
        await bob.call("relays", add="alice")
        world.move("alice")
        alice.engine.upkeep.address_updates.changed()
        there = multiaddrs.pack(alice.host.addresses()[0])

        async def moved() -> bool:
            (row,) = await bob.engine.committer.read(store_relays.all)
            return row.addresses[0] == there

        await until(moved)
        (before,) = await tokens(bob)
        await bob.stop()
        await alice.call("offer", answer=False)
        await alice.call("offer", answer=True)
        bob = await world.start("bob")

        async def opens() -> bool:
            return await tokens(bob) == [await alice.engine.committer.read(contact_relays.token)] != [before]

        await until(opens)

    run_world(tmp_path, main)


def test_the_one_who_is_the_relay_deposits_nothing_with_herself(tmp_path: Path) -> None:
    """What she writes waits with her, and goes when its reader is here; nobody says that it lies at a relay."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.call("offer", answer=True)
        await hears_of_it(bob)
        await bob.call("relays", add="alice")
        await bob.call("send", chat="alice", text="now", wait="delivered")
        await bob.stop()
        await trio.sleep(60)
        assert await alice.engine.committer.read(store_queues.theirs) == []
        sent = await alice.call("send", chat="bob", text="later")
        assert (sent["state"], alice.engine.route(await alice.id_of("bob"))) == ("saved", None)

    run_world(tmp_path, main)


def test_from_whom_the_address_is_hidden_hears_nothing_of_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = world.relay("relay")
        relay.start()
        alice, bob = await friends(world)
        await alice.call("offer", answer=True)
        await hears_of_it(bob)
        for node in (alice, bob):
            node.use(relay)
        await alice.call("hide", contact="bob")
        await hears_no_more(bob)
        await trio.sleep(60)
        assert await bob.call("relays") == []

    run_world(tmp_path, main)


# --- whom it is taken from ------------------------------------------------------------------------------------------


def test_no_relay_is_taken_from_whom_one_hides_or_who_offers_none(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        with pytest.raises(NotNow, match="does not offer you a relay"):
            await bob.call("relays", add="alice")
        await alice.call("offer", answer=True)
        await hears_of_it(bob)
        await bob.call("relays", add="alice")
        await bob.call("hide", contact="alice")  # and she saw it by her relay
        assert await bob.engine.committer.read(store_relays.all) == []
        with pytest.raises(NotNow, match="hide your address"):
            await bob.call("relays", add="alice")

    run_world(tmp_path, main)


async def says(world: World, bob: WorldNode, relay: Relay | None) -> None:
    """Alice says whatever she likes about being a relay."""

    def hear(tx: Transaction) -> None:
        contact = store_contacts.find(tx.db, "alice")
        said = Content(ContactRelay(relay or NO_RELAY), new_message_id(tx.now, tx.random), 0, tx.now)
        contents.apply(tx, contact, said, Route.DIRECT)

    await trio.sleep(1)
    await bob.engine.committer.submit(hear)


def test_a_contact_says_nothing_about_relays_of_others(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        _, bob = await friends(world)
        ours = world.mailbox("ours", "word")
        await bob.stop()
        bob = await world.start("bob")  # now with mailboxes
        await bob.call("relays", add=ours.address)
        before = await bob.engine.committer.read(store_relays.all)
        elsewhere = multiaddrs.pack("/ip4/10.66.6.6/tcp/1")
        await says(world, bob, Relay(ours.peer, (elsewhere,), b"another"))
        with pytest.raises(NotNow, match="one of yours already"):
            await bob.call("relays", add="alice")
        assert len(await bob.call("relays")) == 1
        await says(world, bob, None)
        assert await bob.engine.committer.read(store_relays.all) == before

    run_world(tmp_path, main)


def test_a_contact_who_offers_again_and_again_is_heard_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        _, bob = await friends(world)
        for number in range(10):
            await says(world, bob, Relay(PeerKey(bytes([number]) * 32), (multiaddrs.pack(PUBLIC),)))
            await says(world, bob, None)
        assert len(warnings(bob)) == 1

    run_world(tmp_path, main)


def test_the_newest_counts(tmp_path: Path) -> None:
    """An older one that comes later changes nothing."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.call("offer", answer=True)
        await hears_of_it(bob)

        def hear(tx: Transaction) -> None:
            contact_relays.told(tx, store_contacts.find(tx.db, "alice"), MessageId(bytes(16)), Relay(PeerKey(b""), ()))

        await bob.engine.committer.submit(hear)
        assert await bob.call("relays")
        assert ContactRelay.KIND.latest_only

    run_world(tmp_path, main)
