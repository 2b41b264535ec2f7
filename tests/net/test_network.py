"""Two people's networks over real hosts and relays on loopback: falling over, going direct, hiding."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
from libp2p.identity.identify.pb.identify_pb2 import Identify
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.delivery import Route
from p2pchat.core.file_frames import GET, Get, encode_get
from p2pchat.core.files import BlobPlace
from p2pchat.core.frames import ENVELOPE, HELLO, Frame
from p2pchat.core.ids import ContactId, InviteId, PeerKey, QueueId, SessionId
from p2pchat.core.names import file_name
from p2pchat.core.relays import Relay
from p2pchat.core.session import Pair, file_tag, hello_days, pair
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.net import allowance, multiaddrs
from p2pchat.net.files.streams import WINDOW_BYTES
from p2pchat.net.frames import write_frames
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.connections import PING_AFTER_SECONDS, PONG_TIMEOUT
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.yamux import WINDOW_TIMEOUT
from p2pchat.net.network import Network
from p2pchat.net.ports import Branching
from p2pchat.net.relays.circuit_relay import CircuitLimits, CircuitRelay
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.ports import Blobs, InviteOffer, NetHandler
from tests.conftest import run
from tests.support.boxes import Keys
from tests.support.hosts import Middle, live_connections, make
from tests.support.mails import Letters, own, serving
from tests.support.relays import NOW, Place, clock, echoes, ended, meeting, refuse_reservations
from tests.support.shelf import FILE, Shelf, blob, blobs

if TYPE_CHECKING:
    from trio_typing import TaskStatus

ALICE, BOB = ContactId(b"alice..."), ContactId(b"bob.....")
LETTER = Frame(ENVELOPE, bytes(4096))


class Person:
    """A network, and what it tells: stands for an engine with one contact."""

    def __init__(self, number: int, me: bytes, other: bytes) -> None:
        self.host = make(number)
        self.hidden_host = LibP2PHost(bytes([number + 100]) * 32, ())
        self.other = other
        self.hides = False
        self.routes: list[str] = []
        self.links = 0
        self.found_at: list[str] = []
        self._followers: list[Callable[[Iterable[ContactId]], None]] = []
        self._pair = pair(ContactId(other), SessionId(b"t" * 32), b"r" * 32, me, other)
        self._changed = trio.Event()
        self.network = Network(self.host, self.hidden_host, Random(number).randbytes)

    def pairs(self, contact: ContactId) -> Sequence[Pair]:
        return [self._pair]

    def follow(self, changed: Callable[[Iterable[ContactId]], None]) -> None:
        self._followers.append(changed)
        changed([ContactId(self.other)])

    def now(self) -> int:
        return NOW

    def hidden(self, contact: ContactId) -> bool:
        return self.hides

    def hide(self) -> None:
        self.hides = True
        for told in self._followers:
            told([ContactId(self.other)])

    def found(self, address: bytes) -> None:
        self.found_at.append(multiaddrs.unpack(address))

    def moved(self) -> None:
        self._wake()

    async def received(self, contact: ContactId, session_id: SessionId, route: Route, frames: list[Frame]) -> None:
        self.routes += [route] * len(frames)
        self._wake()
        await trio.lowlevel.checkpoint()

    def link_up(self, contact: ContactId, session_id: SessionId) -> None:
        self.links += 1
        self._wake()

    def link_down(self, contact: ContactId) -> None:
        self.links -= 1
        self.network.lost(contact)
        self._wake()

    def stalled(self, contact: ContactId) -> None:
        self._wake()

    def unreached(self, contact: ContactId) -> None:
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    async def hears(self, by: Person) -> str:
        """The route of one frame from the other."""
        count = len(self.routes)
        assert by.network.send(ContactId(by.other), [LETTER])
        await self.until(lambda: len(self.routes) > count)
        return self.routes[-1]

    # nobody joins here, and there are no mailboxes

    async def collected(self, relay: bytes, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        raise NotImplementedError

    def deposited(self, relay: bytes, done: Sequence[tuple[int, int]]) -> None:
        raise NotImplementedError

    def undeposited(self, relay: bytes, numbers: Sequence[int]) -> None:
        raise NotImplementedError

    def relay_up(self, relay: bytes) -> None:
        raise NotImplementedError

    def relay_down(self, relay: bytes, *, tried: bool) -> None:
        raise NotImplementedError

    def relays_told(self, relay: bytes, descriptors: Sequence[bytes]) -> None:
        raise NotImplementedError

    def offer(self, invite: InviteId) -> InviteOffer | None:
        raise NotImplementedError

    def follow_offers(self, changed: Callable[[Iterable[InviteId]], None]) -> None:
        pass

    async def offer_bundle(self, invite: InviteId) -> bytes | None:
        raise NotImplementedError

    async def tried(self, invite: InviteId, peer: PeerKey) -> None:
        raise NotImplementedError

    async def admit(self, invite: InviteId, blob: bytes) -> bool:
        raise NotImplementedError

    async def pending(self, contact: ContactId) -> bytes | None:
        raise NotImplementedError

    async def answer_bundle(self, contact: ContactId, blob: bytes) -> bytes | None:
        raise NotImplementedError

    async def joined(self, contact: ContactId) -> None:
        raise NotImplementedError

    async def refused(self, contact: ContactId, reason: int) -> None:
        raise NotImplementedError


class RunningRelay:
    """A relay that can be killed."""

    def __init__(self, number: int, limits: CircuitLimits) -> None:
        self.host = make(number)
        self.circuits = CircuitRelay(self.host, limits, clock)
        self.host.handle(circuit_messages.HOP, self.circuits.serve)
        self._life = trio.CancelScope()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self._life:
            await self.host.run(task_status=task_status)

    def kill(self) -> None:
        self._life.cancel()

    @property
    def known_as(self) -> Relay:
        return Relay(self.host.peer, tuple(multiaddrs.pack(address) for address in self.host.addresses()))


@asynccontextmanager
async def people(
    limits: CircuitLimits = CircuitLimits(),  # noqa: B008 - it cannot be changed
) -> AsyncIterator[tuple[Person, Person, list[RunningRelay]]]:
    """Alice and bob, who are reached by two relays."""
    async with trio.open_nursery() as nursery:
        relays = [RunningRelay(8, limits), RunningRelay(9, limits)]
        for relay in relays:
            await nursery.start(relay.run)
        alice, bob = Person(1, ALICE, BOB), Person(2, BOB, ALICE)
        for person in (alice, bob):
            await nursery.start(person.network.run, NetHandler(person, person, person))
            for host in (person.host, person.hidden_host):
                await nursery.start(host.run)
            person.network.use_relays([relay.known_as for relay in relays])
            await person.until(lambda person=person: len(circuits(person)) == 2)  # type: ignore[misc]
        yield alice, bob, relays
        nursery.cancel_scope.cancel()


def circuits(person: Person, *, hidden: bool = False) -> list[tuple[PeerKey, bytes]]:
    """The ways that lead by relays."""
    ways = person.network.ways(hidden=hidden)
    return [(peer, way) for peer, way in ways if multiaddrs.parse_target(multiaddrs.unpack(way)).relay is not None]


def test_when_the_relay_is_killed_the_link_is_made_by_the_other() -> None:
    async def main() -> None:
        async with people() as (alice, bob, relays):
            alice.network.reach(BOB, circuits(bob))
            await alice.until(lambda: alice.links == 1)
            await bob.until(lambda: bob.links == 1)
            assert await bob.hears(alice) == "circuit"
            (used,) = [relay for relay in relays if carries(relay, alice, bob)]
            used.kill()
            await alice.until(lambda: alice.links == 0)
            await alice.until(lambda: alice.links == 1)
            await bob.until(lambda: bob.links == 1)
            assert await alice.hears(bob) == "circuit"
            assert len(circuits(bob)) == 1

    run(main, MockClock(rate=10))


def carries(relay: RunningRelay, alice: Person, bob: Person) -> bool:
    """Whether the circuit between the two is this relay's."""
    (conn,) = live_connections(alice.host, bob.host)
    return conn.muxed_conn.wire.place == f"relay {multiaddrs.peer_id(relay.host.peer)}"


def test_a_direct_way_that_becomes_known_takes_the_link_and_ends_the_circuit() -> None:
    async def main() -> None:
        async with people() as (alice, bob, _):
            alice.network.reach(BOB, circuits(bob))
            await alice.until(lambda: alice.network.route(BOB) == "circuit")
            alice.network.reach(BOB, bob.network.ways())
            await alice.until(lambda: alice.network.route(BOB) == "direct")
            await bob.until(lambda: bob.network.route(ALICE) == "direct")
            assert await bob.hears(alice) == await alice.hears(bob) == "direct"
            await alice.until(lambda: alice.links == 1)
            await bob.until(lambda: bob.links == 1)
            assert alice.network.route(BOB) == bob.network.route(ALICE) == "direct"
            await until_one_connection(alice, bob)
            (conn,) = live_connections(alice.host, bob.host)
            assert conn.muxed_conn.route == "direct"
            assert await bob.hears(alice) == "direct"
            assert (alice.network.view.path(BOB).family, bob.network.view.path(ALICE).family) == ("IPv4", "IPv4")

    run(main, MockClock(rate=10))


def test_a_contact_who_comes_from_outside_shows_where_we_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a connection that they made; not by one of ours, nor by a relay."""
    monkeypatch.setattr(multiaddrs, "from_outside", lambda here, there: here == there == "127.0.0.1")

    async def main() -> None:
        async with people() as (alice, bob, _):
            alice.network.reach(BOB, circuits(bob))
            await bob.until(lambda: bob.links == 1)
            assert bob.found_at == []
            alice.network.reach(BOB, bob.network.ways())
            await bob.until(lambda: bob.network.route(ALICE) == "direct")
            assert bob.found_at == list(bob.host.addresses())
            assert alice.found_at == []
            assert bob.host.found_at(alice.host.peer) == bob.host.addresses()[0]
            await alice.host.disconnect(bob.host.peer)
            while bob.host.found_at(alice.host.peer):
                await trio.lowlevel.checkpoint()

    run(main, MockClock(rate=10))


def test_who_comes_by_a_port_that_the_router_opened_shows_where_we_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The router is where they see it, and the connection arrives at our own address behind it."""
    opened = "/ip4/11.0.3.2/tcp/4001"
    monkeypatch.setattr(multiaddrs, "from_outside", lambda here, there: (here, there) == ("11.0.3.2", "127.0.0.1"))

    async def main() -> None:
        async with people() as (alice, bob, _):
            bound = multiaddrs.parse(bob.host.addresses()[0])
            bob.host.mapped = lambda here, port: opened if (here, port) == ("127.0.0.1", bound.port) else ""
            alice.network.reach(BOB, bob.network.ways())
            await bob.until(lambda: bob.links == 1)
            assert bob.found_at == [opened]
            assert bob.host.found_at(alice.host.peer) == opened
            bob.found_at.clear()
            async with trio.open_nursery() as nursery:  # bob opens the link, by the connection that alice made
                links = bob.network._open.links
                nursery.start_soon(partial(links.dial, ALICE, alice.host.peer, (), 0, lambda: None))
                await bob.until(lambda: bob.found_at == [opened])
                nursery.cancel_scope.cancel()

    run(main, MockClock(rate=10))


def test_files_come_by_circuits_and_directly_and_messages_pass_them() -> None:
    async def main() -> None:
        async with people() as (alice, bob, _):
            shelf = bob.network._open.files.answers = Shelf(64)
            alice.network.reach(BOB, circuits(bob))
            await alice.until(lambda: alice.network.route(BOB) == "circuit")
            await _fetch_all(alice, bob, shelf)
            (circuit,) = live_connections(alice.host, bob.host)
            alice.network.reach(BOB, bob.network.ways())
            await alice.until(lambda: alice.network.route(BOB) == "direct")
            await _fetch_all(alice, bob, shelf)
            await until_one_connection(alice, bob)
            assert not circuit.alive
            # who asks and never reads is left, and nobody else is
            (conn,) = live_connections(alice.host, bob.host)
            link = alice.network._best(BOB)
            assert link is not None
            assert isinstance(link.stream, Branching)
            day = hello_days(NOW)[0]
            name, tag = file_name(alice.pairs(BOB)[0].ours, bob.host.peer, day), file_tag
            stream = await link.stream.beside(name, WINDOW_BYTES)
            hello = Frame(HELLO, tag(alice.pairs(BOB)[0].ours, alice.host.peer, bob.host.peer, day))
            gets = [Frame(GET, encode_get(Get(n, FILE, BlobPlace(0, 16 * n), 16))) for n in range(4)]
            await write_frames(stream, [hello, *gets])
            shelf.asked.clear()
            await trio.sleep(WINDOW_TIMEOUT + 1)
            assert len(shelf.asked) < 8
            assert await bob.hears(alice) == await alice.hears(bob) == "direct"
            assert conn.alive

    run(main, MockClock(rate=10))


def test_a_file_that_is_too_large_for_a_circuit_comes_by_several_and_none_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allowance, "MIN_FILES_BYTES", 1 << 20)

    async def main() -> None:
        async with people(CircuitLimits(bytes=3 << 20)) as (alice, bob, relays):
            bob.network._open.files.answers = Shelf(64)
            for one, other, other_id in ((alice, bob, BOB), (bob, alice, ALICE)):
                one.network.reach(other_id, circuits(other))
            await alice.until(lambda: alice.network.route(BOB) == "circuit")
            found: list[bytes] = []
            refused = 0
            while len(found) < 64:
                try:
                    found += (await alice.network.files.get(BOB, blobs(len(found), 8))).blobs
                except (Unreachable, LinkLost):
                    refused += 1
                    await trio.sleep(0.5)
                assert await bob.hears(alice) == "circuit"
            assert found == [blob(number) for number in range(64)]
            assert refused
            assert sum(relay.circuits.counts.joined for relay in relays) > 2
            assert sum(relay.circuits.counts.cut for relay in relays) == 0

    run(main, MockClock(rate=10))


async def _fetch_all(alice: Person, bob: Person, shelf: Shelf) -> None:
    """Get a file by four calls at once; messages go to and fro meanwhile."""
    found: dict[int, Blobs] = {}

    async def get(first: int) -> None:
        found[first] = await alice.network.files.get(BOB, blobs(first, 16))

    async def talk() -> None:
        while len(found) < 4:
            await bob.hears(alice)
            await alice.hears(bob)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        for first in range(0, shelf.chunks, 16):
            nursery.start_soon(get, first)
    assert found == {first: Blobs([blob(n) for n in range(first, first + 16)]) for first in range(0, 64, 16)}


async def until_one_connection(alice: Person, bob: Person) -> None:
    with trio.fail_after(CircuitLimits().idle / 2):  # before the relay ends it
        while len(live_connections(alice.host, bob.host)) > 1:
            await trio.lowlevel.checkpoint()


def test_hidden_people_are_met_at_another_host_by_circuits_only() -> None:
    async def main() -> None:
        async with people() as (alice, bob, _):
            alice.hide()
            assert circuits(alice, hidden=True) == []  # nobody was hidden, nobody needs it
            alice.network.hide()
            await alice.until(lambda: len(circuits(alice, hidden=True)) == 2)
            ways = alice.network.ways(hidden=True)
            assert ways == circuits(alice, hidden=True)
            assert {peer for peer, _ in ways} == {alice.hidden_host.peer}
            assert alice.hidden_host.addresses() == ()
            alice.network.reach(BOB, bob.network.ways())
            await alice.until(lambda: alice.links == 1)
            await bob.until(lambda: bob.links == 1)
            assert await bob.hears(alice) == await alice.hears(bob) == "circuit"
            bob.network.reach(ALICE, ways)
            await wait_all_tasks_blocked(0.05)
            assert live_connections(alice.host, bob.host) == []
            assert [conn.muxed_conn.route for conn in live_connections(alice.hidden_host, bob.host)] == ["circuit"]

    run(main, MockClock(rate=10))


# --- a relay that is gone without a word ----------------------------------------------------------------------------


def test_a_relay_that_answers_no_more_is_left_with_its_circuits_in_twenty_five_seconds() -> None:
    mock = MockClock()

    async def main() -> None:
        async with meeting() as here, trio.open_nursery() as nursery:
            middle = Middle(here.relay)
            await nursery.start(middle.run)
            dave = make(4)
            await nursery.start(dave.run)
            place = Place(dave, nursery)
            place.kept.want(here.relay.peer, RelayAccess((middle.address,)))
            await place.until(here.relay)
            stream = await here.alice.open(dave.peer, here.ways(), "/test/echo/1")
            assert await echoes(stream)
            back = await dave.open(here.alice.peer, (), "/test/echo/1")
            for _ in range(10):  # as long as it answers
                mock.jump(PING_AFTER_SECONDS)
                await wait_all_tasks_blocked(0.05)
                assert place.kept.held(here.relay.peer)
            middle.cut = True
            mock.jump(PING_AFTER_SECONDS)
            await wait_all_tasks_blocked(0.05)
            assert place.kept.held(here.relay.peer)
            mock.jump(PONG_TIMEOUT)
            await place.until(here.relay, held=False)
            assert await ended(back)
            assert PING_AFTER_SECONDS + PONG_TIMEOUT <= 30
            nursery.cancel_scope.cancel()

    run(main, mock)


# --- identify -------------------------------------------------------------------------------------------------------


def test_identify_over_a_circuit_gives_no_address() -> None:
    async def main() -> None:
        async with meeting() as here:
            stream = await here.call(here.alice, here.bob, "/ipfs/id/1.0.0")
            assert stream.route == "circuit"
            answer = b""
            while piece := await stream.read(4096):
                answer += piece
            message = Identify.FromString(answer[2:])
            assert message.public_key
            assert not message.listen_addrs
            assert not message.observed_addr
            assert bytes((127, 0, 0, 1)) not in answer
            assert b"127.0.0.1" not in answer

    run(main)


def test_a_relay_whose_mailbox_answers_is_asked_for_a_place_at_once(tmp_path: Path) -> None:
    """While it was away the waits for a place have grown; its mailbox is tried more often."""

    async def main() -> None:
        bob, relay = Person(2, BOB, ALICE), make(9)
        asked = refuse_reservations(relay)
        async with serving(relay, tmp_path) as served, trio.open_nursery() as nursery:
            for started in (bob.host.run, bob.hidden_host.run):
                await nursery.start(started)
            await nursery.start(bob.network.run, NetHandler(bob, bob, Letters()))
            bob.network.use_relays([served.relay])
            for _ in range(7):
                await asked.receive()
            await wait_all_tasks_blocked(0.01)
            bob.network.mailboxes.watch(served.relay, [own(Keys("bob"))])
            before = trio.current_time()
            assert await asked.receive() - before < 2
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0.05))
