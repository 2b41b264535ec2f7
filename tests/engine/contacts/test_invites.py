"""What holders of a reusable invite can add to a profile is bounded, and goes again."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core import handshake
from p2pchat.core.content import Content, encode_content, new_message_id
from p2pchat.core.contents import ContactProfile
from p2pchat.core.envelope import open_blob, seal_blob
from p2pchat.core.identity import Device
from p2pchat.core.ids import InviteId, PeerKey
from p2pchat.core.invite import ROLE_RELAY, Invite, blob_key, read_invite
from p2pchat.core.prekeys import open_bundle
from p2pchat.core.relays import Relay
from p2pchat.engine.contacts import invites, own_relays
from p2pchat.net import multiaddrs
from p2pchat.store import facts
from p2pchat.store.database import Database
from p2pchat.store.facts import Fact
from tests.support.world import World, WorldNode, befriend, run_world

TABLES = ("contacts", "handshakes", "envelopes_seen", "sessions", "declined", "devices", "chats", "contact_facts")


async def reusable(node: WorldNode) -> tuple[bytes, Invite]:
    made = await node.call("invite", reusable=True)
    return bytes.fromhex(made["id"]), read_invite(made["invite"])[0]


async def ask(world: World, node: WorldNode, invite_id: InviteId, invite: Invite, who: Device) -> bool:
    """One more first message of `who`; whether it is acked."""
    offered = await node.engine.committer.submit(invites.offer, invite_id)
    assert offered is not None
    key, random = blob_key(invite.secret), world.entropy.random
    profile = ContactProfile("mallory", True, ())
    content = encode_content(Content(profile, new_message_id(node.clock(), random), 0, node.clock()))
    bundle = open_bundle(open_blob(key, offered))
    _, message = handshake.initiate(who, bundle, content, node.clock(), world.entropy)
    return await node.engine.committer.submit(invites.admit, invite_id, seal_blob(key, message, random))


async def rows(node: WorldNode) -> dict[str, int]:
    return {
        table: (await node.engine.committer.read(lambda db, table=table: db.query(f"SELECT count(*) FROM {table}")))[0][
            0
        ]
        for table in TABLES
    }


def rings(node: WorldNode) -> int:
    return len([one for one in node.heard if one["event"] == "request"])


def test_one_identity_asks_and_rings_a_few_times_a_day_and_once_declined_not_at_all(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        invite_id, invite = await reusable(alice)
        mallory = Device.fresh(world.entropy.random)
        answers = [await ask(world, alice, InviteId(invite_id), invite, mallory) for _ in range(50)]
        assert answers.count(True) == invites.MAX_ASKED_A_DAY
        assert rings(alice) == 1
        found = await rows(alice)
        assert (found["contacts"], found["sessions"]) == (1, 1)
        assert max(found.values()) <= invites.MAX_ASKED_A_DAY
        await alice.call("decline", contact="mallory")
        before = await rows(alice)
        assert all(
            [await ask(world, alice, InviteId(invite_id), invite, mallory) for _ in range(50)]
        )  # acked, and forgotten
        assert await rows(alice) == before
        assert rings(alice) == 1
        assert await alice.call("requests") == []
        assert await alice.engine.committer.read(lambda db: facts.of_all(db, Fact.ASKED)) == []
        other_id, other = await reusable(alice)
        assert await ask(world, alice, InviteId(other_id), other, mallory)  # by another invite they may ask again
        assert len(await alice.call("requests")) == 1

    run_world(tmp_path, main)


def test_many_identities_add_a_bounded_number_a_day_and_the_rows_go_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invites, "MAX_ADMITTED_A_DAY", 20)  # each derives words to compare, which is expensive

    async def main(world: World) -> None:
        alice = await world.start("alice")
        invite_id, invite = await reusable(alice)
        taken = 0
        for _ in range(invites.MAX_ADMITTED_A_DAY + 20):
            taken += await ask(world, alice, InviteId(invite_id), invite, Device.fresh(world.entropy.random))
            for request in await alice.call("requests"):
                await alice.call("decline", contact=request["id"])
        assert taken == invites.MAX_ADMITTED_A_DAY
        assert max((await rows(alice)).values()) == taken
        await world.sleep_days(1)
        assert await ask(world, alice, InviteId(invite_id), invite, Device.fresh(world.entropy.random))
        for _ in range(2):
            await world.sleep_days(62)
        await trio.sleep(86_400)  # a day of hourly runs: each goes through a part of the envelopes
        found = await rows(alice)
        assert (found["handshakes"], found["envelopes_seen"]) == (0, 0)

    run_world(tmp_path, main)


def test_nothing_is_left_of_a_contact_that_was_removed(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = await alice.call("invite", ask=True)
        await bob.call("add", invite=invite["invite"], wait=None)
        await trio.sleep(60)
        (request,) = await alice.call("requests")
        await alice.call("decline", contact=request["id"])
        for table in ("contact_facts", "devices", "chat_members"):
            assert await alice.engine.committer.read(Database.query, f"SELECT * FROM {table}") == []
        await befriend(alice, bob)

    run_world(tmp_path, main)


def test_an_invite_names_two_relays_in_two_networks_and_one_of_them_at_wss(tmp_path: Path) -> None:
    """Of three that answer, two are in one network; when the third has been gone for long, these two have to do."""

    async def main(world: World) -> None:
        first, second, third = (world.mailbox(name) for name in ("first", "second", "third"))
        third._where = "/ip4/10.8.0.1/tcp/4001"
        alice = await world.start("alice")
        for relay in (first, second):
            await alice.call("relays", add=relay.address)
        ways = tuple(map(multiaddrs.pack, (third._where, "/dns/relay.example/tcp/443/wss")))
        await alice.engine.committer.submit(own_relays.use, Relay(third.peer, ways))
        await trio.sleep(60)
        assert await named(alice) == {first.peer: "tcp", third.peer: "wss"}
        third.stop()
        await trio.sleep(2 * 3600)
        assert await named(alice) == {first.peer: "tcp", second.peer: "tcp"}

    async def named(node: WorldNode) -> dict[PeerKey, str]:
        """What is spoken at each relay of a new invite."""
        invite, _ = read_invite((await node.call("invite"))["invite"])
        ways = [way for way in invite.ways if way.role == ROLE_RELAY]
        return {way.peer: multiaddrs.parse_target(multiaddrs.unpack(way.address)).over for way in ways}

    run_world(tmp_path, main)
