"""What a contact says of a relay counts for that contact alone, and makes this node do a bounded amount of work."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import trio

from p2pchat.core.contents.queues import AnnouncedQueue, Queues
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import sign_public
from p2pchat.engine.delivery import mailbox_queues, outbound
from p2pchat.engine.delivery.queues import MAX_NEW_PLACES, MAX_RETIRED_FOREIGN
from p2pchat.engine.receiving import mailbox_handler
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.net import multiaddrs
from p2pchat.store import queues as store_queues
from tests.support.boxed import full_relay
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, befriend, run_world

DAY = 86_400_000
DEAD = "/ip4/10.66.0.1/tcp/9"


def queue_at(tx: Transaction, peer: PeerKey, where: str, token: bytes = b"") -> AnnouncedQueue:
    """A queue that is announced to be at a relay."""
    return AnnouncedQueue(
        peer, multiaddrs.pack(where), token, sign_public(tx.random(32)), tx.random(32), tx.now + 50 * DAY
    )


async def announce(node: WorldNode, to: str, *places: tuple[PeerKey, str]) -> None:
    """Have a node tell a contact that it collects there."""
    who = await node.id_of(to)

    def say(tx: Transaction) -> None:
        contact = tx.contact(who)
        assert contact is not None
        said = [queue_at(tx, *place) for place in places]
        outbound.queue(tx, contact, Queues(tuple(said)))

    await node.engine.committer.submit(say)


async def three(world: World) -> tuple[WorldNode, WorldNode, WorldNode]:
    alice, bob, mallory = [await world.start(name) for name in ("alice", "bob", "mallory")]
    await befriend(alice, mallory)
    await befriend(alice, bob)
    await trio.sleep(60)
    return alice, bob, mallory


@pytest.mark.parametrize(("alive", "token"), sampled(list(product((False, True), (b"", b"wrong"))), 2, "lies"))
def test_a_lie_about_a_relay_does_not_cut_who_tells_the_truth(tmp_path: Path, token: bytes, alive: bool) -> None:
    """Mallory names bob's relay first, where it is not, or with a token that it does not take."""

    async def main(world: World) -> None:
        relay = await full_relay(world, "relay", tmp_path)
        where = relay.host.addresses()[0] if alive else DEAD
        alice, bob, mallory = await three(world)
        who = await mallory.id_of("alice")

        def say(tx: Transaction) -> None:
            contact = tx.contact(who)
            assert contact is not None
            said = [queue_at(tx, relay.peer, where, token)]
            outbound.queue(tx, contact, Queues(tuple(said)))

        await mallory.engine.committer.submit(say)
        await trio.sleep(60)
        await bob.call("relays", add=relay.line)
        await trio.sleep(120)
        world.cut(alice, bob)
        await trio.sleep(60)
        for number in range(3):
            await bob.call("send", chat="alice", text=f"{number}")
            await alice.call("send", chat="bob", text=f"{number}")
            await alice.call("send", chat="mallory", text=f"{number}")
            await trio.sleep(1800)
        assert await alice.texts("bob") == await bob.texts("alice") == ["0", "1", "2"]

    run_world(tmp_path, main)


def test_our_own_address_of_a_relay_counts_whatever_contacts_say(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = await full_relay(world, "relay", tmp_path)
        alice, _, mallory = await three(world)
        await alice.call("relays", add=relay.line)
        await announce(mallory, "alice", (relay.peer, DEAD))
        await trio.sleep(60)
        await mallory.stop()
        await alice.call("send", chat="mallory", text="there all the same", wait="stored", timeout=600)
        assert not any(DEAD in known for _, _, known in world.dialled)

    run_world(tmp_path, main)


def rows_for(node: WorldNode) -> list[store_queues.OwnQueueRow]:
    return [row for _, row in store_queues.own(node.db)]


@pytest.mark.parametrize("flips", sampled([False, True], 1, "flood"))
def test_a_flood_of_relays_makes_a_bounded_number_of_dials(tmp_path: Path, flips: bool) -> None:
    """Lists of four relays each, or changes between two, one after the other from one contact; alice has no relay."""

    async def main(world: World) -> None:
        relay = await full_relay(world, "relay", tmp_path)
        alice, bob, mallory = await three(world)
        await bob.call("relays", add=relay.line)
        pair = [(PeerKey(world.entropy.random(32)), f"/ip4/198.51.100.{number}/tcp/4001") for number in range(2)]
        for number in range(150 if flips else 50):
            places = [
                (PeerKey(world.entropy.random(32)), f"/ip4/203.0.113.{number % 250}/tcp/{port}") for port in range(1, 5)
            ]
            await announce(mallory, "alice", *([pair[number % 2]] if flips else places))
            await trio.sleep(0.05)
        await mallory.stop()
        await trio.sleep(60)
        foreign = [row for row in rows_for(alice) if row.relay != relay.peer]
        assert len(foreign) <= 2 + MAX_RETIRED_FOREIGN
        named = {row.relay for row in store_queues.theirs(alice.db) if row.relay != relay.peer}
        assert len(named) <= 4
        boxes = alice.engine.net.mailboxes.relay_health()
        assert len(boxes) <= 2 + 4 + 2 + MAX_RETIRED_FOREIGN
        world.dialled.clear()
        await alice.call("send", chat="mallory", text="something to leave there")
        await trio.sleep(3600)
        dials = [there for _, there, known in world.dialled if there not in (relay.peer, mallory.host.peer)]
        assert len(dials) <= 120
        world.dialled.clear()
        await trio.sleep(3 * 3600)
        assert len([there for _, there, known in world.dialled if there not in (relay.peer, mallory.host.peer)]) <= 120
        await bob.call("send", chat="alice", text="still here", wait="delivered")

    run_world(tmp_path, main)


def test_what_was_too_much_in_a_day_is_followed_the_next(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _, mallory = await three(world)
        await mallory.call("relays", add=(await full_relay(world, "relay", tmp_path)).line)
        places = [(PeerKey(world.entropy.random(32)), f"/ip4/203.0.113.{number}/tcp/4001") for number in range(9)]
        for number in range(0, 9, 3):
            await announce(mallory, "alice", *places[number : number + 3])
            await trio.sleep(60)
        assert 1 + 6 <= MAX_NEW_PLACES < 1 + 9
        assert named(alice) == {peer for peer, _ in places[3:6]}
        await trio.sleep(2 * 3600)
        assert named(alice) == {peer for peer, _ in places[3:6]}
        await world.sleep_days(1)
        assert named(alice) == {peer for peer, _ in places[6:]}

    def named(node: WorldNode) -> set[bytes]:
        return {row.relay for row in store_queues.theirs(node.db)}

    run_world(tmp_path, main)


def test_more_relays_of_contacts_than_are_watched_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three contacts with two relays each, and room for three relays: everybody's first comes before any second."""
    monkeypatch.setattr(mailbox_handler, "MAX_FOREIGN", 3)

    async def main(world: World) -> None:
        alice = await world.start("alice")
        relays: dict[bytes, tuple[str, int]] = {}
        for name in ("bob", "carol", "dave"):
            other = await world.start(name)
            await befriend(alice, other)
            own = [await full_relay(world, f"{name} {number}", tmp_path) for number in range(2)]
            for number, relay in enumerate(own):
                await other.call("relays", add=relay.line)
                relays[relay.peer] = (name, number)
        await trio.sleep(60)
        watched = [watched for watched in alice.engine.mailbox_handler._watched.values() if watched.active]
        assert len(watched) == 3
        assert {relays[one.relay.peer][0] for one in watched} == {"bob", "carol", "dave"}
        assert "take turns" in " ".join(line["detail"] for line in await alice.call("doctor"))
        seen: set[bytes] = set()
        for _ in range(4):
            seen |= {one.relay.peer for one in alice.engine.mailbox_handler._watched.values() if one.active}
            await trio.sleep(mailbox_handler.FOREIGN_ROTATION_SECONDS)
        assert seen == relays.keys()

    run_world(tmp_path, main)


def test_what_is_said_alike_is_one_mailbox_and_what_is_not_is_none(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        relay = await full_relay(world, "relay", tmp_path)
        alice, bob, mallory = await three(world)
        for node in (bob, mallory):
            await node.call("relays", add=relay.line)
        await trio.sleep(60)
        assert len(names(alice)) == 1
        await announce(mallory, "alice", (relay.peer, DEAD))
        await trio.sleep(60)
        assert len(names(alice)) == 2

    def names(node: WorldNode) -> set[bytes]:
        known = mailbox_queues.read(node.db)
        return {outlet.relay.mailbox for outlets in known.outlets.values() for outlet in outlets}

    run_world(tmp_path, main)
