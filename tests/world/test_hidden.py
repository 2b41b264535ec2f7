"""A hidden contact never learns our address: not by packets, not by words, not by who answers where."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path

import pytest
import trio

from p2pchat.core import frames
from p2pchat.core.contents import Addresses, ContactProfile
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame, pack
from p2pchat.core.ids import ContactId, PeerKey, first_device
from p2pchat.core.invite import hello_key, join_tag, read_invite
from p2pchat.core.names import join_name, link_name
from p2pchat.core.session import Pair, hello_days, hello_tag
from p2pchat.engine.contacts import transport_keys
from p2pchat.errors import LinkLost, NotNow, NotReached, NotServed
from p2pchat.net import multiaddrs
from p2pchat.net.endpoint import LEAVE_AFTER
from p2pchat.net.frames import FrameReader
from p2pchat.net.ports import Stream
from p2pchat.ports import Relay
from p2pchat.store import outbox as store_outbox
from p2pchat.store.database import Database
from p2pchat.store.outbox import OutboxForm
from tests.support.databases import KEY
from tests.support.world import FakeHost, FakeRelay, World, WorldNode, befriend, run_world, until
from tests.world.test_circuits import circuits_of, goes, known_ways, reached_by, route


async def people(world: World, *relays: FakeRelay) -> tuple[WorldNode, WorldNode]:
    """Alice and bob, whom everybody can dial, reached by these relays too."""
    alice, bob = await world.start("alice"), await world.start("bob")
    for node in (alice, bob):
        await reached_by(node, *relays)
    return alice, bob


async def befriend_hidden(inviter: WorldNode, joiner: WorldNode, hides: WorldNode) -> None:
    """Make the two contacts; one of them hides from the other from the beginning."""
    invite = await inviter.call("invite", hide=hides is inviter)
    await joiner.call("add", invite=invite["invite"], wait="accepted", timeout=60, hide=hides is joiner)


def kept(db: Database) -> bytes:
    """Every value of a profile's database."""
    tables = [name for (name,) in db.query("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    values = [value for table in tables for row in db.query(f"SELECT * FROM {table}") for value in row]
    return b"\n".join(
        value.encode() if isinstance(value, str) else value for value in values if isinstance(value, bytes | str)
    )


def marks(node: WorldNode) -> list[bytes]:
    """What tells where a node is, or who answers there."""
    (address,) = node.host.addresses()
    packed = multiaddrs.pack(address)
    return [packed, packed[:8], address.encode(), address.split("/")[2].encode(), node.host.peer]


def between(world: World, one: WorldNode, other: WorldNode) -> set[str]:
    """By which routes the two have met since the beginning."""
    sides = [{node.host.peer, node.hidden.peer} for node in (one, other)]
    return {way for a, b, way in world.opened if (a in sides[0] and b in sides[1]) or (a in sides[1] and b in sides[0])}


def gone_to(world: World, node: WorldNode) -> set[bytes]:
    """Whom a node has gone to, by whatever route."""
    return {there for here, there, _ in world.opened if here in (node.host.peer, node.hidden.peer)}


async def talk(one: WorldNode, other: WorldNode, text: str) -> None:
    for by, to in ((one, other), (other, one)):
        sent = await by.call("send", chat=to.name, text=text, wait="delivered")
        assert sent["route"] == "circuit"


# --- from the first contact on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("hides", ["inviter", "joiner"])
def test_nothing_of_the_address_is_with_the_other_one(tmp_path: Path, hides: str) -> None:
    async def main(world: World) -> None:
        inviter, joiner = await people(world, world.relay("hill"), world.relay("tower"))
        hidden, other = (inviter, joiner) if hides == "inviter" else (joiner, inviter)
        await befriend_hidden(inviter, joiner, hidden)
        await talk(hidden, other, "hi")
        (contact,) = await hidden.call("contacts")
        assert contact["hidden"]
        await hidden.call("settings", read_receipts=False)  # the profile goes out again
        await reached_by(hidden, world.relay("mast"))  # and so do the ways
        await trio.sleep(7200)
        await talk(hidden, other, "still there")
        known = await other.engine.committer.read(kept)
        assert [mark for mark in marks(hidden) if mark in known] == []
        assert bytes(hidden.hidden.peer) in known
        assert between(world, hidden, other) == {"circuit"}
        for words in (
            await other.call("contacts"),
            await other.call("log", chat=hidden.name),
            await other.call("doctor"),
        ):
            assert [mark for mark in marks(hidden) if mark in repr(words).encode()] == []
        # the same looked for where nobody hides
        carol = await world.start("carol")
        await befriend(hidden, carol)
        await carol.call("send", chat=hidden.name, text="hi", wait="delivered")
        known = await carol.engine.committer.read(kept)
        assert all(mark in known for mark in marks(hidden) if mark in (hidden.host.peer, marks(hidden)[0]))

    run_world(tmp_path, main)


def test_a_hidden_invite_says_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, _ = await people(world, hill)
        made = await alice.call("invite", hide=True)
        invite, encoded = read_invite(made["invite"])
        assert [mark for mark in marks(alice) if mark in encoded] == []
        assert {way.peer for way in invite.ways} == {alice.hidden.peer}
        assert {multiaddrs.parse_target(multiaddrs.unpack(way.address)).relay for way in invite.ways} == {hill.peer}
        assert "does not learn" in made["notice"]
        plain = read_invite((await alice.call("invite"))["invite"])[1]
        assert bytes(alice.host.peer) in plain
        assert bytes(alice.hidden.peer) not in plain

    run_world(tmp_path, main)


def test_without_a_relay_there_is_no_hidden_invite_and_no_silence_about_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        began = trio.current_time()
        with pytest.raises(NotNow, match="relay"):
            await alice.call("invite", hide=True)
        assert trio.current_time() - began < 1
        dead = Relay(PeerKey(bytes(32)), (multiaddrs.pack("/ip4/10.0.0.99/tcp/1"),))
        alice.engine.net.use_relays([dead])
        with pytest.raises(NotNow, match="relay"):
            await alice.call("invite", hide=True)
        await befriend(alice, bob)
        answer = await alice.call("hide", contact="bob")
        assert answer["hidden"]
        assert "relay" in answer["notice"]
        world.opened.clear()
        await trio.sleep(LEAVE_AFTER + 5)
        assert await route(alice) is None
        await bob.call("send", chat="alice", text="where are you?")
        await alice.call("send", chat="bob", text="here, somewhere")
        await trio.sleep(3600)
        assert (alice.host.peer, bob.host.peer, "direct") not in world.opened  # bob dials, and is not answered
        assert await alice.texts("bob") == []

    run_world(tmp_path, main)


def test_only_relays_of_our_own_are_gone_to(tmp_path: Path) -> None:
    """Who runs a relay and names it as theirs would see who comes."""

    async def main(world: World) -> None:
        hill, theirs = world.relay("hill"), world.relay("theirs")
        alice, bob = await people(world, hill)
        await befriend_hidden(alice, bob, hides=alice)
        await reached_by(bob, theirs)
        bob.host.walled = True
        await until(lambda: _knows(alice, theirs), 60)
        await bob.stop()
        await alice.call("send", chat="bob", text="anybody?")
        await trio.sleep(3600)
        bob = await world.start("bob")
        await reached_by(bob, theirs)
        await until(lambda: goes(alice, "circuit"), 600)  # bob comes by hers
        assert hill.peer in gone_to(world, alice)
        assert theirs.peer not in gone_to(world, alice)

    async def _knows(node: WorldNode, relay: FakeRelay) -> bool:
        return any(multiaddrs.peer_id(relay.peer) in way for way in await known_ways(node, "bob"))

    run_world(tmp_path, main)


def test_an_invite_by_no_relay_of_ours_is_not_joined_in_hiding(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await reached_by(alice, world.relay("theirs"))
        ours = world.relay("ours")
        await reached_by(bob, ours)
        invite = (await alice.call("invite"))["invite"]
        world.opened.clear()
        with pytest.raises(NotReached) as caught:
            await bob.call("add", invite=invite, hide=True, timeout=60)
        assert "relay that both of you use" in caught.value.line()
        assert gone_to(world, bob) == {ours.peer}

    run_world(tmp_path, main)


# --- who knocks where the address is guessed ------------------------------------------------------------------------


async def answered(opening: Awaitable[Stream], frame: Frame) -> bool:
    """Whether the name is known there, and there is a word back."""
    try:
        stream = await opening
        await stream.write(pack(frame))
        await FrameReader(stream).read_one()
    except (LinkLost, NotServed):
        return False
    return True


@pytest.mark.parametrize("hidden", [False, True])
def test_a_hidden_contact_who_dials_our_address_is_a_stranger(tmp_path: Path, hidden: bool) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await people(world, hill)
        if hidden:
            await befriend_hidden(alice, bob, hides=alice)
        else:
            await befriend(alice, bob)
        contact = await bob.id_of("alice")
        pair: Pair = bob.engine.link_handler.pairs(contact)[0]
        await bob.stop()
        spy = world.outsider("bob", transport_keys.transport_seed(Database.open(bob.folder / "p2pchat.db", KEY)))
        ways = [*alice.host.addresses(), *(multiaddrs.circuit(way, hill.peer) for way in hill.addresses())]
        today = hello_days(alice.clock())[0]
        for only in (Route.DIRECT, Route.CIRCUIT):
            stream = spy.open(alice.host.peer, ways, link_name(pair.ours, alice.host.peer, today), only=only)
            tag = hello_tag(pair.ours, spy.peer, alice.host.peer, today)
            assert await answered(stream, Frame(frames.HELLO, tag)) is not hidden
        if hidden:
            name = link_name(pair.ours, alice.hidden.peer, today)
            stream = spy.open(alice.hidden.peer, ways, name, only=Route.CIRCUIT)
            tag = hello_tag(pair.ours, spy.peer, alice.hidden.peer, today)
            assert await answered(stream, Frame(frames.HELLO, tag))

    run_world(tmp_path, main)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_hidden_invite_is_unknown_where_the_address_is(tmp_path: Path, hidden: bool) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, _ = await people(world, hill)
        secret = read_invite((await alice.call("invite", hide=hidden))["invite"])[0].secret
        spy: FakeHost = world.outsider("spy")
        ways = [*alice.host.addresses(), *(multiaddrs.circuit(way, hill.peer) for way in hill.addresses())]
        for only in (Route.DIRECT, Route.CIRCUIT):
            stream = spy.open(alice.host.peer, ways, join_name(hello_key(secret), alice.host.peer), only=only)
            tag = join_tag(hello_key(secret), "join", spy.peer, alice.host.peer)
            assert await answered(stream, Frame(frames.HELLO, tag)) is not hidden

    run_world(tmp_path, main)


def test_the_hidden_host_answers_nobody_who_comes_directly(tmp_path: Path) -> None:
    """A relay has a direct connection with it; it may be a contact's."""

    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await people(world, hill)
        await befriend_hidden(alice, bob, hides=alice)
        pair: Pair = bob.engine.link_handler.pairs(await bob.id_of("alice"))[0]
        alice.hidden._listens = True
        today = hello_days(alice.clock())[0]
        name = link_name(pair.ours, alice.hidden.peer, today)
        stream = hill.open(alice.hidden.peer, alice.hidden.addresses(), name)
        tag = hello_tag(pair.ours, hill.peer, alice.hidden.peer, today)
        assert not await answered(stream, Frame(frames.HELLO, tag))

    run_world(tmp_path, main)


# --- later on -------------------------------------------------------------------------------------------------------


def test_hiding_from_a_contact_moves_the_link_and_showing_moves_it_back(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await people(world, hill)
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="before", wait="delivered")
        assert await route(alice) == "direct"
        await alice.call("hide", contact="bob")
        world.opened.clear()
        await trio.sleep(LEAVE_AFTER)
        await until(lambda: goes(alice, "circuit"), 30)
        await talk(alice, bob, "hidden")
        await trio.sleep(4 * 3600)
        assert between(world, alice, bob) == {"circuit"}
        assert {way for way in await known_ways(bob, "alice") if "p2p-circuit" not in way} == set()
        assert {stream.there.peer for stream in alice.host.streams} & {bob.host.peer} == set()
        assert circuits_of(alice, hidden=True) == {hill.peer}
        await alice.call("hide", contact="bob", hidden=False)
        await until(lambda: goes(alice, "direct"), LEAVE_AFTER + 60)
        sent = await bob.call("send", chat="alice", text="shown", wait="delivered")
        assert sent["route"] == "direct"
        await trio.sleep(LEAVE_AFTER + 5)
        assert [stream for stream in alice.hidden.streams if stream.peer == bob.host.peer] == []
        assert await bob.texts("alice") == ["before", "hidden"]
        assert await alice.texts("bob") == ["hidden", "shown"]

    run_world(tmp_path, main)


def test_the_link_that_is_there_tells_of_the_other_host(tmp_path: Path) -> None:
    """One who uses no relay, and cannot be dialled, has to come."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        bob.host.walled = True
        await reached_by(alice, world.relay("hill"))
        await befriend(alice, bob)
        await bob.call("send", chat="alice", text="before", wait="delivered")
        await alice.call("hide", contact="bob")
        await trio.sleep(LEAVE_AFTER)
        await until(lambda: goes(bob, "circuit"), 60)
        await talk(alice, bob, "hidden")

    run_world(tmp_path, main)


def test_what_waits_for_one_who_is_away_does_not_tell_it_after_all(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await people(world, hill)
        await befriend(alice, bob)
        await trio.sleep(100)
        await bob.stop()
        await alice.call("settings", read_receipts=False)
        await reached_by(alice, hill, world.relay("tower"))
        await trio.sleep(100)
        assert await alice.engine.committer.read(_waiting) == {ContactProfile.KIND.number, Addresses.KIND.number}
        assert bytes(alice.host.peer) in await alice.engine.committer.read(_said)
        await alice.call("hide", contact="bob")
        assert bytes(alice.host.peer) not in await alice.engine.committer.read(_said)
        bob = await world.start("bob")
        await reached_by(bob, hill)
        await until(lambda: goes(bob, "circuit"), 600)
        await talk(alice, bob, "back")
        assert {way for way in await known_ways(bob, "alice") if "p2p-circuit" not in way} == set()

    def _waiting(db: Database) -> set[int]:
        return {kind for (kind,) in db.query("SELECT kind FROM outbox WHERE content IS NOT NULL")}

    def _said(db: Database) -> bytes:
        said: Sequence[tuple[bytes]] = db.query("SELECT content FROM outbox WHERE content IS NOT NULL")
        return b"".join(content for (content,) in said)

    run_world(tmp_path, main)


def test_who_was_told_already_cannot_be_hidden_from_in_the_middle_of_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await people(world, world.relay("hill"))
        invite = (await alice.call("invite"))["invite"]
        world.meddle = lambda stream, frame: [] if frame.type == frames.INITIAL else [frame]
        with trio.move_on_after(30):
            await bob.call("add", invite=invite, timeout=60)
        (contact,) = await bob.call("contacts")
        rows = await bob.engine.committer.read(
            lambda db: store_outbox.for_recipient(db, first_device(ContactId(bytes.fromhex(contact["id"]))))
        )
        assert [row.form for row in rows] == [OutboxForm.INITIAL]
        with pytest.raises(NotNow, match="on its way"):
            await bob.call("hide", contact=contact["id"])
        assert not (await bob.call("contacts"))[0]["hidden"]

    run_world(tmp_path, main)


def test_it_holds_after_a_restart(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await people(world, hill)
        await befriend_hidden(alice, bob, hides=alice)
        key = alice.hidden.peer
        await alice.stop()
        world.opened.clear()
        alice = await world.start("alice")
        assert alice.hidden.peer == key
        await reached_by(alice, hill)
        await until(lambda: goes(alice, "circuit"), 60)
        await talk(alice, bob, "again")
        await trio.sleep(3600)
        assert between(world, alice, bob) == {"circuit"}

    run_world(tmp_path, main)
