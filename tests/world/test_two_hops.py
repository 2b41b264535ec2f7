"""Two hops: one relay sees who comes, another which boxes they open, and neither sees both."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.support.boxed import FullRelay, full_relay, visits
from tests.support.world import World, WorldNode, befriend, run_world
from tests.world.test_hidden import befriend_hidden


async def two_relays(world: World, folder: Path) -> list[FullRelay]:
    """Two relays that each can be reached through the other, as their operators agreed."""
    one, two = [await full_relay(world, name, folder, listed=True) for name in ("one", "two")]
    one.host.guests.add(two.peer)
    two.host.guests.add(one.peer)
    return [one, two]


def keys_by(world: World, node: WorldNode, relay: FullRelay, route: str) -> set[bytes]:
    """The transport keys of a node that a relay has seen come by a route."""
    return {key for key, by in visits(world, node, relay) if by == route}


def test_no_relay_sees_both_who_comes_and_which_box_is_opened(tmp_path: Path) -> None:
    """Mail to alice and from her, through mailboxes alone. What each relay sees of her: her address with keys that open
    nothing there, and boxes opened by keys that came through the other.
    """

    async def main(world: World) -> None:
        relays = await two_relays(world, tmp_path)
        world.hops["alice"] = 2
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        for relay in relays:
            await alice.call("relays", add=relay.line)
        await bob.call("relays", add=relays[1].line)
        await trio.sleep(60)
        world.cut(alice, bob)
        await trio.sleep(60)
        await bob.call("send", chat="alice", text="in", wait="delivered", timeout=3600)
        await alice.call("send", chat="bob", text="out", wait="delivered", timeout=3600)
        ours = {host.peer for host in alice.hosts}
        for relay in relays:
            boxes = {key for key, _ in relay.opened if key in ours}
            assert boxes
            assert boxes <= keys_by(world, alice, relay, "circuit")
            assert boxes.isdisjoint(keys_by(world, alice, relay, "direct"))
            assert alice.host.peer in keys_by(world, alice, relay, "direct")
        for relay in relays:  # nobody leads there any more: mail waits, and nothing goes there directly
            relay.host.guests -= {other.peer for other in relays}
        await alice.stop()
        alice = await world.start("alice")
        await alice.call("send", chat="bob", text="not at any price")
        await trio.sleep(3600)
        (opened,) = [{key for key, _ in relay.opened} for relay in relays[:1]]
        assert opened.isdisjoint({host.peer for host in alice.hosts})
        assert not [row for row in await alice.call("relays") if row["state"] == "connected"]

    run_world(tmp_path, main)


def test_mail_of_hidden_contacts_goes_by_two_relays_where_one_leads_to_the_other(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relays = await two_relays(world, tmp_path)
        alice, bob = await world.start("alice"), await world.start("bob")
        for node in (alice, bob):
            for relay in relays:
                await node.call("relays", add=relay.line)
        await trio.sleep(60)
        await befriend_hidden(alice, bob, hides=alice)
        await trio.sleep(600)
        await bob.stop()
        await alice.call("send", chat="bob", text="by two", wait="stored", timeout=600)
        hidden = {host.peer for host in alice.others}
        for relay in relays:
            boxes = {key for key, _ in relay.opened if key in hidden}
            assert boxes
            assert boxes <= keys_by(world, alice, relay, "circuit")
            assert hidden.isdisjoint(keys_by(world, alice, relay, "direct"))

    run_world(tmp_path, main)
