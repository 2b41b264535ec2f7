"""Links: who may have one, how its end is noticed, and that nothing said on one hurts more than that one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core import frames
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame, pack
from p2pchat.core.ids import ContactId, PeerKey, SessionId
from p2pchat.core.names import link_name
from p2pchat.core.session import Pair, hello_days, hello_tag
from p2pchat.engine.contacts import transport_keys
from p2pchat.errors import LinkLost, NotServed
from p2pchat.net.frames import DEADLINE, FrameReader
from p2pchat.net.links.judging import LOST_AFTER_SECONDS, PING_AFTER_SECONDS
from p2pchat.net.links.link import FIRST_UNACKED, LAST_UNACKED, MAX_QUEUED, Link
from p2pchat.net.network import Network
from p2pchat.net.ports import Stream
from p2pchat.store.database import Database
from tests.conftest import run
from tests.support.databases import KEY
from tests.support.meddler import Meddler
from tests.support.world import FakeHost, World, WorldNode, befriend, run_world, until

DAY_MS = 86_400_000


async def friends(world: World) -> tuple[WorldNode, WorldNode]:
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    await alice.call("send", chat="bob", text="begin", wait="delivered")
    await trio.sleep(1)
    return alice, bob


async def linked(node: WorldNode) -> bool:
    return (await node.call("contacts"))[0]["route"] is not None


class Through:
    """As much of a stream as says by which route a link goes. punched: through both routers."""

    route, relay, place = Route.DIRECT, None, "192.0.2.1"

    def __init__(self, *, punched: bool) -> None:
        self.punched = punched


def test_a_link_through_both_routers_is_said_to_be_one() -> None:
    async def main() -> None:
        for punched, route in ((True, Route.PUNCHED), (False, Route.DIRECT)):
            link = Link(cast("Stream", Through(punched=punched)), ContactId(b"bob"), SessionId(b"session"))
            assert link.route == route

    run(main)


async def unlinked(node: WorldNode) -> bool:
    return not await linked(node)


async def pair_of(node: WorldNode, name: str) -> Pair:
    return node.engine.link_handler.pairs(await node.id_of(name))[0]


def tag(pair: Pair, host: FakeHost, peer: PeerKey, now: int, days: int = 0) -> bytes:
    """The hello that the owner of `pair` sends."""
    return hello_tag(pair.ours, host.peer, peer, hello_days(now)[0] + days)


async def open_to(host: FakeHost, node: WorldNode, pair: Pair, days: int = 0) -> Stream:
    """A stream by the name that the owner of `pair` says on that day."""
    name = link_name(pair.ours, node.host.peer, hello_days(node.clock())[0] + days)
    return await host.open(node.host.peer, node.host.addresses(), name)


async def says_nothing(stream: Stream, within: float = DEADLINE + 1) -> float:
    """The other side hangs up within `within` seconds without a byte; how long it took."""
    began = trio.current_time()
    with trio.fail_after(within):
        with suppress(LinkLost):
            assert await stream.read(100) == b""
    return trio.current_time() - began


# --- life of a link -------------------------------------------------------------------------------------------------


def test_a_cut_link_is_noticed_by_both_and_mended(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await trio.sleep(100)
        for wait in (0.0, 3.0, 7.0, 13.0):
            await trio.sleep(wait)
            world.cut(alice, bob)
            began = trio.current_time()
            await alice.call("send", chat="bob", text="into the void")
            await until(lambda: unlinked(alice), 30)
            await until(lambda: unlinked(bob), 30 - (trio.current_time() - began))
            assert trio.current_time() - began <= 30
            # its connection with it, or the next stream would be opened on the same dead one
            assert alice.host.disconnected.pop() == bob.host.peer
            world.mend(alice, bob)
            await bob.call("send", chat="alice", text="mended", wait="delivered", timeout=30)
        await until(lambda: everything_arrived(bob, 5))
        assert await bob.texts("alice") == ["begin", *["into the void"] * 4]
        assert await alice.texts("bob") == ["mended"] * 4

    run_world(tmp_path, main, watched=True)


async def everything_arrived(node: WorldNode, count: int) -> bool:
    return len(await node.texts("alice")) == count


def test_who_waits_for_a_link_to_have_written_is_woken_by_its_end(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        contact = await alice.id_of("bob")
        links = alice.net._open.links
        with trio.fail_after(0):
            await links.until_written(contact)
        for link in links._links[contact]:
            link.writing = True  # it does not end
        async with trio.open_nursery() as nursery:
            nursery.start_soon(links.until_written, contact)
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            await bob.stop()

    run_world(tmp_path, main)


def test_an_idle_link_stays_and_a_silence_is_broken_by_a_ping(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        meddler = Meddler(world)
        await trio.sleep(1000)
        pings = len(meddler.of(frames.PING, alice))
        assert (
            1000 / PING_AFTER_SECONDS * 0.4 <= pings <= 2 * 1000 / PING_AFTER_SECONDS
        )  # both may have dialled: that makes two links
        assert len(meddler.of(frames.PONG)) == len(meddler.of(frames.PING))
        assert await linked(alice)
        assert meddler.of(frames.HELLO) == []

    run_world(tmp_path, main, watched=True)


def test_one_who_answers_no_ping_is_left(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.stop()
        bob_host = world.outsider("bob", transport_keys.transport_seed(reopened(bob)))
        pair = await pair_of(alice, "bob")
        theirs = Pair(pair.contact, pair.session_id, pair.theirs, pair.ours)
        ends: list[float] = []

        async def half_open(stream: Stream) -> None:
            await FrameReader(stream).read_one()
            await stream.write(pack(Frame(frames.HELLO, tag(theirs, bob_host, alice.host.peer, alice.clock()))))
            began = trio.current_time()
            with suppress(LinkLost):
                for byte in pack(Frame(frames.ENVELOPE, bytes(4096))):  # it takes what comes, and gives a letter for it
                    if not await stream.read(1000):
                        break
                    await stream.write(bytes((byte,)))
            ends.append(trio.current_time() - began)

        bob_host.answer_to_anything(half_open)
        await alice.call("send", chat="bob", text="hello?")
        await trio.sleep(60)
        assert ends
        assert ends[0] == LOST_AFTER_SECONDS

    run_world(tmp_path, main, watched=True)


def reopened(node: WorldNode) -> Database:
    return Database.open(node.folder / "p2pchat.db", KEY)


def test_both_dial_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        for _ in range(3):
            world.cut(alice, bob)
            await until(lambda: unlinked(alice), 30)
            await until(lambda: unlinked(bob), 30)
            meddler.keep(frames.HELLO)
            world.mend(alice, bob)
            await trio.sleep(6)  # both have said hello by now, and neither has heard it
            meddler.clear()
            kept = await meddler.release()
            assert kept >= 2
            for number in range(3):
                await alice.call("send", chat="bob", text=f"a{number}", wait="delivered")
                await bob.call("send", chat="alice", text=f"b{number}", wait="delivered")
            await trio.sleep(100)
            assert await linked(alice)
            assert await linked(bob)
        assert await bob.texts("alice") == ["begin", *["a0", "a1", "a2"] * 3]
        assert await alice.texts("bob") == ["b0", "b1", "b2"] * 3

    run_world(tmp_path, main)


def test_one_of_two_links_ends_and_the_other_carries_on(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        pair = await pair_of(bob, "alice")
        second = await open_to(bob.host, alice, pair)
        await second.write(pack(Frame(frames.HELLO, tag(pair, bob.host, alice.host.peer, bob.clock()))))
        assert (await FrameReader(second).read_one()).type == frames.HELLO
        # alice writes on the newer one from now on, and nobody reads it
        await alice.call("send", chat="bob", text="to the newer")
        await trio.sleep(1)
        assert await bob.texts("alice") == ["begin"]
        await second.close()
        await until(lambda: everything_arrived(bob, 2), 10)
        assert await linked(alice)

    run_world(tmp_path, main)


def test_what_a_link_may_hold_is_bounded() -> None:
    async def main() -> None:
        link = Link(stream=None, contact=b"", session_id=b"")  # type: ignore[arg-type]
        frame = Frame(frames.PING, b"")
        assert link.post([frame] * MAX_QUEUED)
        assert not link.post([frame])
        assert len(link.queue) == MAX_QUEUED
        await trio.lowlevel.checkpoint()

    run(main)


def test_a_link_that_takes_no_ping_is_ended_and_does_not_spin(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        network = alice.engine.net
        assert isinstance(network, Network)
        link = network._best(await alice.id_of("bob"))
        assert link is not None
        refused: list[float] = []

        def full(frames: object) -> bool:
            refused.append(trio.current_time())
            assert len(refused) < 10, "it spins"
            return False

        link.post = full  # type: ignore[method-assign]
        world.cut(alice, bob)  # or the other side may ask first
        await trio.sleep(PING_AFTER_SECONDS + 1)
        assert len(refused) == 1
        assert network._best(await alice.id_of("bob")) is not link
        world.mend(alice, bob)
        await until(lambda: linked(alice), 30)

    run_world(tmp_path, main, watched=True)


def test_a_new_link_carries_few_envelopes_until_they_are_acked_and_acks_wait_for_none() -> None:
    async def main() -> None:
        link = Link(stream=None, contact=b"", session_id=b"")  # type: ignore[arg-type]
        envelope, ack = Frame(frames.ENVELOPE, bytes(4096)), Frame(frames.ACKS, bytes(16))
        link.post([envelope] * 9)
        link.post([ack])
        assert link.take() == [*[envelope] * FIRST_UNACKED, ack]
        assert link.take() == []
        link.answered([Frame(frames.ACKS, bytes(16 * FIRST_UNACKED))])
        assert link.take() == [envelope] * 2 * FIRST_UNACKED
        link.answered([Frame(frames.PONG, b"")])  # the acks may have come elsewhere
        assert len(link.take()) == 3
        link.answered([Frame(frames.ACKS, bytes(16 * LAST_UNACKED))])
        link.post([envelope] * 1000)
        assert len(link.take()) == 1000
        await trio.lowlevel.checkpoint()

    run(main)


# --- hello ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        b"",
        pack(Frame(frames.HELLO, bytes(16))),
        pack(Frame(frames.PING, b"")),
        pack(Frame(frames.ENVELOPE, bytes(4096))),
        pack(Frame(frames.ACKS, bytes(16))),
        pack(Frame(frames.HELLO, bytes(16)))[:9],
        b"GET / HTTP/1.1\r\n\r\n",
        (2**31).to_bytes(4, "big"),
        pack(Frame(frames.HELLO, bytes(16))) + pack(Frame(frames.PING, b"")) * 1000,
    ],
)
def test_who_knows_the_name_and_no_hello_gets_no_byte(tmp_path: Path, first: bytes) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        mallory = world.outsider("mallory")
        stream = await open_to(mallory, alice, await pair_of(bob, "alice"))
        if first:
            await stream.write(first)
        assert await says_nothing(stream) <= DEADLINE
        assert [who for who, whom, _ in world.traffic if whom == "mallory"] == []

    run_world(tmp_path, main)


def test_many_silent_streams_end_and_disturb_nobody(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        mallory = world.outsider("mallory")
        pair = await pair_of(bob, "alice")
        streams = [await open_to(mallory, alice, pair) for _ in range(200)]
        for number, stream in enumerate(streams):
            await stream.write(pack(Frame(frames.HELLO, bytes(16)))[: number % 21])
        await bob.call("send", chat="alice", text="through", wait="delivered", timeout=5)
        await trio.sleep(DEADLINE + 1)
        assert not [one for one in alice.host.streams if one.peer == mallory.peer]

    run_world(tmp_path, main)


def test_a_tag_holds_for_one_pair_of_hosts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        pair = await pair_of(bob, "alice")
        good = tag(pair, bob.host, alice.host.peer, bob.clock())
        mallory = world.outsider("mallory")
        stolen = await open_to(mallory, alice, pair)
        await stolen.write(pack(Frame(frames.HELLO, good)))  # as recorded, by another host
        await says_nothing(stolen)
        own = await open_to(bob.host, alice, pair)  # the same bytes are good on a connection of bob's
        await own.write(pack(Frame(frames.HELLO, good)))
        assert (await FrameReader(own).read_one()).type == frames.HELLO

    run_world(tmp_path, main)


def test_a_tag_that_comes_back_proves_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        pair = await pair_of(alice, "bob")
        # alice's own tag, sent back to her on a stream with bob's host
        with pytest.raises(NotServed):
            await open_to(bob.host, alice, pair)  # nor does her own name
        stream = await open_to(bob.host, alice, await pair_of(bob, "alice"))
        await stream.write(pack(Frame(frames.HELLO, tag(pair, bob.host, alice.host.peer, alice.clock()))))
        await says_nothing(stream)
        await bob.stop()
        impostor = world.outsider("bob", transport_keys.transport_seed(reopened(bob)))
        heard: list[bytes] = []

        async def echo(stream: Stream) -> None:
            try:
                while data := await stream.read(1000):
                    heard.append(data)
                    await stream.write(data)
            except LinkLost:
                return

        impostor.answer_to_anything(echo)
        await alice.call("send", chat="bob", text="secret")
        await trio.sleep(60)
        assert heard  # she dialled, said hello, and nothing more
        assert {len(data) for data in heard} == {21}
        assert not await linked(alice)

    run_world(tmp_path, main)


@pytest.mark.parametrize(("days", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_tag_holds_for_a_day_more_or_less(tmp_path: Path, days: int, good: bool) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.stop()
        bob = await world.start("bob", lambda node: set_skew(node, days))
        await alice.call("send", chat="bob", text="now")
        await trio.sleep(60)
        assert await linked(alice) is good
        assert await linked(bob) is good
        assert (await bob.texts("alice") == ["begin", "now"]) is good

    run_world(tmp_path, main)


def set_skew(node: WorldNode, days: int) -> None:
    node.skew = days * DAY_MS


# --- hostile frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 100,
        (65_538).to_bytes(4, "big") + bytes((frames.ENVELOPE,)),
        (17).to_bytes(4, "big") + b"\x7f" + bytes(16),
        pack(Frame(frames.ENVELOPE, bytes(4096)))[:3000],
    ],
    ids=["garbage", "oversize", "unknown", "half"],
)
def test_garbage_on_a_link_ends_that_link_only(tmp_path: Path, data: bytes) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        theirs = next(one for one in bob.host.streams if one.peer == alice.host.peer)
        await theirs.deliver(data)
        await trio.sleep(LOST_AFTER_SECONDS + 5)
        await carol.call("send", chat="alice", text="undisturbed", wait="delivered", timeout=5)
        await bob.call("send", chat="alice", text="again", wait="delivered", timeout=30)
        assert await alice.texts("bob") == ["again"]

    run_world(tmp_path, main)


def frames_without_sense() -> list[Frame]:
    return [
        Frame(frames.HELLO, bytes(16)),
        Frame(frames.GONE, b"\x01"),
        Frame(frames.PONG, b""),
        Frame(frames.ACKS, bytes(256 * 16)),
        Frame(frames.REFUSED, bytes(16)),
        Frame(frames.BUNDLE, bytes(4096)),
        Frame(frames.INITIAL, bytes(65_536)),
        Frame(frames.RENEW, b""),
        Frame(frames.ENVELOPE, bytes(16_384)),
    ]


def test_frames_without_sense_change_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        before = await alice.engine.committer.read(lambda db: db.query("SELECT session_id, state FROM sessions"))
        contact = await bob.id_of("alice")
        for frame in frames_without_sense() * 3:
            bob.engine.net.send(contact, [frame])
        await trio.sleep(5)
        assert (
            await alice.engine.committer.read(lambda db: db.query("SELECT session_id, state FROM sessions")) == before
        )
        assert len(meddler.of(frames.BUNDLE, alice)) == 1  # however often she was asked
        assert await linked(alice)
        await bob.call("send", chat="alice", text="fine", wait="delivered", timeout=5)

    run_world(tmp_path, main)
