"""Meeting by relays, in the world: invites, links, falling over, and back to a direct link."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.core.frames import ENVELOPE
from p2pchat.core.ids import first_device
from p2pchat.core.invite import read_invite
from p2pchat.engine.contacts.address_updates import HOLD_SECONDS, SETTLE_SECONDS
from p2pchat.net import multiaddrs
from p2pchat.net.links.judging import LOST_AFTER_SECONDS
from p2pchat.net.links.link import CIRCUIT_LINGER_SECONDS
from p2pchat.net.links.reconnect import IMPROVE_SECONDS
from p2pchat.store import devices as store_devices
from tests.support.meddler import Meddler
from tests.support.world import FakeRelay, World, WorldNode, befriend, run_world, until


async def behind_nats(world: World, *relays: FakeRelay) -> tuple[WorldNode, WorldNode]:
    """Alice and bob, whom nobody can dial, reached by these relays."""
    alice, bob = await world.start("alice"), await world.start("bob")
    for node in (alice, bob):
        node.host.walled = True
        await reached_by(node, *relays)
    return alice, bob


async def reached_by(node: WorldNode, *relays: FakeRelay) -> None:
    """Let a node be reached by these relays, and wait for it."""

    async def holds() -> bool:
        return circuits_of(node) == {relay.peer for relay in relays}

    node.use(*relays)
    await until(holds, 10)


def circuits_of(node: WorldNode, *, hidden: bool = False) -> set[bytes]:
    """The relays among the ways this node gives to others."""
    ways = [multiaddrs.unpack(packed) for _, packed in node.engine.net.ways(hidden=hidden)]
    return {relay for way in ways if (relay := multiaddrs.parse_target(way).relay) is not None}


async def known_ways(node: WorldNode, name: str) -> set[str]:
    """By which addresses this node knows a contact."""
    contact = await node.id_of(name)
    rows = await node.engine.committer.read(lambda db: store_devices.ways(db, first_device(contact)))
    return {multiaddrs.unpack(row.address) for row in rows}


async def route(node: WorldNode) -> str | None:
    (contact,) = await node.call("contacts")
    found: str | None = contact["route"]
    return found


async def goes(node: WorldNode, way: str | None) -> bool:
    return await route(node) == way


async def dial_again(node: WorldNode, name: str) -> None:
    """Have a contact dialled at what is known of them now, not when it is next due."""
    contact = await node.id_of(name)
    rows = await node.engine.committer.read(lambda db: store_devices.ways(db, first_device(contact)))
    node.engine.net.reach(contact, [(row.peer, row.address) for row in rows])


def test_two_whom_nobody_can_dial_meet_by_a_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await behind_nats(world, hill)
        invite = await alice.call("invite")
        first = read_invite(invite["invite"])[0].ways[0]
        assert multiaddrs.parse_target(multiaddrs.unpack(first.address)).relay == hill.peer
        assert "relay" in invite["notice"]
        await bob.call("add", invite=invite["invite"], wait="accepted")
        sent = await alice.call("send", chat="bob", text="over the hill", wait="delivered")
        assert sent["route"] == "circuit"
        await bob.call("send", chat="alice", text="and back", wait="delivered")
        for node in (alice, bob):
            assert await route(node) == "circuit"
            (contact,) = await node.call("contacts")
            log = await node.call("log", chat=contact["name"])
            assert [(row["text"], row["route"]) for row in log] == [
                ("over the hill", "circuit"),
                ("and back", "circuit"),
            ]
            doctor = {line["check"]: line["detail"] for line in await node.call("doctor")}
            assert "relay" in doctor["reachability"]
            assert "circuit" in doctor["contact"]

    run_world(tmp_path, main)


def test_without_a_relay_an_invite_says_what_it_needs(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        notice = (await alice.call("invite"))["notice"]
        assert "directly" in notice
        assert "relays add" in notice

    run_world(tmp_path, main)


def test_when_a_relay_is_killed_the_next_message_goes_by_another(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill, tower = world.relay("hill"), world.relay("tower")
        alice, bob = await behind_nats(world, hill, tower)
        await befriend(alice, bob)
        for number in range(4):
            await alice.call("send", chat="bob", text=f"{number}", wait="delivered")
            (used,) = {stream.by for stream in alice.host.streams if stream.by is not None}
            used.stop()
            began = trio.current_time()
            await bob.call("send", chat="alice", text=f"again {number}", wait="delivered", timeout=10)
            assert trio.current_time() - began <= 10
            hill, tower = (tower if used is hill else hill), world.relay("another")
            for node in (alice, bob):
                await reached_by(node, hill, tower)
            await until(lambda: all_told(alice, bob), 100)
        assert await bob.texts("alice") == [f"{number}" for number in range(4)]
        assert await alice.texts("bob") == [f"again {number}" for number in range(4)]

    run_world(tmp_path, main)


async def all_told(alice: WorldNode, bob: WorldNode) -> bool:
    """Whether each knows by which relays the other is reached."""
    for node, other in ((alice, bob), (bob, alice)):
        known = {multiaddrs.parse_target(way).relay for way in await known_ways(node, other.name)} - {None}
        if known != circuits_of(other):
            return False
    return True


def test_contacts_hear_of_a_new_relay_and_not_of_every_flutter(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        hill = world.relay("hill")
        alice.use(hill)
        await until(lambda: all_told(alice, bob), SETTLE_SECONDS + 2)
        meddler = Meddler(world)
        for _ in range(20):
            alice.use()
            await trio.sleep(1.4)
            alice.use(hill)
            await trio.sleep(1.3)
        await trio.sleep(2 * HOLD_SECONDS)
        assert 1 <= len(meddler.of(ENVELOPE, alice)) <= 4  # 40 changes in a minute
        assert await all_told(alice, bob)

    run_world(tmp_path, main)


def test_a_direct_link_takes_over_from_a_circuit_and_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await behind_nats(world, hill)
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="begin", wait="delivered")
        assert await route(alice) == await route(bob) == "circuit"
        await trio.sleep(60)
        dials = alice.host.dials
        await trio.sleep(IMPROVE_SECONDS / 3)
        assert alice.host.dials == dials  # it does not look all the time
        bob.host.walled = False
        await until(lambda: goes(alice, "direct"), IMPROVE_SECONDS)
        assert await route(bob) == "direct"
        for number in range(20):  # while the circuit is let go
            await alice.call("send", chat="bob", text=f"a{number}")
            await bob.call("send", chat="alice", text=f"b{number}")
            await trio.sleep(CIRCUIT_LINGER_SECONDS / 10)
        assert [stream for stream in (*alice.host.streams, *bob.host.streams) if stream.by is not None] == []
        await bob.call("send", chat="alice", text="end", wait="delivered")
        assert await bob.texts("alice") == ["begin", *(f"a{number}" for number in range(20))]
        assert await alice.texts("bob") == [*(f"b{number}" for number in range(20)), "end"]
        log = await alice.call("log", chat="bob")
        assert log[-1]["route"] == "direct"
        await trio.sleep(2 * IMPROVE_SECONDS)
        assert await route(alice) == "direct"

    run_world(tmp_path, main)


def test_new_addresses_are_looked_at_while_on_a_circuit(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill, tower = world.relay("hill"), world.relay("tower")
        alice, bob = await behind_nats(world, hill)
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="begin", wait="delivered")
        await trio.sleep(2 * HOLD_SECONDS)
        bob.host.walled = False
        bob.use(hill, tower)  # what they say of themselves is new
        await until(lambda: goes(alice, "direct"), 30)

    run_world(tmp_path, main)


def test_who_can_be_dialled_is_not_met_by_a_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await behind_nats(world, hill)
        alice.host.walled = bob.host.walled = False
        await befriend(alice, bob)
        sent = await alice.call("send", chat="bob", text="hi", wait="delivered")
        assert sent["route"] == "direct"

    run_world(tmp_path, main)


def test_a_circuit_that_goes_silent_takes_no_direct_link_with_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await behind_nats(world, hill)
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="begin", wait="delivered")
        await trio.sleep(60)
        world.cut(alice, hill)
        contact, net = await alice.id_of("bob"), alice.engine.net
        circuit = net._open.links.best(contact)  # type: ignore[attr-defined]
        await trio.sleep(circuit.judge.heard + LOST_AFTER_SECONDS - CIRCUIT_LINGER_SECONDS / 2 - trio.current_time())
        assert await route(alice) == "circuit"
        bob.host.walled = False
        await dial_again(alice, "bob")
        await until(lambda: goes(alice, "direct"), CIRCUIT_LINGER_SECONDS / 2)
        streams = {stream for stream in alice.host.streams if stream.route == "direct" and stream.peer == bob.host.peer}
        await trio.sleep(CIRCUIT_LINGER_SECONDS)
        assert streams <= alice.host.streams
        assert await route(alice) == await route(bob) == "direct"

    run_world(tmp_path, main, watched=True)


def test_a_circuit_stays_where_the_direct_link_did_not(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await behind_nats(world, hill)
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="begin", wait="delivered")
        await trio.sleep(60)
        circuits = [stream for stream in alice.host.streams if stream.by is hill]
        bob.host.walled = False
        await dial_again(alice, "bob")
        await until(lambda: goes(alice, "direct"), CIRCUIT_LINGER_SECONDS / 2)
        bob.host.walled = True
        for stream in [one for one in alice.host.streams if one.route == "direct" and one.there is bob.host]:
            stream.end()
        await until(lambda: goes(alice, "circuit"), 1)  # the one that was about to end
        await trio.sleep(3 * CIRCUIT_LINGER_SECONDS)
        assert [stream for stream in alice.host.streams if stream.by is hill] == circuits
        await alice.call("send", chat="bob", text="still here", wait="delivered", timeout=1)

    run_world(tmp_path, main)
