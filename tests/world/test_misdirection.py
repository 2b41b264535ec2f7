"""What was written for one person is never sent to another, whatever an invite pretends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.envelope import open_blob, seal_blob
from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import (
    REUSABLE,
    ROLE_NODE,
    Invite,
    InviteWay,
    blob_key,
    decode_invite,
    encode_invite,
    read_invite,
    to_text,
)
from p2pchat.core.prekeys import person_digest
from p2pchat.engine.contacts import invites, joining
from p2pchat.errors import NotReached
from p2pchat.store import outbox as store_outbox
from tests.support.asking import names
from tests.support.world import World, WorldNode, befriend, run_world

SECRET = "Between us: bob must not know."


async def bundle_of_bob(bob: WorldNode, mallory: WorldNode) -> tuple[bytes, bytes, bytes]:
    """What every contact of bob's is sent weekly: his bundle, with his identity and device key."""
    contact = await mallory.id_of("bob")
    sql = "SELECT bundle, identity, key FROM contacts JOIN devices ON contact = contacts.id WHERE contacts.id = ?"
    rows = await mallory.engine.committer.read(lambda db: db.query(sql, (contact,)))
    bundle, identity, device = rows[0]
    return bundle, identity, device


def pretended(world: World, bob: WorldNode, identity: bytes, device: bytes, secret: bytes) -> str:
    """Mallory's invite, with his own secret and way, that pins bob's keys."""
    way = InviteWay(PeerKey(world.entropy.random(32)), b"\x04\x0a\x00\x00\x63\x06\x0f\xa1", ROLE_NODE)
    until = bob.clock() // 1000 + 20 * 86_400
    return to_text(encode_invite(Invite(REUSABLE, person_digest(identity, device), secret, until, (way,), "mallory")))


async def people(world: World) -> tuple[WorldNode, WorldNode, WorldNode]:
    """Mallory is a contact of bob's, who has rotated his prekeys since."""
    alice, bob, mallory = [await world.start(name) for name in ("alice", "bob", "mallory")]
    await befriend(bob, mallory)
    await bob.call("invite", reusable=True)
    await world.sleep_days(8)
    return alice, bob, mallory


async def added(alice: WorldNode, invite: str) -> bytes:
    with pytest.raises(NotReached):
        await alice.call("add", invite=invite, name="mallory", timeout=2)
    await alice.call("send", chat="mallory", text=SECRET)
    return await alice.id_of("mallory")


@pytest.mark.parametrize("state", ["contact", "blocked", "waiting"])
def test_what_was_written_to_one_who_pins_anothers_keys_fails(tmp_path: Path, state: str) -> None:
    async def main(world: World) -> None:
        alice, bob, mallory = await people(world)
        if state == "waiting":
            await alice.call("add", invite=(await bob.call("invite", ask=True))["invite"], name="bob")
        else:
            await befriend(alice, bob)
        if state == "blocked":
            await alice.call("block", contact="bob")
        bundle, identity, device = await bundle_of_bob(bob, mallory)
        secret = world.entropy.random(32)
        chat = await added(alice, pretended(world, bob, identity, device, secret))
        await alice.engine.committer.submit(
            joining.answer, chat, seal_blob(blob_key(secret), bundle, world.entropy.random)
        )
        await trio.sleep(3600)
        if state == "waiting":
            await bob.call("accept", contact="alice")
            await trio.sleep(3600)
        (left,) = await alice.call("log", chat="mallory")
        assert (left["text"], left["state"]) == (SECRET, "failed")
        if state != "waiting":
            assert SECRET not in await bob.texts("alice")
        assert (await names(alice))["bob"] == ("blocked" if state == "blocked" else "contact")
        assert await waiting_texts(alice) == []

    run_world(tmp_path, main)


async def waiting_texts(node: WorldNode) -> list[Any]:
    return await node.engine.committer.read(lambda db: db.query("SELECT pk FROM outbox WHERE kind = 0"))


def test_a_first_message_cannot_be_passed_on(tmp_path: Path) -> None:
    """Mallory's invite pins bob's keys; alice's first message for it is for bob to open, but names mallory's invite."""

    async def main(world: World) -> None:
        alice, bob, mallory = await people(world)
        bundle, identity, device = await bundle_of_bob(bob, mallory)
        secret = world.entropy.random(32)
        chat = await added(alice, pretended(world, bob, identity, device, secret))
        offered = seal_blob(blob_key(secret), bundle, world.entropy.random)
        sealed = await alice.engine.committer.submit(joining.answer, chat, offered)
        assert sealed is not None
        theirs = (await bob.call("invite", reusable=True))["invite"]  # of bob's, which mallory has too
        _, encoded = read_invite(theirs)
        row = (
            await bob.engine.committer.read(
                lambda db: db.query("SELECT id FROM invites ORDER BY created_at DESC LIMIT 1")
            )
        )[0]
        passed = seal_blob(
            blob_key(decode_invite(encoded).secret), open_blob(blob_key(secret), sealed), world.entropy.random
        )
        assert not await bob.engine.committer.submit(invites.admit, row[0], passed)
        assert await bob.call("requests") == []
        assert await alice.engine.committer.read(store_outbox.initial, chat) == sealed

    run_world(tmp_path, main)
