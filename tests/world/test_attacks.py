"""Attacks on whole nodes in the fake world. Those on one dialogue stand beside it: links and joining in `tests/net`,
renewal, delivery and invites in their own files.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from p2pchat.core import frames, handshake
from p2pchat.core.content import Content, encode_content, new_message_id
from p2pchat.core.contents import Addresses, ContactProfile, Payload
from p2pchat.core.delivery import Route
from p2pchat.core.envelope import BUCKETS, open_blob, seal_blob
from p2pchat.core.frames import Frame, FrameParser, pack
from p2pchat.core.identity import Device
from p2pchat.core.ids import first_device
from p2pchat.core.invite import blob_key, hello_key, join_tag, read_invite
from p2pchat.core.names import join_name, link_name
from p2pchat.core.prekeys import Bundle, open_bundle
from p2pchat.core.primitives import hkdf
from p2pchat.core.session import hello_days
from p2pchat.engine.receiving import inbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import LinkLost, NotServed
from p2pchat.net import multiaddrs
from p2pchat.net.frames import FrameReader
from tests.support.meddler import Meddler, flipped
from tests.support.world import World, WorldNode, befriend, run_world

PLAINTEXTS = ["The cat sat on the mat", "سلام، چطوری؟", "Zażółć gęślą jaźń", "👋🏽 the eagle has landed", "x" * 20_000]


async def friends(world: World, first: str = "alice", second: str = "bob") -> tuple[WorldNode, WorldNode]:
    one, other = await world.start(first), await world.start(second)
    await befriend(one, other)
    await one.call("send", chat=second, text="begin", wait="delivered")
    await trio.sleep(1)
    return one, other


async def linked(node: WorldNode, name: str) -> bool:
    return next(one for one in await node.call("contacts") if one["name"] == name)["route"] is not None


async def say(node: WorldNode, chat: str, payload: Payload) -> None:
    """Seal and send an invisible content as a changed program could."""
    contact = await node.id_of(chat)

    def seal(tx: Transaction) -> None:
        session = tx.sessions.sending(first_device(contact))
        assert session is not None
        content = Content(payload, new_message_id(tx.now, tx.random), 0, tx.now)
        envelope = tx.sessions.seal(first_device(contact), session, encode_content(content), tx.entropy).envelope
        tx.after(tx.net.send, contact, [Frame(frames.ENVELOPE, envelope)])

    await node.engine.committer.submit(seal)


# --- 1: key compromise impersonation --------------------------------------------------------------------------------


def test_with_alices_own_keys_nobody_is_bob_to_alice(tmp_path: Path) -> None:
    """The thief has alice's identity seed and device key, her invite, and all that is public about bob."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        stolen, public = alice.engine.me, bob.engine.me
        posing = replace(
            stolen, identity=public.identity, device=public.device, certificate=public.certificate
        )  # bob in public, alice's private keys behind it
        thief = world.outsider("thief")
        # by an invite
        written = (await alice.call("invite", reusable=True))["invite"]
        invite = read_invite(written)[0]
        for device in (posing, replace(posing, device_private=world.entropy.random(32))):
            name = join_name(hello_key(invite.secret), alice.host.peer)
            stream = await thief.open(alice.host.peer, alice.host.addresses(), name)
            reader = FrameReader(stream)
            tag = join_tag(hello_key(invite.secret), "join", thief.peer, stream.peer)
            await stream.write(pack(Frame(frames.HELLO, tag)))
            await reader.read_one()
            bundle = open_bundle(open_blob(blob_key(invite.secret), (await reader.read_one()).body))
            await stream.write(pack(Frame(frames.INITIAL, introduction(world, device, bundle, invite.secret))))
            with pytest.raises(LinkLost):
                await reader.read_one()
        assert await alice.call("requests") == []
        # by a link, with whatever keys can be made of them
        for root in (stolen.identity_seed, stolen.device_private, hkdf(stolen.device_private, "hello", 32)):
            for day in hello_days(alice.clock()):
                with pytest.raises(NotServed):
                    await thief.open(alice.host.peer, alice.host.addresses(), link_name(root, alice.host.peer, day))

    run_world(tmp_path, main)


def introduction(world: World, device: Device, bundle: Bundle, secret: bytes) -> bytes:
    now = next(iter(world.nodes.values())).clock()
    content = Content(ContactProfile("bob", True, ()), new_message_id(now, world.entropy.random), 0, now)
    message = handshake.initiate(device, bundle, encode_content(content), now, world.entropy)[1]
    return seal_blob(blob_key(secret), message, world.entropy.random)


# --- 5: who is behind a transport key -------------------------------------------------------------------------------


def test_somebody_elses_transport_key_in_a_profile_misleads_nobody(tmp_path: Path) -> None:
    """Bob tells alice that he is where carol is: carol gets nothing of his, and nothing is taken for his."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        await alice.call("send", chat="carol", text="for carol", wait="delivered")
        theirs = [(carol.host.peer, multiaddrs.pack(world.address("carol")))]
        await say(bob, "alice", ContactProfile("carol", True, tuple(theirs)))
        await say(bob, "alice", Addresses(tuple(theirs)))
        await trio.sleep(5)
        bob_id = await alice.id_of((await alice.call("contacts"))[0]["id"])
        await bob.stop()
        await alice.call("send", chat=bob_id.hex(), text="for bob only")
        said, dialled = len(world.traffic), alice.host.dials
        await trio.sleep(600)
        assert alice.host.dials > dialled
        routes = {one["id"]: one["route"] for one in await alice.call("contacts")}
        assert routes[bob_id.hex()] is None
        # she knocked at carol's by bob's name, which means nothing there, and so nothing more was said
        streams = [data for who, whom, data in world.traffic[said:] if (who, whom) == ("alice", "carol")]
        assert not any(len(data) == 21 for data in streams)
        assert [one for one in await carol.call("log", chat="alice") if one["text"] != "for carol"] == []
        states = [one["state"] for one in await alice.call("log", chat=bob_id.hex())]
        assert states[-1] == "saved"

    run_world(tmp_path, main)


def test_the_transport_key_of_a_contact_makes_nobody_that_contact(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        mallory = await world.start("mallory")
        await befriend(alice, mallory)
        await bob.stop()
        # mallory's node with bob's transport key in place of its own, at bob's address
        await mallory.stop()
        mallory = await world.start("mallory", lambda node: stand_in(node, bob))
        await alice.call("send", chat="bob", text="for bob only")
        await trio.sleep(600)
        assert not await linked(alice, "bob")
        assert await mallory.texts("alice") == []
        await mallory.call("send", chat="alice", text="I am mallory", wait="delivered", timeout=60)
        assert await alice.texts("mallory") == ["I am mallory"]
        assert await alice.texts("bob") == []

    run_world(tmp_path, main)


def stand_in(node: WorldNode, other: WorldNode) -> None:
    node.host.name = other.name
    node.host._peer = other.host.peer


def test_our_own_transport_key_among_a_contacts_ways_is_not_dialled(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        mine = (alice.host.peer, multiaddrs.pack(world.address("alice")))
        await say(bob, "alice", Addresses((mine,)))
        await trio.sleep(1)
        await bob.stop()
        dials = alice.host.dials
        await trio.sleep(3600)
        assert alice.host.dials == dials

    run_world(tmp_path, main)


# --- 9: forged frames move nothing ----------------------------------------------------------------------------------


def test_forged_envelopes_move_no_ratchet(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        recorded: list[bytes] = []
        for number in range(3):
            await bob.call("send", chat="alice", text=f"b{number}", wait="delivered")
            await alice.call("send", chat="bob", text=f"a{number}", wait="delivered")
        await trio.sleep(1)
        recorded = meddler.of(frames.ENVELOPE)
        before = await alice.engine.committer.read(lambda db: db.query("SELECT * FROM sessions"))
        contact = await bob.id_of("alice")
        forged = [flipped(one) for one in recorded]
        forged += [one[:2390] + other[2390:] for one, other in pairwise(recorded)]
        forged += [bytes(2390) + one[2390:] for one in recorded]
        forged += [one[:-1] + bytes((one[-1] ^ 128,)) for one in recorded]
        forged += [world.entropy.random(size) for size in BUCKETS]
        forged += meddler.of(frames.ENVELOPE, alice)  # reflection: what alice herself has sealed
        for one in forged:
            bob.engine.net.send(contact, [Frame(frames.ENVELOPE, one)])
        await trio.sleep(1)
        assert len(meddler.of(frames.REFUSED, alice)) == len(set(forged))
        assert await alice.engine.committer.read(lambda db: db.query("SELECT * FROM sessions")) == before
        assert await alice.engine.committer.read(lambda db: db.query("SELECT * FROM skipped_keys")) == []
        await bob.call("send", chat="alice", text="on it goes", wait="delivered")
        assert await alice.texts("bob") == ["b0", "b1", "b2", "on it goes"]

    run_world(tmp_path, main)


# --- 12, 15, 16, on the wire: what is given away --------------------------------------------------------------------


async def a_whole_story(world: World) -> list[WorldNode]:
    """Every dialogue there is: both kinds of invites, talk, a renewal, a block, restarts, garbage, a failed
    transaction.
    """
    alice, bob, carol = [await world.start(name) for name in ("alicia-blue", "robert-green", "carolina-red")]
    await befriend(alice, bob)
    written = (await alice.call("invite", reusable=True))["invite"]
    await carol.call("add", invite=written, name="alicia-blue")
    await carol.call("send", chat="alicia-blue", text=PLAINTEXTS[0])
    await alice.call("accept", contact="carolina-red")
    for text in PLAINTEXTS:
        await alice.call("send", chat="robert-green", text=text, wait="delivered", timeout=60)
        await bob.call("send", chat="alicia-blue", text=text[::-1], wait="delivered", timeout=60)
    await break_session(alice, "robert-green")
    await alice.call("send", chat="robert-green", text=PLAINTEXTS[1], wait="delivered", timeout=60)
    contact = await bob.id_of("alicia-blue")
    bob.engine.net.send(contact, [Frame(frames.ENVELOPE, bytes(4096)), Frame(frames.INITIAL, bytes(4096))])
    with pytest.raises(NotServed):
        await world.outsider("mallory").open(alice.host.peer, alice.host.addresses(), "/p2pchat/envelope/1")
    await trio.sleep(30)
    with pytest.raises(Exception, match="inside the node"):
        await alice.engine.committer.submit(fail_with, PLAINTEXTS[0])
    await alice.call("block", contact="carolina-red")
    await carol.call("send", chat="alicia-blue", text=PLAINTEXTS[2])
    await bob.crash()
    bob = await world.start("robert-green")
    await bob.call("send", chat="alicia-blue", text=PLAINTEXTS[3], wait="delivered", timeout=60)
    world.cut(alice, bob)
    await trio.sleep(100)
    world.mend(alice, bob)
    await trio.sleep(3700)
    return [alice, bob, carol]


def fail_with(tx: Transaction, text: str) -> None:
    raise RuntimeError(text)


async def break_session(node: WorldNode, chat: str) -> None:
    contact = await node.id_of(chat)

    def unusable(tx: Transaction) -> None:
        session = tx.sessions.sending(first_device(contact))
        assert session is not None
        tx.sessions.put(first_device(contact), replace(session, ratchet=replace(session.ratchet, header_out=bytes(32))))

    await node.engine.committer.submit(unusable)


async def secrets_of(node: WorldNode) -> dict[str, bytes]:
    """What must not be seen of a profile, by what it is."""
    me = node.engine.me
    found = {
        "identity": me.identity,
        "device": me.device,
        "certificate": me.certificate,
        "identity seed": me.identity_seed,
        "device key": me.device_private,
        "name": node.name.encode(),
    }
    for table, column in (
        ("sessions", "pair_root"),
        ("sessions", "session_id"),
        ("sessions", "sas"),
        ("invites", "hello"),
    ):
        rows = await node.engine.committer.read(lambda db, sql=f"SELECT {column} FROM {table}": db.query(sql))
        found |= {f"{table}.{column} {number}": row[0] for number, row in enumerate(rows)}
    for contact in await node.call("contacts"):
        if contact["state"] != "blocked":
            shown = await node.call("verify", contact=contact["id"])
            found |= {f"{key} of {contact['id']}": shown[key].encode() for key in ("safety_number", "sas")}
    return found


def spellings(secret: bytes) -> Iterator[bytes]:
    """A secret as it stands, in hex, in base64, and as Python shows it."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):  # base64 inside a longer text begins at any place
        yield base64.b64encode(bytes(shift) + secret)[4:-4]
    yield repr(secret)[2:-1].encode()


def test_what_a_network_sees_of_a_whole_story(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        nodes = await a_whole_story(world)
        kinds: dict[int, set[int]] = {}
        for _, _, data in world.traffic:
            for frame in FrameParser().feed(data):
                kinds.setdefault(frame.type, set()).add(len(frame.body))
        assert set(kinds) == {
            frames.HELLO, frames.ENVELOPE, frames.ACKS, frames.REFUSED, frames.PING, frames.PONG, frames.RENEW,
            frames.BUNDLE, frames.INITIAL,
        }  # fmt: skip
        for type in (frames.ENVELOPE, frames.BUNDLE, frames.INITIAL):
            assert kinds[type] <= set(BUCKETS)
        assert kinds[frames.ENVELOPE] == {BUCKETS[0], BUCKETS[2]}
        short = (frames.HELLO, frames.REFUSED, frames.PING, frames.PONG, frames.RENEW)
        assert {type: kinds[type] for type in short} == {
            frames.HELLO: {16}, frames.REFUSED: {16}, frames.PING: {0}, frames.PONG: {0}, frames.RENEW: {0},
        }  # fmt: skip
        seen = b"".join(data for _, _, data in world.traffic)
        for node in nodes:
            for what, secret in (await secrets_of(node)).items():
                for spelling in spellings(secret):
                    assert spelling not in seen, (node.name, what)
        for text in PLAINTEXTS:
            for part in (text.encode(), text[::-1].encode()):
                assert part[:15] not in seen
        for peer in {node.host.peer for node in nodes}:
            assert bytes(peer) not in seen
        # no two envelopes have anything in common that could link them
        heads = [one[:24] for one in {*envelopes_in(seen)}]
        assert len(set(heads)) == len(heads)

    run_world(tmp_path, main)


def envelopes_in(data: bytes) -> list[bytes]:
    return [frame.body for frame in FrameParser().feed(data) if len(frame.body) in BUCKETS]


def test_no_log_line_tells_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main(world: World) -> None:
        nodes = await a_whole_story(world)
        lines = caplog.text.encode()
        assert b"a transaction failed" in lines  # it was listened to
        for node in nodes:
            found = await secrets_of(node)
            found["peer"] = node.host.peer
            found["peer id"] = multiaddrs.full(node.host.peer, world.address(node.name)).split("/")[-1].encode()
            found["address"] = world.address(node.name).split("/")[2].encode()
            for contact in await node.call("contacts"):
                found[f"contact {contact['id']}"] = bytes.fromhex(contact["id"])
            for what, secret in found.items():
                for spelling in spellings(secret):
                    assert spelling not in lines, (node.name, what)
        for text in PLAINTEXTS:
            for part in (text, text[::-1], text.encode("unicode_escape").decode()):
                assert part[:12] not in caplog.text

    run_world(tmp_path, main)


def test_an_invite_holds_no_identity_and_no_name(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        for how in ({}, {"reusable": True}):
            made = await alice.call("invite", **how)
            invite, encoded = read_invite(made["invite"])
            me = alice.engine.me
            for secret in (me.identity, me.device, me.certificate, b"alice"):
                assert secret not in encoded
            assert invite.name is None
            assert [(way.peer, way.role) for way in invite.ways] == [(alice.host.peer, 0)]
            assert "address" in made["notice"]  # the person is told that

    run_world(tmp_path, main)


def test_addresses_are_told_to_contacts_only(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        asking, waiting, blocked = [await world.start(name) for name in ("asking", "waiting", "blocked")]
        await befriend(alice, blocked)
        await alice.call("block", contact="blocked")
        await asking.call("add", invite=(await alice.call("invite", reusable=True))["invite"], name="alice")
        await alice.call("add", invite=(await waiting.call("invite", reusable=True))["invite"], name="waiting")
        await trio.sleep(10)
        meddler = Meddler(world)
        move(world, alice)
        await trio.sleep(3700)
        told = {whom for who, whom, frame in meddler.seen if who == "alice" and frame.type == frames.ENVELOPE}
        assert told == {"bob"}
        kept = await alice.engine.committer.read(lambda db: db.query("SELECT form, kind FROM outbox"))
        assert kept == []  # and nothing of it waits for the others
        # and bob finds her there, although nothing is left of the old place
        world.cut(alice, bob)
        await trio.sleep(60)
        world.mend(alice, bob)
        await bob.call("send", chat="alice", text="found you", wait="delivered", timeout=60)
        assert await alice.texts("bob") == ["found you"]

    run_world(tmp_path, main)


def move(world: World, node: WorldNode) -> None:
    """The node's machine has another address now."""
    new = world.address(f"{node.name}'s new place")
    node.host.addresses = lambda: (new,)  # type: ignore[method-assign]


# --- 29, 31: names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("\x1b[31mred\x07", "[31mred"),
        ("a\u202eb\u2066c", "abc"),
        ("two\r\nlines", "twolines"),
        ("\u200b\u2060", "nameless"),
        ("", "nameless"),
        ("x" * 500, "x" * 64),
        ("z" + "\u0300" * 100, "z\u0300\u0300\u0300\u0300"),
        ("\U000e0041tagged", "tagged"),
        ("می\u200cروم", "می\u200cروم"),
    ],
)
def test_names_are_cleaned_where_they_come_in(tmp_path: Path, sent: str, shown: str) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await say(bob, "alice", ContactProfile(sent, True, ()))
        await trio.sleep(1)
        (contact,) = await alice.call("contacts")
        assert contact["name"].replace("\u1e91", "z") == shown or contact["name"] == shown
        told = [one["name"] for one in alice.heard if one["event"] == "contact"]
        assert told[-1] == contact["name"]
        await alice.call("rename", contact=contact["id"], name="Robert")
        await say(bob, "alice", ContactProfile("alice", True, ()))
        await trio.sleep(1)
        assert (await alice.call("contacts"))[0]["name"] == "Robert"  # what a person chose stays

    run_world(tmp_path, main)


# --- 46: a block holds ----------------------------------------------------------------------------------------------


def test_nobody_blocked_is_owed_a_receipt(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(frames.ENVELOPE, sender=bob)
        await bob.call("send", chat="alice", text="in the same moment")
        await trio.sleep(1)
        contact = await alice.id_of("bob")
        pair = alice.engine.link_handler.pairs(contact)[0]
        (envelope,) = meddler.of(frames.ENVELOPE, bob)
        # one transaction takes both the message and the block
        alice.engine.committer.post(
            inbound.frame, contact, pair.session_id, Route.DIRECT, Frame(frames.ENVELOPE, envelope)
        )
        await alice.call("block", contact="bob")
        assert await alice.texts("bob") == ["in the same moment"]
        assert await alice.engine.committer.read(lambda db: db.query("SELECT * FROM outbox")) == []

    run_world(tmp_path, main)


def test_what_was_under_way_at_a_block_is_not_taken(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.keep(frames.ENVELOPE, frames.RENEW, frames.ACKS, sender=bob)
        await bob.call("send", chat="alice", text="still on its way")
        bob.engine.net.send(await bob.id_of("alice"), [Frame(frames.RENEW, b"")])
        await trio.sleep(1)
        await alice.call("send", chat="bob", text="to be forgotten")
        await trio.sleep(1)
        meddler.clear()
        contact = await alice.id_of("bob")
        kept = [frame for _, frame in meddler._kept]
        session_id = alice.engine.link_handler.pairs(contact)[0].session_id
        await alice.call("block", contact="bob")
        await alice.engine.link_handler.received(
            contact, session_id, Route.DIRECT, kept
        )  # read before the link was closed
        said = [one for one in world.traffic if one[0] == "alice"]
        await trio.sleep(3600)
        assert await alice.texts("bob") == []
        assert [one for one in world.traffic if one[0] == "alice"] == said
        assert await alice.engine.committer.read(lambda db: db.query("SELECT * FROM outbox")) == []

    run_world(tmp_path, main)
