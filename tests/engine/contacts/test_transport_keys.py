"""Transport keys that are replaced: contacts know the next one before it is used, and nobody is lost."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.engine.contacts import transport_keys
from p2pchat.engine.runtime import settings
from p2pchat.lib.times import DAY_MS
from p2pchat.store import meta
from tests.support.world import World, WorldNode, befriend, run_world, until


async def linked(one: WorldNode, other: WorldNode) -> bool:
    return one.engine.net.route(await one.id_of(other.name)) is not None


async def restarted(world: World, node: WorldNode) -> WorldNode:
    await node.stop()
    return await world.start(node.name)


def test_a_contact_who_was_told_ahead_dials_the_next_key(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        keys = alice.host.peer, alice.hidden.peer
        await world.sleep_days(8)
        await trio.sleep(60)
        alice = await restarted(world, alice)
        assert (alice.host.peer, alice.hidden.peer) == keys, "announced for less than a day"
        await until(lambda: linked(bob, alice), 60)
        await world.sleep_days(1)
        bob.host.walled = True  # only he can dial
        alice = await restarted(world, alice)
        assert not {alice.host.peer, alice.hidden.peer} & set(keys)
        assert await alice.engine.committer.read(meta.get, "next_transport") is None
        await until(lambda: linked(bob, alice), 60)
        assert (await bob.call("send", chat="alice", text="hello", wait="delivered"))["state"] == "delivered"

    run_world(tmp_path, main)


def test_a_key_waits_for_a_contact_who_has_not_heard_and_for_an_open_invite_but_not_for_ever(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        first = alice.host.peer
        await bob.stop()
        await world.sleep_days(8)
        await world.sleep_days(1)
        alice = await restarted(world, alice)
        assert alice.host.peer == first, "bob has not heard"
        bob = await world.start("bob")
        await until(lambda: linked(alice, bob), 600)
        await trio.sleep(60)
        invite = (await alice.call("invite"))["invite"]
        alice = await restarted(world, alice)
        assert alice.host.peer == first, "an invite names it"
        carol = await world.start("carol")
        await carol.call("add", invite=invite, wait="accepted", timeout=600)
        await trio.sleep(60)
        assert (await restarted(world, alice)).host.peer != first

    run_world(tmp_path, main)


def test_a_node_that_is_a_relay_for_its_contacts_keeps_its_key(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        await alice.engine.committer.submit(lambda tx: settings.set_relay_for_contacts(tx.db, True))
        keys = alice.host.peer, alice.hidden.peer
        for days in (8, 2):
            await world.sleep_days(days)
            alice = await restarted(world, alice)
        assert alice.host.peer == keys[0]
        assert alice.hidden.peer != keys[1]

    run_world(tmp_path, main)


def test_a_key_that_was_made_by_a_clock_that_was_ahead_is_used_all_the_same(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        first = alice.host.peer
        await world.sleep_days(8)
        decades = world.now() + 10_000 * DAY_MS
        await alice.engine.committer.submit(lambda tx: meta.put_int(tx.db, "next_transport_at", decades))
        await trio.sleep(3700)
        world.slept += 2 * DAY_MS
        assert (await restarted(world, alice)).host.peer != first

    run_world(tmp_path, main)


def test_nobody_delays_a_key_for_more_than_a_month(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        first = alice.host.peer
        await bob.stop()
        await world.sleep_days(8)
        assert (await restarted(world, alice)).host.peer == first
        world.slept += transport_keys.WAIT_AT_MOST_MS
        assert (await restarted(world, world.nodes["alice"])).host.peer != first

    run_world(tmp_path, main)


def test_somebody_can_have_the_next_key_made_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await trio.sleep(60)
        first = alice.host.peer
        before = await alice.call("keys")
        assert (before["next"], "after a week or so" in before["notice"]) == (None, True)
        await bob.stop()
        after = await alice.call("keys", rotate=True)
        assert after["next"] is not None
        assert after == {**await alice.call("keys", rotate=True), "unheard": False}, "one is enough"
        await trio.sleep(60)
        assert "waits until every contact has heard of it" in (await alice.call("keys"))["notice"]
        bob = await world.start("bob")
        await until(lambda: linked(alice, bob), 600)
        await world.sleep_days(1)
        state = await alice.call("keys")
        assert (state["unheard"], state["invites"]) == (False, False)
        alice = await restarted(world, alice)
        assert alice.host.peer != first
        assert (await alice.call("keys"))["next"] is None
        await until(lambda: linked(bob, alice), 600)

    run_world(tmp_path, main)


def test_a_relay_for_contacts_says_that_its_key_stays_and_an_open_invite_that_it_waits(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        await alice.call("invite", reusable=True)
        state = await alice.call("keys", rotate=True)
        assert (state["relay"], state["invites"]) == (False, True)
        assert "for an open invite that names the present one" in state["notice"]
        await alice.engine.committer.submit(lambda tx: settings.set_relay_for_contacts(tx.db, True))
        state = await alice.call("keys")
        assert (state["relay"], state["invites"]) == (True, False)
        assert "know it by its transport key, so that one stays" in state["notice"]

    run_world(tmp_path, main)
