"""People who have moved while apart find each other by presence records, and nobody else learns from these."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from p2pchat.core import ipns, mailbox, presence
from p2pchat.core.ids import ContactId, MessageId, PeerKey
from p2pchat.core.ipns import IpnsRecord
from p2pchat.core.presence import Whereabouts
from p2pchat.engine.contacts import presence_records
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.store import devices as store_devices
from tests.support.dht import DhtWorld
from tests.support.mailboxes import MailRelay
from tests.support.world import BEGAN, World, WorldNode, befriend, run_world, until
from tests.world.test_hidden import befriend_hidden, marks, people

DAY_S = 86_400


async def parted(world: World, *, hide: bool = False) -> tuple[list[MailRelay], list[MailRelay]]:
    """alice and bob are contacts, each with a relay of their own; both are off, and have moved. Return the relays that
    they had, which take no envelope any more, and others. hide: each hides from the other.
    """
    old, new = ([world.mailbox(f"{age} {number}") for number in range(2)] for age in ("old", "new"))
    alice, bob = await world.start("alice"), await world.start("bob")
    for node, relay in zip((alice, bob), old, strict=True):
        await node.call("relays", add=relay.address)
    await befriend(alice, bob)
    if hide:
        await alice.call("hide", contact="bob")
        await bob.call("hide", contact="alice")
    await trio.sleep(120)  # each knows where the other collects
    for node in (alice, bob):
        await node.stop()
        world.move(node.name)
    for relay in old:
        relay.answers = mailbox.RELAY_FULL
    return old, new


async def linked(one: WorldNode, other: WorldNode) -> bool:
    return one.engine.net.route(await one.id_of(other.name)) is not None


async def meet(world: World) -> float:
    """Start both, and wait until they have a link; the seconds that took."""
    alice, bob = await world.start("alice"), await world.start("bob")
    began = trio.current_time()
    await until(lambda: linked(alice, bob), 3600)
    return trio.current_time() - began


def test_two_whose_addresses_have_changed_find_each_other_within_seconds(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await parted(world)
        assert await meet(world) < 5
        alice, bob = world.nodes["alice"], world.nodes["bob"]
        await alice.call("send", chat="bob", text="found", wait="delivered", timeout=60)
        assert await bob.texts("alice") == ["found"]

    run_world(tmp_path, main)


def test_two_who_have_changed_their_relays_too_are_found_at_those_they_had(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        old, new = await parted(world)
        for name, mine in (("alice", 0), ("bob", 1)):
            node = await world.start(name)
            await node.call("relays", remove=old[mine].address)
            await node.call("relays", add=new[mine].address)
            await trio.sleep(60)
            await node.stop()
            world.move(name)
        assert await meet(world) < 60
        alice, bob = world.nodes["alice"], world.nodes["bob"]
        await alice.call("send", chat="bob", text="found", wait="delivered", timeout=60)
        world.cut(alice, bob)
        await trio.sleep(60)
        await bob.call("send", chat="alice", text="by the new relay", wait="delivered", timeout=120)
        assert new[0].deposited_by("bob"), "of which the record told, or the link that it led to"

    run_world(tmp_path, main)


class Servers:
    """A distributed hash table."""

    def __init__(self) -> None:
        self.kept: dict[bytes, IpnsRecord] = {}

    async def publish(self, record: IpnsRecord) -> int:
        await trio.sleep(2)
        self.kept[record.routing_key] = record
        return 1

    async def look_up(self, routing_key: bytes) -> IpnsRecord | None:
        await trio.sleep(2)
        return self.kept.get(routing_key)


def test_where_no_relay_answers_any_more_they_are_found_in_a_distributed_hash_table(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        servers = Servers()
        for relay in (await parted(world))[0]:
            relay.stop()

        def use(node: WorldNode) -> None:
            node.engine.net.records = servers

        alice, bob = await world.start("alice", use), await world.start("bob", use)
        await until(lambda: linked(alice, bob), 60)

    run_world(tmp_path, main)


@pytest.mark.parametrize("lie", ["withholds", "invents", "stale", "drops"])
def test_a_relay_that_lies_keeps_nobody_apart(tmp_path: Path, lie: str) -> None:
    async def main(world: World) -> None:
        old, _ = await parted(world)
        await world.start("alice")
        await trio.sleep(10)
        await world.nodes["alice"].stop()
        world.move("alice")  # so there is something stale
        setattr(old[0].lies, lie, 1)
        assert await meet(world) < 60

    run_world(tmp_path, main)


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_is_a_day_off_keeps_nobody_apart(tmp_path: Path, days: int) -> None:
    async def main(world: World) -> None:
        await parted(world)

        def off(node: WorldNode) -> None:
            node.skew = days * DAY_MS

        alice, bob = await world.start("alice", off), await world.start("bob")
        await until(lambda: linked(alice, bob), 60)

    run_world(tmp_path, main)


def test_a_record_tells_one_from_whom_we_hide_circuits_only_and_lies_at_our_own_relays_only(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill, own, foreign = world.relay("hill"), world.mailbox("own"), world.mailbox("foreign")
        alice, bob = await people(world, hill)
        await befriend_hidden(alice, bob, hides=alice)
        await alice.call("relays", add=own.address)
        await bob.call("relays", add=foreign.address)
        await trio.sleep(60)
        alice.use(hill)  # the relays of this world are either mailboxes or for circuits
        await trio.sleep(60)
        contact = await alice.id_of("bob")
        said = await alice.engine.committer.submit(presence_records.compose, contact)
        assert {peer for peer, _ in said.ways} == {alice.hidden.peer}
        assert not any(mark in way for _, way in said.ways for mark in marks(alice))
        met = await alice.engine.committer.read(presence_records.meeting_of, alice.engine.me, contact)
        assert met is not None
        assert {relay.peer for relay in (*met.write_to, *met.read_from)} == {own.peer}
        theirs = await bob.engine.committer.read(presence_records.meeting_of, bob.engine.me, await bob.id_of("alice"))
        assert theirs is not None
        assert own.peer in {relay.peer for relay in theirs.write_to}

    run_world(tmp_path, main)


def test_what_an_old_record_says_undoes_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        await parted(world)
        await meet(world)
        alice, bob = world.nodes["alice"], world.nodes["bob"]
        contact = await alice.id_of("bob")
        before = await alice.engine.committer.read(store_devices.ways, contact)
        said = await bob.engine.committer.submit(presence_records.compose, await bob.id_of("alice"))
        old = replace(said, id=MessageId(bytes(16)), ways=((PeerKey(bytes(32)), b"elsewhere"),))
        assert not await alice.engine.committer.submit(presence_records.take_up, contact, old)
        assert await alice.engine.committer.read(store_devices.ways, contact) == before
        # One that names no ways says nothing about them, so it does not stop what was said a moment before.
        later = MessageId((int.from_bytes(said.id, "big") + 1).to_bytes(16, "big"))
        for which, is_news in (
            (replace(said, id=later, ways=(), queues=None), False),
            (replace(said, queues=None), True),
        ):
            assert await alice.engine.committer.submit(presence_records.take_up, contact, which) == is_news
        assert await alice.engine.committer.submit(presence_records.take_up, contact, said)

    run_world(tmp_path, main)


def test_who_is_away_is_looked_for_more_and_more_seldom(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        old, _ = await parted(world)
        await world.start("alice")
        await trio.sleep(DAY_S)
        asked = [request for relay in old for request in relay.requests if request.record is None]
        assert all(any(request.record is None for request in relay.requests) for relay in old), "both are asked"
        assert len(asked) <= 2 * 3 * 20, "two relays, three days, and pauses that double"

    run_world(tmp_path, main)


async def two_with_relays(world: World) -> tuple[list[WorldNode], list[MailRelay]]:
    """Two contacts, each with a relay."""
    relays = [world.mailbox(name) for name in ("one", "two")]
    nodes = [await world.start(name) for name in ("alice", "bob")]
    for node, relay in zip(nodes, relays, strict=True):
        await node.call("relays", add=relay.address)
    await befriend(*nodes)
    return nodes, relays


def test_one_who_is_blocked_while_records_are_being_put_gets_none(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, _), relays = await two_with_relays(world)
        contact = await alice.id_of("bob")
        met = await alice.engine.committer.read(presence_records.meeting_of, alice.engine.me, contact)
        assert met is not None
        await trio.sleep(120)
        for relay in relays:
            relay.requests.clear()
        half_day = presence.half_day(world.now())
        world.soon(alice.engine.presence_records._put_all, half_day)
        await trio.sleep(60)
        await alice.call("block", contact="bob")
        await trio.sleep(7200)
        days = range(BEGAN // DAY_MS, BEGAN // DAY_MS + 2)
        slots = {presence.slot(met.pair.ours, day).public for day in days}
        puts = {request.public for relay in relays for request in relay.requests if request.record is not None}
        assert not slots & puts
        assert (await alice.engine.committer.submit(presence_records.compose, contact)).ways == ()

    run_world(tmp_path, main)


def test_what_cannot_be_put_is_put_later_and_delays_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure on our own disk, and then relays that do not answer for hours."""

    async def main(world: World) -> None:
        (alice, _), relays = await two_with_relays(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        await trio.sleep(120)
        unlucky, compose = await alice.id_of("bob"), presence_records.compose
        failures: list[ContactId] = []

        def failing(tx: Transaction, contact: ContactId) -> Whereabouts:
            if contact == unlucky and len(failures) < 2:
                failures.append(contact)
                raise DiskFull
            return compose(tx, contact)

        monkeypatch.setattr(presence_records, "compose", failing)
        world.slept += -world.now() % (DAY_MS // 2)
        known: dict[bytes, str] = {}
        for name in ("bob", "carol"):
            contact = await alice.id_of(name)
            met = await alice.engine.committer.read(presence_records.meeting_of, alice.engine.me, contact)
            assert met is not None
            days = range(BEGAN // DAY_MS, BEGAN // DAY_MS + 3)
            known |= {presence.slot(met.pair.ours, day).public: name for day in days}

        def put_for() -> set[str]:
            """For whom alice has put records since."""
            return {known[request.public] for relay in relays for request in relay.requests if request.public in known}

        for relay in relays:
            relay.requests.clear()
        await trio.sleep(3 * 3600)
        assert failures == [unlucky] * 2
        assert put_for() == {"bob", "carol"}
        world.slept += DAY_MS // 2 - 3 * HOUR_MS
        for relay in relays:
            relay.stop()
        await trio.sleep(3 * 3600)
        for relay in relays:
            relay.requests.clear()
            relay.start()
        await trio.sleep(3 * 3600)
        assert put_for() == {"bob", "carol"}

    run_world(tmp_path, main)


def test_how_decoys_are_put_does_not_tell_them_from_records(tmp_path: Path) -> None:
    """Each key is used in both halves of its day, and both times all relays get the same bytes at the same time."""

    async def main(world: World) -> None:
        _, relays = await two_with_relays(world)
        world.slept += -world.now() % DAY_MS
        for relay in relays:
            relay.requests.clear()
        for _ in range(2):
            await trio.sleep(3 * 3600)
            world.slept += 9 * 3_600_000
        leads = set()
        seen: list[dict[bytes, list[tuple[bytes, int]]]]
        seen = [{request.public: [] for request in relay.requests} for relay in relays]
        for relay, puts in zip(relays, seen, strict=True):
            for request in relay.requests:
                assert request.record is not None
                puts[request.public].append((request.record, request.at))
                leads.add(_lead(ipns.read(ipns.routing_key(request.public), request.record, 0)))
        assert seen[0] == seen[1]
        assert [len(puts) for puts in seen[0].values()] == [2] * 8, "a record and three decoys for each of two people"
        assert len(leads) > 3, "numbers of the second half are higher by chance"

    run_world(tmp_path, main)


def _lead(record: IpnsRecord) -> int:
    """By how much a record is numbered above the first of its day."""
    return record.sequence - 2 * (record.expires_at // DAY_MS - presence.DAYS_KEPT)


def firsts(relays: list[MailRelay], *, put: bool) -> list[float]:
    """When each key was asked for first, or something was put there, anywhere; in seconds, in order."""
    times: dict[bytes, float] = {}
    for request in sorted((one for relay in relays for one in relay.requests), key=lambda one: one.at):
        if (request.record is not None) == put:
            times.setdefault(request.public, request.at / 1000)
    return sorted(times.values())


@pytest.mark.parametrize("away", [("bob",), ("bob", "carol")])
def test_requests_that_have_to_do_with_each_other_are_seconds_apart(tmp_path: Path, away: tuple[str, ...]) -> None:
    """Who has moved puts a record for each of those who are away, and asks for theirs of three days."""

    async def main(world: World) -> None:
        relays = [world.mailbox(name) for name in ("one", "two")]
        names = ("alice", *away)
        nodes = [await world.start(name) for name in names]
        for node, relay in zip(nodes, relays, strict=False):
            await node.call("relays", add=relay.address)
        for node in nodes[1:]:
            await befriend(nodes[0], node)
        await trio.sleep(120)
        for node in nodes:
            await node.stop()
        world.move("alice")
        for relay in relays:
            relay.requests.clear()
        await world.start("alice")
        await trio.sleep(30)
        puts, gets = firsts(relays, put=True), firsts(relays, put=False)
        assert (len(puts), len(gets)) == (len(away), 3 * len(away))
        together = puts if len(away) > 1 else sorted([*puts, *gets])
        assert min(later - sooner for sooner, later in pairwise(together)) > 0.9

    run_world(tmp_path, main)


@pytest.mark.parametrize("moves", [False, True])
def test_who_goes_is_looked_for_after_a_while_or_at_once_if_we_have_moved(tmp_path: Path, moves: bool) -> None:
    async def main(world: World) -> None:
        (alice, bob), relays = await two_with_relays(world)
        await trio.sleep(7200)
        for relay in relays:
            relay.requests.clear()
        await bob.stop()
        if moves:
            world.move("alice")
            alice.engine.presence_records.moved()
        await trio.sleep(25)
        assert bool(firsts(relays, put=False)) == moves

        async def asked() -> bool:
            await trio.lowlevel.checkpoint()
            return bool(firsts(relays, put=False))

        await until(asked, 150)  # it takes a dial to say so, and a minute after the last one may pass until the next

    run_world(tmp_path, main)


def test_two_whose_relays_are_all_gone_find_each_other_by_the_servers_of_the_dht(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        dht = DhtWorld(world)
        dht.grown(8)
        world.dht = lambda: dht.network("server 0")
        old, _ = await parted(world)
        for relay in old:
            relay.stop()
        assert await meet(world) < 120
        assert all(len(server.records) >= 2 for server in dht.servers.values())

    run_world(tmp_path, main)


def test_for_somebody_hidden_no_stranger_is_asked(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        dht = DhtWorld(world)
        dht.grown(2)
        world.dht = lambda: dht.network("server 0")
        old, _ = await parted(world, hide=True)
        dht.clients.clear()
        for relay in old:
            relay.stop()
        for name in ("alice", "bob"):
            await world.start(name)
        await trio.sleep(DAY_S)
        assert dht.clients == []

    run_world(tmp_path, main)
