"""Relays as a web: what relays and contacts tell of relays is kept, and leads back in when an address is blocked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents.queues import Queues
from p2pchat.core.descriptors import LIFE_SECONDS, MAILBOX, Descriptor, open_descriptor, sign_descriptor
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import sign_public
from p2pchat.core.relay_cache import MAX_A_SOURCE, MAX_FALLBACKS
from p2pchat.engine.contacts import known_relays, relay_web
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import UsageError
from p2pchat.net import multiaddrs
from p2pchat.store import known_relays as store_known_relays
from p2pchat.store import relays as store_relays
from tests.support.boxed import FullRelay, full_relay
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_circuits import circuits_of


def known(node: WorldNode) -> set[bytes]:
    """The relays that a node knows from their descriptors."""
    return {row.relay for row in store_known_relays.all(node.db)}


def forged(world: World, number: int) -> bytes:
    """The descriptor of a relay that somebody has just made up, in a network of its own."""
    seed, made = world.entropy.random(32), world.now() // 1000
    where = (f"/ip4/{20 + number % 200}.{number // 200}.0.1/tcp/4001",)
    peer = PeerKey(sign_public(seed))
    return sign_descriptor(seed, Descriptor(peer, made, made, made + LIFE_SECONDS, MAILBOX, where))


async def tell(node: WorldNode, to: str, *descriptors: bytes) -> None:
    """Have a node tell a contact of relays, besides that it collects nowhere."""
    who = await node.id_of(to)

    def say(tx: Transaction) -> None:
        contact = tx.contact(who)
        assert contact is not None
        outbound.queue(tx, contact, Queues((), descriptors))

    await node.engine.committer.submit(say)


async def pair_of_relays(world: World, folder: Path) -> tuple[FullRelay, FullRelay]:
    home, other = [await full_relay(world, name, folder, listed=True) for name in ("home", "other")]
    home.knows(other)
    other.knows(home)
    return home, other


def test_who_finds_no_relay_of_theirs_comes_in_by_one_that_it_told_of(tmp_path: Path) -> None:
    """Alice, whom nobody can dial, has one relay. It tells her of another before it is gone, and that one is enough to
    be reached by after a restart; when her own is back, it alone is used.
    """

    async def main(world: World) -> None:
        home, other = await pair_of_relays(world, tmp_path)
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(bob, alice)
        await alice.call("relays", add=home.line)
        await trio.sleep(60)
        assert circuits_of(alice) == {home.peer}
        assert known(alice) == {home.peer, other.peer}
        await alice.stop()
        home.host.stop()
        alice = await world.start("alice", lambda node: setattr(node.host, "walled", True))
        began = trio.current_time()

        async def is_in() -> bool:
            return circuits_of(alice) == {other.peer}

        await until(is_in)
        assert trio.current_time() - began < 10
        await trio.sleep(60)  # she dials bob, and tells him
        await bob.stop()
        bob = await world.start("bob")
        await bob.call("send", chat="alice", text="there you are", wait="delivered", timeout=600)
        assert [row.peer for row in store_relays.all(alice.db)] == [home.peer]
        assert (await alice.call("invite"))["invite"]  # names no relay that was only learnt
        assert other.opened == []  # nothing of hers is kept there
        home.host.start()

        async def is_home() -> bool:
            return circuits_of(alice) == {home.peer}

        await until(is_home)

    run_world(tmp_path, main)


def test_a_relay_that_moves_is_found_at_its_new_address_by_what_others_tell(tmp_path: Path) -> None:
    """It moves while alice and bob are away, and nobody but another relay hears of it."""

    async def main(world: World) -> None:
        home, other = await pair_of_relays(world, tmp_path)
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(bob, alice)
        await alice.call("relays", add=home.line)
        await trio.sleep(120)
        world.cut(alice, bob)
        given = store_relays.all(alice.db)[0].addresses
        await alice.stop()
        home.host.stop()
        world.move("home")
        home.host.start()
        await trio.sleep(2 * 3600)
        other.knows(home)
        alice = await world.start("alice")
        await trio.sleep(60)  # by the other relay she learns where hers is
        row = store_relays.all(alice.db)[0]
        assert row.addresses == given
        assert row.reached_at == (multiaddrs.pack(home.host.addresses()[0]), *given)
        await until(lambda: connected(alice, home))
        await bob.call("relays", add=other.line)
        await trio.sleep(60)
        await bob.call("send", chat="alice", text="found again", wait="delivered", timeout=3600)

    async def connected(node: WorldNode, relay: FullRelay) -> bool:
        return any(row["state"] == "connected" for row in await node.call("relays"))

    run_world(tmp_path, main)


def test_what_is_known_of_others_is_listed_and_one_can_be_kept_or_forgotten(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        home, other = await pair_of_relays(world, tmp_path)
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("relays", add=home.line)
        await trio.sleep(60)
        await tell(bob, "alice", forged(world, 1))
        await trio.sleep(60)
        assert len(await alice.call("relays")) == 1

        async def told() -> list[dict[str, Any]]:
            return [row for row in await alice.call("relays", all=True) if row["state"] == "told"]

        rows = {row["told_by"]: row for row in await told()}
        assert rows["relay"]["address"] == other.line.partition("#")[0]
        assert rows["relay"]["source"] == home.line.partition("#")[0]
        assert (rows["contact"]["source"], rows["contact"]["worked"], rows["contact"]["in_use"]) == ("bob", None, False)
        assert rows["contact"]["stores"]
        facts = await alice.call("network")
        assert facts["other_relays"] == {"known": 2, "worked": 0, "in_use": 0}

        await alice.call("relays", remove=rows["contact"]["address"])
        assert [row["told_by"] for row in await told()] == ["relay"]
        with pytest.raises(UsageError):
            await alice.call("relays", remove=rows["contact"]["address"])
        await alice.call("relays", add=rows["relay"]["address"])
        assert await told() == []
        assert {row.peer for row in store_relays.all(alice.db)} == {home.peer, other.peer}

    run_world(tmp_path, main)


def test_a_flood_of_relays_that_a_contact_makes_up_displaces_none(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        home, other = await pair_of_relays(world, tmp_path)
        alice, mallory = await world.start("alice"), await world.start("mallory")
        await befriend(alice, mallory)
        await alice.call("relays", add=home.line)
        await trio.sleep(60)
        before = [(row.peer, row.reached_at) for row in store_relays.all(alice.db)]
        false = replace(open_descriptor(home.listing.own()), addresses=("/ip4/20.0.0.1/tcp/1",), sequence=1 << 50)
        await tell(mallory, "alice", sign_descriptor(world.entropy.random(32), false))
        for number in range(0, 48, 4):
            await tell(mallory, "alice", *(forged(world, number + more) for more in range(4)))
            await trio.sleep(6 * 3600)
        assert [(row.peer, row.reached_at) for row in store_relays.all(alice.db)] == before
        assert {home.peer, other.peer} <= known(alice)
        assert len(known(alice)) <= 2 + MAX_A_SOURCE

    run_world(tmp_path, main)


@pytest.mark.parametrize("private", [False, True])
def test_contacts_pass_on_what_relays_say_of_themselves_unless_they_are_unlisted(tmp_path: Path, private: bool) -> None:
    async def main(world: World) -> None:
        home = await full_relay(world, "home", tmp_path, listed=True, private=private)
        quiet = await full_relay(world, "quiet", tmp_path)
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await bob.call("relays", add=quiet.line)
        await alice.call("relays", add=home.line)
        await trio.sleep(60)
        assert known(alice) == {home.peer}
        await world.sleep_days(8)  # her queues are renewed
        await trio.sleep(7200)
        assert known(bob) == (set() if private else {home.peer})
        told = await alice.engine.committer.submit(known_relays.to_tell, [home.peer])
        assert told == (() if private else (store_known_relays.all(alice.db)[0].raw,))
        await alice.call("relays", remove=home.line)
        await trio.sleep(7200)
        assert known(alice) == (set() if private else {home.peer})

    run_world(tmp_path, main)


def test_of_those_one_hides_from_nothing_is_taken_and_they_are_told_of_no_relay(tmp_path: Path) -> None:
    """A relay that only we were told of would see from where we come; and what a relay has told us alone, they could
    tell its operator.
    """

    async def main(world: World) -> None:
        home, _ = await pair_of_relays(world, tmp_path)
        alice, mallory = await world.start("alice"), await world.start("mallory")
        for node in (alice, mallory):
            await node.call("relays", add=home.line)
        await trio.sleep(60)
        before = known(alice)
        invite = await alice.call("invite", hide=True)
        await mallory.call("add", invite=invite["invite"], wait="accepted", timeout=3600)
        await tell(mallory, "alice", forged(world, 1))
        await trio.sleep(600)
        assert known(alice) == before
        made_up = forged(world, 2)
        await alice.engine.committer.submit(relay_web.told_by_relay, home.peer, [made_up])
        await world.sleep_days(8)  # her queues are renewed
        await trio.sleep(7200)
        peer = open_descriptor(made_up).relay
        assert peer in known(alice)
        assert peer not in known(mallory)

    run_world(tmp_path, main)


def test_a_relay_of_ours_leads_to_no_local_network_but_its_own(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        seed, made = world.entropy.random(32), world.now() // 1000
        peer = PeerKey(sign_public(seed))
        at_home = PeerKey(sign_public(world.entropy.random(32)))
        await alice.call("relays", add=multiaddrs.full(at_home, "/ip4/192.168.1.2/tcp/4001"))
        await alice.call("relays", add=multiaddrs.full(peer, "/ip4/20.0.0.1/tcp/4001"))
        where = ("/ip4/192.168.1.1/tcp/80", "/ip4/20.0.0.2/tcp/4001", "/ip6/64:ff9b::c0a8:101/tcp/80")
        says = sign_descriptor(seed, Descriptor(peer, made, made, made + LIFE_SECONDS, MAILBOX, where))
        await alice.engine.committer.submit(relay_web.told_by_relay, peer, [says])
        (row,) = [row for row in store_relays.all(alice.db) if row.peer == peer]
        assert row.described == (multiaddrs.pack(where[1]),)

    run_world(tmp_path, main)


def test_a_node_dials_what_it_was_told_of_seldom(tmp_path: Path) -> None:
    """While none of its own relays answers, made-up ones lead to somebody's address, hour after hour."""

    async def main(world: World) -> None:
        home = await full_relay(world, "home", tmp_path, listed=True)
        alice = await world.start("alice")
        await alice.call("relays", add=home.line)
        await trio.sleep(60)
        made_up = [forged(world, number) for number in range(12)]
        await alice.engine.committer.submit(relay_web.told_by_relay, home.peer, made_up)
        home.host.stop()
        await trio.sleep(600)
        made = {open_descriptor(raw).relay for raw in made_up}
        world.dialled.clear()
        await trio.sleep(12 * 3600)
        dials = [there for _, there, _ in world.dialled if there in made]
        assert 0 < len(dials) <= 12 * MAX_FALLBACKS * 2  # once in half an hour to an hour, for each of these

    run_world(tmp_path, main)
