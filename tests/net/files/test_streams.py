"""Streams for files beside links: who gets one, on which connection, and how they end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core.file_frames import BLOB, FROM_RECIPIENT, FROM_SENDER, GET, Get, encode_get
from p2pchat.core.files import BlobPlace
from p2pchat.core.frames import HELLO, Frame, pack
from p2pchat.core.ids import ContactId, FileId, PeerKey
from p2pchat.core.names import file_name
from p2pchat.core.session import Pair, file_tag, hello_days, hello_tag
from p2pchat.engine.contacts import transport_keys
from p2pchat.errors import LinkLost, NotServed, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.allowance import MIN_FILES_BYTES, CircuitTerms
from p2pchat.net.files.asking import ASK_AFTER_SECONDS, SILENCE_SECONDS
from p2pchat.net.frames import DEADLINE, FrameReader
from p2pchat.net.links.judging import STALLED_AFTER_SECONDS
from p2pchat.net.links.link import CIRCUIT_LINGER_SECONDS, Link
from p2pchat.net.ports import Caller, Stream
from p2pchat.ports import Blobs, NoBlob
from p2pchat.store.database import Database
from tests.support.databases import KEY
from tests.support.shelf import FILE, Shelf, blob, blobs
from tests.support.world import FakeHost, FakeStream, World, WorldNode, befriend, run_world, until

OTHER = FileId(b"is not here 1234")


def shelve(node: WorldNode, chunks: int = 100) -> Shelf:
    """Have a node give the blobs of a made-up file."""
    shelf = Shelf(chunks)
    for endpoint in (node.net._open, node.net._hidden):
        endpoint.files.answers = shelf
    return shelf


async def friends(world: World) -> tuple[WorldNode, WorldNode, ContactId]:
    """Alice, Bob and his id at hers, with a link."""
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    await alice.call("send", chat="bob", text="begin", wait="delivered")
    await trio.sleep(1)
    return alice, bob, await alice.id_of("bob")


def streams_of(world: World, node: WorldNode) -> list[FakeStream]:
    """Where a node has said hello for files, or asked: its ends of those streams."""
    return [stream for stream in node.host.streams if stream not in links_of(node)]


def links_of(node: WorldNode) -> list[Stream]:
    return [link.stream for links in node.net._open.links._links.values() for link in links]


def test_blobs_come_beside_a_link(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, contact = await friends(world)
        shelf = shelve(bob)
        assert await alice.net.files.get(contact, blobs(0, 1, OTHER)) == Blobs([], NoBlob.UNKNOWN)
        opened = len(world.opened)
        found: dict[int, Blobs] = {}

        async def fetch(first: int) -> None:
            found[first] = await alice.net.files.get(contact, blobs(first, 16))

        async with trio.open_nursery() as nursery:
            for first in range(0, 96, 16):
                nursery.start_soon(fetch, first)
        assert found == {first: Blobs([blob(n) for n in range(first, first + 16)]) for first in range(0, 96, 16)}
        assert {asker for asker, _ in shelf.asked} == {await bob.id_of("alice")}
        assert await alice.net.files.get(contact, blobs(99, 16)) == Blobs([blob(99)], NoBlob.NOT_NOW)
        assert len(world.opened) == opened, "all are asked on one stream"
        await bob.call("send", chat="alice", text="and", wait="delivered")

    run_world(tmp_path, main)


def test_who_sent_no_file_has_none(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _, contact = await friends(world)
        assert await alice.net.files.get(contact, blobs(0, 1)) == Blobs([], NoBlob.UNKNOWN)

    run_world(tmp_path, main)


def test_nothing_is_asked_without_a_link_that_works(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, contact = await friends(world)
        shelve(bob)
        with pytest.raises(Unreachable):
            await alice.net.files.get(ContactId(b"nobody"), blobs(0, 1))
        alice.net._open.links.doubt(contact)
        with pytest.raises(Unreachable):
            await alice.net.files.get(contact, blobs(0, 1))
        await trio.sleep(1)
        await alice.net.files.get(contact, blobs(0, 1))
        await bob.stop()
        with pytest.raises(Unreachable):
            await alice.net.files.get(contact, blobs(0, 1))

    run_world(tmp_path, main)


def test_a_cut_is_noticed_and_the_next_link_has_its_own_stream(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, contact = await friends(world)
        shelve(bob)
        await alice.net.files.get(contact, blobs(0, 1))
        world.cut(alice, bob)
        began = trio.current_time()
        with pytest.raises(LinkLost):
            await alice.net.files.get(contact, blobs(1, 1))
        assert trio.current_time() - began == pytest.approx(ASK_AFTER_SECONDS + STALLED_AFTER_SECONDS)
        world.mend(alice, bob)
        await alice.call("send", chat="bob", text="again", wait="delivered")
        assert await alice.net.files.get(contact, blobs(1, 1)) == Blobs([blob(1)])

    run_world(tmp_path, main)


def test_a_better_link_takes_the_next_requests(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await world.start("alice"), await world.start("bob")
        for node in (alice, bob):
            node.use(hill)
        await trio.sleep(5)
        alice.host.walled = bob.host.walled = True
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="begin", wait="delivered")
        contact = await alice.id_of("bob")
        shelf = shelve(bob)
        hold = trio.Event()
        shelf.before = hold.wait
        found: list[Blobs] = []

        async def direct() -> bool:
            return alice.net.route(contact) != "circuit"

        async def fetch(first: int) -> None:
            found.append(await alice.net.files.get(contact, blobs(first, 1)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, 0)
            await wait_all_tasks_blocked()
            assert [stream.by for stream in streams_of(world, bob) if stream.there is alice.host] == [hill]
            alice.host.walled = bob.host.walled = False
            for node in (alice, bob):
                for known in list(node.net._open.reach._wanted):
                    node.net._open.reach._improve_soon(known)
            await until(direct, SILENCE_SECONDS)
            nursery.start_soon(fetch, 1)
            await wait_all_tasks_blocked()
            ways = [stream.by for stream in streams_of(world, bob) if stream.there is alice.host]
            assert ways in ([hill, None], [None, hill])
            hold.set()
        await wait_all_tasks_blocked()
        assert len(found) == 2
        assert all(answer in found for answer in (Blobs([blob(0)]), Blobs([blob(1)])))
        assert [stream.by for stream in streams_of(world, bob) if stream.there is alice.host] == [None]

    run_world(tmp_path, main)


@pytest.mark.parametrize("max_bytes", [0, MIN_FILES_BYTES])
def test_files_leave_half_of_a_circuit_to_messages(tmp_path: Path, max_bytes: int) -> None:
    async def main(world: World) -> None:
        alice, _, contact = await by_circuit(world)
        terms = CircuitTerms(max_bytes)
        old = set_terms(alice, terms)
        terms.carried = MIN_FILES_BYTES // 2 - 1
        await alice.net.files.get(contact, blobs(0, 1))
        terms.carried += 1
        if not max_bytes:
            await alice.net.files.get(contact, blobs(0, 1))
            return
        assert len(old) == 2  # both have dialled
        with pytest.raises(Unreachable):
            await alice.net.files.get(contact, blobs(1, 1))
        await trio.sleep(1)
        new = alice.net._best(contact)
        assert new not in old
        assert await alice.net.files.get(contact, blobs(1, 1)) == Blobs([blob(1)])
        await trio.sleep(2 * CIRCUIT_LINGER_SECONDS)
        assert not {*links_of(alice)} & {link.stream for link in old}
        assert alice.net._best(contact) is new
        await alice.call("send", chat="bob", text="still here", wait="delivered")
        assert await alice.net.files.get(contact, blobs(2, 1)) == Blobs([blob(2)])

    run_world(tmp_path, main)


def test_no_file_goes_by_a_circuit_that_may_carry_little(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _, contact = await by_circuit(world)
        old = set_terms(alice, CircuitTerms(MIN_FILES_BYTES - 1))
        with pytest.raises(Unreachable):
            await alice.net.files.get(contact, blobs(0, 1))
        await trio.sleep(10)
        assert links_of(alice) == [link.stream for link in old]

    run_world(tmp_path, main)


def set_terms(node: WorldNode, terms: CircuitTerms) -> list[Link]:
    """Have all circuits of a node's links carry so much; those links."""
    links = [link for links in node.net._open.links._links.values() for link in links]
    for link in links:
        assert isinstance(link.stream, FakeStream)
        link.stream.terms = terms
    return links


async def by_circuit(world: World) -> tuple[WorldNode, WorldNode, ContactId]:
    """The same where both are behind walls, and he has a file."""
    hill = world.relay("hill")
    alice, bob = await world.start("alice"), await world.start("bob")
    for node in (alice, bob):
        node.use(hill)
    await trio.sleep(5)
    alice.host.walled = bob.host.walled = True
    await befriend(alice, bob)
    await alice.call("send", chat="bob", text="begin", wait="delivered")
    await trio.sleep(60)
    shelve(bob)
    return alice, bob, await alice.id_of("bob")


def test_a_contact_who_is_forgotten_is_neither_asked_nor_served(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, contact = await friends(world)
        shelf = shelve(bob)
        shelf.before = trio.sleep_forever

        async def fetch() -> None:
            with pytest.raises(LinkLost), trio.fail_after(SILENCE_SECONDS / 2):
                await alice.net.files.get(contact, blobs(0, 1))

        for node, other in ((alice, "bob"), (bob, "alice")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fetch)
                await wait_all_tasks_blocked()
                node.net.relink(await node.id_of(other))
            await alice.call("send", chat="bob", text="again", wait="delivered")

    run_world(tmp_path, main)


def test_a_stream_can_be_ended_by_itself(tmp_path: Path) -> None:
    """Whatever becomes of the connection that it is on."""

    async def main(world: World) -> None:
        alice, bob, contact = await friends(world)
        shelf = shelve(bob)
        shelf.before = trio.sleep_forever

        async def fetch() -> None:
            with pytest.raises(LinkLost), trio.fail_after(SILENCE_SECONDS / 2):
                await alice.net.files.get(contact, blobs(0, 1))

        links = links_of(alice)
        for node, other in ((alice, "bob"), (bob, "alice")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fetch)
                await wait_all_tasks_blocked()
                node.net._open.files.drop(await node.id_of(other))
        assert links_of(alice) == links

    run_world(tmp_path, main)


# --- played by the test -----------------------------------------------------------------------------------------------


async def in_the_place_of(world: World, node: WorldNode, other: WorldNode) -> tuple[FakeHost, Pair]:
    """Stop a node; a host that the test commands, with its transport key, and its pair with another node."""
    pair = node.engine.link_handler.pairs(await node.id_of(other.name))[0]
    await node.stop()
    seed = transport_keys.transport_seed(Database.open(node.folder / "p2pchat.db", KEY))
    return world.outsider(node.name, seed), pair


async def asked(host: FakeHost, node: WorldNode, pair: Pair, days: int = 0) -> Stream:
    """A stream for files, by the name that the owner of the pair says on that day."""
    day = hello_days(node.clock())[0] + days
    return await host.open(node.host.peer, node.host.addresses(), file_name(pair.ours, node.host.peer, day))


def tag(pair: Pair, host: FakeHost, peer: PeerKey, now: int) -> bytes:
    return file_tag(pair.ours, host.peer, peer, hello_days(now)[0])


def get(number: int, first: int, count: int) -> Frame:
    return Frame(GET, encode_get(Get(number, FILE, BlobPlace(0, first), count)))


async def write(stream: Stream, frames: Iterable[Frame]) -> None:
    await stream.write(b"".join(pack(frame) for frame in frames))


async def is_left(stream: Stream) -> bool:
    with trio.move_on_after(DEADLINE + 1):
        try:
            while await stream.read(1 << 17):
                pass
        except LinkLost:
            pass
        return True
    return False


def test_only_one_who_says_the_name_and_the_hello_is_served(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await friends(world)
        shelf = shelve(alice)
        mallory, pair = await in_the_place_of(world, bob, alice)
        for days in (-1, 0, 1):
            stream = await asked(mallory, alice, pair, days)
            await write(stream, [Frame(HELLO, tag(pair, mallory, alice.host.peer, alice.clock())), get(1, 0, 1)])
            reader = FrameReader(stream, FROM_SENDER)
            hello = await reader.read_one()
            assert hello.body in [
                file_tag(pair.theirs, mallory.peer, alice.host.peer, day) for day in hello_days(alice.clock())
            ]
            assert (await reader.read_one()).type == BLOB
            await stream.close()
        shelf.asked.clear()
        for days in (-2, 2):
            with pytest.raises(NotServed):
                await asked(mallory, alice, pair, days)
        today = hello_days(alice.clock())[0]
        for body in (
            hello_tag(pair.ours, mallory.peer, alice.host.peer, today),  # of a link
            file_tag(pair.theirs, mallory.peer, alice.host.peer, today),  # a mirror
            bytes(16),
        ):
            stream = await asked(mallory, alice, pair)
            await write(stream, [Frame(HELLO, body), get(1, 0, 1)])
            assert await stream.read(1) == b""
        stream = await asked(mallory, alice, pair)
        await write(stream, [get(1, 0, 1)])
        assert await stream.read(1) == b""
        stream = await asked(mallory, alice, pair)  # says nothing
        assert await is_left(stream)
        assert not shelf.asked

    run_world(tmp_path, main)


def test_a_contact_has_two_streams_at_most(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await friends(world)
        shelve(alice)
        mallory, pair = await in_the_place_of(world, bob, alice)
        streams = []
        for _ in range(3):
            streams.append(await asked(mallory, alice, pair))
            await write(streams[-1], [Frame(HELLO, tag(pair, mallory, alice.host.peer, alice.clock()))])
            await FrameReader(streams[-1], FROM_SENDER).read_one()
        await wait_all_tasks_blocked()
        assert [await is_left(stream) for stream in streams] == [True, False, False]

    run_world(tmp_path, main)


def test_one_who_lies_about_files_keeps_the_link(tmp_path: Path) -> None:
    """Bob's host answers the name for files with nonsense; the stream ends, and messages go on."""

    async def main(world: World) -> None:
        alice, bob, contact = await friends(world)
        says: list[bytes] = []

        async def lie(stream: Stream) -> None:
            reader = FrameReader(stream, FROM_RECIPIENT)
            await reader.read_one()
            await stream.write(says[0])
            with suppress(LinkLost):  # where the hello was believed, the answer is right
                number = (await reader.read_one()).body[:4]
                await stream.write(pack(Frame(BLOB, number + blob(0))))
            await is_left(stream)

        async def recognize(name: str, caller: Caller) -> object:
            return lie if (await known[0](name, caller)) is not None and name in files else None

        pair = alice.engine.link_handler.pairs(contact)[0]
        files = {file_name(pair.ours, bob.host.peer, day) for day in hello_days(bob.clock())}
        known = list(bob.host._recognizers[1:2])
        bob.host._recognizers.insert(0, recognize)  # type: ignore[arg-type]
        right = pack(Frame(HELLO, file_tag(pair.theirs, alice.host.peer, bob.host.peer, hello_days(bob.clock())[0])))
        for words in (
            pack(Frame(HELLO, bytes(16))),
            pack(get(1, 0, 1)),
            b"\xff" * 9,
            right + b"\xff" * 9,
            right + right,
        ):
            says[:] = [words]
            with pytest.raises(LinkLost):
                await alice.net.files.get(contact, blobs(0, 1))
            await alice.call("send", chat="bob", text="still here", wait="delivered")
        bob.host._recognizers.pop(0)
        shelve(bob)
        assert await alice.net.files.get(contact, blobs(0, 1)) == Blobs([blob(0)])

    run_world(tmp_path, main)


def test_a_hidden_contact_is_served_where_it_knows_the_host(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await world.start("alice"), await world.start("bob")
        for node in (alice, bob):
            node.use(hill)
        await trio.sleep(5)
        invite = await alice.call("invite", hide=True)
        await bob.call("add", invite=invite["invite"], wait="accepted", timeout=3600)
        await bob.call("send", chat="alice", text="begin", wait="delivered")
        contact = await bob.id_of("alice")
        shelve(alice)
        assert await bob.net.files.get(contact, blobs(0, 1)) == Blobs([blob(0)])
        shelve(bob)
        assert await alice.net.files.get(await alice.id_of("bob"), blobs(1, 1)) == Blobs([blob(1)])
        mallory, pair = await in_the_place_of(world, bob, alice)
        ways = [*alice.host.addresses(), *(multiaddrs.circuit(way, hill.peer) for way in hill.addresses())]
        day = hello_days(alice.clock())[0]
        with pytest.raises(NotServed):
            await mallory.open(alice.host.peer, ways, file_name(pair.ours, alice.host.peer, day))

    run_world(tmp_path, main)
