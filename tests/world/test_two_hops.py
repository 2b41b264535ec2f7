"""Two hops: one relay sees who comes, another which boxes they open, and neither sees both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import trio

from p2pchat.core.descriptors import open_descriptor
from p2pchat.core.files import BLOB_BYTES
from p2pchat.core.mailbox import FILES
from p2pchat.engine.contacts import relay_web
from p2pchat.net import multiaddrs
from p2pchat.store import contacts as store_contacts
from p2pchat.store import known_relays as store_known_relays
from tests.support.boxed import FullRelay, full_relay, visits
from tests.support.boxes import Keys, blob
from tests.support.mails import theirs
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


async def put_a_file(node: WorldNode, relay: FullRelay, *, hidden: bool = False) -> bool:
    """Put a blob into a file box; return whether the relay has it."""
    mailboxes = node.net.mailboxes
    at = replace(mailboxes.relay_at(relay.line), hidden=hidden)
    return await mailboxes.boxes.put(at, theirs(Keys(f"{node.name}'s files")), 24, [blob(1, BLOB_BYTES)]) == [0]


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
        for relay in relays:
            assert await put_a_file(alice, relay)
        ours = {host.peer for host in alice.hosts}
        for relay in relays:
            assert theirs(Keys("alice's files", FILES)).queue.id in {qid for _, qid in relay.opened}
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
        assert not await put_a_file(alice, relays[0])
        await trio.sleep(3600)
        (opened,) = [{key for key, _ in relay.opened} for relay in relays[:1]]
        assert opened.isdisjoint({host.peer for host in alice.hosts})
        assert not [row for row in await alice.call("relays") if row["state"] == "connected"]

    run_world(tmp_path, main)


def test_the_second_relay_does_not_choose_the_first(tmp_path: Path) -> None:
    """Bob's relay names two through which it can be reached: one that only it and bob tell of, as would be one that its
    operator runs too, and one that alice knows from her own. A third is in its own network.
    """

    async def main(world: World) -> None:
        names = ("hers", "his", "other", "made up", "beside")
        for number, name in enumerate(names):
            world.elsewhere[name] = f"/ip4/20.{number}.0.1/tcp/4001"
        world.elsewhere["beside"] = "/ip4/20.1.9.9/tcp/4001"
        hers, his, other, made_up, beside = relays = [
            await full_relay(world, name, tmp_path, listed=True) for name in names
        ]
        firsts = (made_up, beside, other)
        for first in firsts:
            first.host.guests.add(his.peer)
        his.knows(made_up)
        circuits = [multiaddrs.circuit(first.host.addresses()[0], first.peer) for first in firsts]
        his.listing._where = lambda: [*his.host.addresses(), *circuits]
        hers.knows(other, beside, his)
        world.hops["alice"] = 2
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await bob.call("relays", add=his.line)
        await alice.call("relays", add=hers.line)
        await trio.sleep(600)
        contact = store_contacts.get(alice.db, await alice.id_of("bob"))
        assert contact is not None
        await alice.engine.committer.submit(relay_web.told_by_contact, contact, [made_up.listing.own()])
        known = {open_descriptor(row.raw).relay for row in store_known_relays.all(alice.db)}
        assert known >= {his.peer, other.peer, made_up.peer}

        def tried() -> set[str]:
            """The relays through which alice has tried to reach bob's, or itself."""
            ours = {host.peer for host in alice.hosts}
            ways = {way for here, there, ways in world.dialled if here in ours and there == his.peer for way in ways}
            by = {multiaddrs.parse_target(way).relay or his.peer for way in ways}
            return {relay.host.name for relay in relays if relay.peer in by}

        await bob.stop()
        await alice.call("send", chat="bob", text="by one that she knows", wait="stored", timeout=3600)
        assert tried() == {"hers", "other"}
        assert keys_by(world, alice, his, "direct") == set()
        other.host.guests.clear()
        await alice.stop()
        alice = await world.start("alice")
        world.dialled.clear()
        await alice.call("send", chat="bob", text="waits")
        await trio.sleep(7200)
        assert tried() == {"hers", "other"}

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
        for relay in relays:
            assert await put_a_file(alice, relay, hidden=True)
        hidden = {host.peer for host in alice.others}
        for relay in relays:
            boxes = {key for key, _ in relay.opened if key in hidden}
            assert boxes
            assert boxes <= keys_by(world, alice, relay, "circuit")
            assert hidden.isdisjoint(keys_by(world, alice, relay, "direct"))

    run_world(tmp_path, main)
