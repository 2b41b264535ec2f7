"""The mail of a hidden contact: no relay that nobody here chose sees us come, and none sees who else we are.

The program's own mailboxes on both sides, over made-up hosts: who went where is in `world.opened` and `world.dialled`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.ids import PeerKey, first_device
from p2pchat.core.relays import TheirQueue
from p2pchat.errors import P2PChatError
from p2pchat.net import multiaddrs
from p2pchat.net.circuit_only_host import CircuitOnlyHost
from p2pchat.store import queues as store_queues
from tests.support.boxed import FullRelay, full_relay, visits
from tests.support.world import FakeHost, World, WorldNode, befriend, run_world, until
from tests.world.test_circuits import reached_by
from tests.world.test_hidden import befriend_hidden, people


async def where(node: WorldNode, name: str) -> set[bytes]:
    """The relays at which somebody is told to leave something for this node."""
    contact = await node.id_of(name)
    return {row.relay for row in await node.engine.committer.read(store_queues.announced, contact)}


def tried(world: World, node: WorldNode, relay: FullRelay) -> bool:
    """Whether any host of a node has so much as dialled a relay, at its addresses."""
    ours, there = {host.peer for host in node.hosts}, set(relay.host.addresses())
    return any(here in ours and there & set(known) for here, _, known in world.dialled)


async def detail(node: WorldNode, check: str) -> list[str]:
    return [line["detail"] for line in await node.call("doctor") if line["check"] == check]


@pytest.mark.parametrize("has_own", [True, False])
def test_the_relay_of_a_hidden_contact_sees_nobody_come(tmp_path: Path, has_own: bool) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        own, theirs = await full_relay(world, "own", tmp_path), await full_relay(world, "theirs", tmp_path)
        alice, bob = await people(world, hill)
        await befriend_hidden(alice, bob, hides=alice)
        if has_own:
            await alice.call("relays", add=own.line)
        await bob.call("relays", add=theirs.line)
        await trio.sleep(600)
        await bob.stop()
        sent = await alice.call("send", chat="bob", text="are you there?")
        await trio.sleep(4 * 3600)
        assert not tried(world, alice, theirs)
        assert visits(world, alice, theirs) == set()
        assert await where(alice, "bob") == ({own.peer} if has_own else set())
        said = await alice.call("why", id=sent["id"])
        assert "hide your address from bob" in said["reason"]
        assert "relays add" in said["next"]
        (line,) = await detail(alice, "contact")
        assert "hide your address" in line
        assert ("nothing can be left for you" in line) is not has_own

    run_world(tmp_path, main)


def test_a_relay_that_both_chose_carries_it_and_sees_another_key(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill, shared = world.relay("hill"), await full_relay(world, "shared", tmp_path)
        alice, bob = await people(world, hill)
        carol = await world.start("carol")
        await befriend_hidden(alice, bob, hides=alice)
        await befriend(alice, carol)
        for node in (alice, bob):
            await node.call("relays", add=shared.line)
        await trio.sleep(600)
        before = len(shared.opened)
        await bob.stop()
        sent = await alice.call("send", chat="bob", text="to bob", wait="stored", timeout=600)
        assert sent["route"] == "mailbox"
        contact = await alice.id_of("bob")
        his = {
            qid
            for qid, row in await alice.engine.committer.read(store_queues.own)
            if row.device == first_device(contact)
        }
        theirs = await alice.engine.committer.read(store_queues.theirs, contact)
        his |= {TheirQueue(row.fetch, row.put_seed).queue.id for row in theirs}
        await alice.stop()
        bob = await world.start("bob")
        await until(lambda: heard(bob, "alice", "to bob"), 3600)
        await bob.call("send", chat="alice", text="to alice", wait="stored", timeout=600)
        await bob.stop()
        alice = await world.start("alice")
        await until(lambda: heard(alice, "bob", "to alice"), 3600)
        assert before < len(shared.opened)
        came = {key for key, qid in shared.opened if qid in his}
        assert len(came) >= 2  # of alice's, and of bob's
        assert came.isdisjoint({alice.host.peer, alice.hidden.peer})
        assert alice.host.peer in {key for key, _ in shared.opened}  # for what is carol's

    async def heard(node: WorldNode, by: str, text: str) -> bool:
        return text in await node.texts(by)

    run_world(tmp_path, main)


def test_an_invite_used_without_showing_the_address_looks_into_no_box_itself(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        ours, theirs = world.relay("ours"), await full_relay(world, "theirs", tmp_path)
        alice, bob = await world.start("alice"), await world.start("bob")
        await reached_by(bob, ours)
        await alice.call("relays", add=theirs.line)
        invite = (await alice.call("invite"))["invite"]
        await alice.stop()
        with pytest.raises(P2PChatError):
            await bob.call("add", invite=invite, hide=True, wait="accepted", timeout=60)
        await trio.sleep(3600)
        assert not tried(world, bob, theirs)
        await bob.call("relays", add=theirs.line)  # now a person here chose it
        await until(lambda: asked(bob), 600)
        assert {key for key, _ in visits(world, bob, theirs)} - {bob.host.peer, bob.hidden.peer}

    async def asked(node: WorldNode) -> bool:
        return (await node.call("contacts"))[0]["state"] == "waiting" and len(await detail(node, "relay")) == 1

    run_world(tmp_path, main)


def test_hiding_later_leaves_their_relay_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill, theirs = world.relay("hill"), await full_relay(world, "theirs", tmp_path)
        alice, bob = await people(world, hill)
        await befriend(alice, bob)
        await bob.call("relays", add=theirs.line)
        await trio.sleep(60)
        assert await where(alice, "bob") == {theirs.peer}
        assert visits(world, alice, theirs) == {(alice.host.peer, "direct")}
        await alice.call("hide", contact="bob")
        await trio.sleep(60)
        world.opened.clear()
        world.dialled.clear()
        assert await where(alice, "bob") == set()
        await bob.stop()
        await alice.call("send", chat="bob", text="hidden now")
        await trio.sleep(2 * 3600)
        await alice.stop()
        alice = await world.start("alice")
        await trio.sleep(3600)
        assert not tried(world, alice, theirs)

    run_world(tmp_path, main)


def test_a_circuit_by_our_own_relay_carries_it_with_a_key_for_each_contact(tmp_path: Path) -> None:
    """Where the contact's relay is itself a guest of a relay of ours, as a contact's node may be."""

    async def main(world: World) -> None:
        hill, theirs = world.relay("hill"), await full_relay(world, "theirs", tmp_path)
        alice, bob = await people(world, hill)
        carol = await world.start("carol")
        await reached_by(carol, hill)
        for other in (bob, carol):
            await befriend_hidden(alice, other, hides=alice)
            await other.call("relays", add=theirs.line)
        await alice.call("relays", add=multiaddrs.full(hill.peer, hill.addresses()[0]))
        hill.guests.add(theirs.peer)
        await trio.sleep(600)
        for other in (bob, carol):
            await other.stop()
            await alice.call("send", chat=other.name, text="by two hops", wait="stored", timeout=600)
        came = visits(world, alice, theirs)
        assert {route for _, route in came} == {"circuit"}
        keys = {key for key, _ in came}
        assert len(keys) >= 2
        assert not keys & {alice.host.peer, alice.hidden.peer}

    run_world(tmp_path, main)


def test_a_relay_of_ours_is_not_looked_for_where_a_hidden_contact_says(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay, trap = world.relay("relay"), "/ip4/10.66.0.1/tcp/9"
        host = FakeHost(world, "alice", world.entropy.random(32), listens=False)
        hidden = CircuitOnlyHost(host, lambda key: relay.addresses() if key == relay.peer else ())
        ways = [multiaddrs.circuit(trap, relay.peer), multiaddrs.circuit(trap, PeerKey(b"\x01" * 32)), trap]
        with pytest.raises(P2PChatError):
            await hidden.open(PeerKey(b"\x02" * 32), ways, "/x")
        ((_, _, known),) = world.dialled
        assert known == (multiaddrs.circuit(relay.addresses()[0], relay.peer),)

    run_world(tmp_path, main)
