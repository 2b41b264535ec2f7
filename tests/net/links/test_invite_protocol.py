"""The joining dialogue against an inviter and a joiner who lie, stop in the middle, or come in numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core import handshake
from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.content import Content, encode_content, new_message_id
from p2pchat.core.contents import ContactProfile, Text
from p2pchat.core.envelope import envelope_id, open_blob, seal_blob
from p2pchat.core.frames import ACKS, BUNDLE, ENVELOPE, EXPIRED, GONE, HELLO, INITIAL, USED, Frame, FrameType, pack
from p2pchat.core.identity import Device
from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import Invite, blob_key, hello_key, join_tag, read_invite
from p2pchat.core.names import join_name
from p2pchat.core.prekeys import make_set, open_bundle
from p2pchat.engine.contacts import transport_keys
from p2pchat.errors import InviteExpired, InviteUsed, LinkLost, NotReached, NotServed
from p2pchat.net.frames import DEADLINE, FrameReader
from p2pchat.net.links.invite_protocol import COMMIT_DEADLINE
from p2pchat.net.ports import Stream
from p2pchat.store.database import Database
from tests.support.databases import KEY
from tests.support.meddler import Meddler
from tests.support.world import FakeHost, World, WorldNode, befriend, run_world

HOSTILE = "\u202eknil\x1b[2J\u202e" + "z\u0337\u0327\u0322" * 40


class Knocker:
    """A joiner made by hand."""

    def __init__(self, world: World, name: str, written: str) -> None:
        self.world = world
        self.host = world.outsider(name)
        self.invite: Invite = read_invite(written)[0]
        self.me = Device.fresh(world.entropy.random)

    async def open(self, node: WorldNode) -> tuple[Stream, FrameReader]:
        name = join_name(hello_key(self.invite.secret), node.host.peer)
        stream = await self.host.open(node.host.peer, node.host.addresses(), name)
        return stream, FrameReader(stream)

    async def hello(self, stream: Stream, reader: FrameReader) -> Frame:
        """Prove the invite; the inviter's hello is checked, its answer returned."""
        key = hello_key(self.invite.secret)
        await stream.write(pack(Frame(HELLO, join_tag(key, "join", self.host.peer, stream.peer))))
        assert await reader.read_one() == Frame(HELLO, join_tag(key, "offer", self.host.peer, stream.peer))
        return await reader.read_one()

    def bundle(self, frame: Frame) -> Any:
        assert frame.type == BUNDLE
        return open_bundle(open_blob(blob_key(self.invite.secret), frame.body))

    def first(self, bundle: Any, name: str = "mallory", ways: tuple[tuple[PeerKey, bytes], ...] = ()) -> bytes:
        """A first message as it should be."""
        content = Content(ContactProfile(name, True, ways), new_message_id(self.now, self.random), 0, self.now)
        message = handshake.initiate(self.me, bundle, encode_content(content), self.now, self.world.entropy)[1]
        return self.sealed(message)

    def sealed(self, message: bytes) -> bytes:
        return seal_blob(blob_key(self.invite.secret), message, self.random)

    @property
    def now(self) -> int:
        return next(iter(self.world.nodes.values())).clock()

    def random(self, size: int) -> bytes:
        return self.world.entropy.random(size)


async def hangs_up(reader: FrameReader, within: float = DEADLINE + 1) -> float:
    """The other side says nothing more and hangs up; how long it took."""
    began = trio.current_time()
    with trio.fail_after(within), suppress(LinkLost):
        frames = await reader.read_some()
        raise AssertionError(f"it said {frames}")
    return trio.current_time() - began


async def requests(node: WorldNode) -> list[str]:
    return [one["name"] for one in await node.call("requests")]


# --- an inviter and liars -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"", pack(Frame(HELLO, bytes(16))), pack(Frame(INITIAL, bytes(4096)))])
def test_who_knows_the_name_and_no_join_tag_gets_no_byte(tmp_path: Path, first: bytes) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        knocker = Knocker(world, "mallory", (await alice.call("invite"))["invite"])
        stream, reader = await knocker.open(alice)
        if first:
            await stream.write(first)
        assert await hangs_up(reader) <= DEADLINE
        assert [who for who, _, _ in world.traffic if who == "alice"] == []

    run_world(tmp_path, main)


def test_a_join_tag_holds_for_one_pair_of_hosts_and_one_side(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        knocker = Knocker(world, "mallory", (await alice.call("invite"))["invite"])
        key = hello_key(knocker.invite.secret)
        other = world.outsider("other")
        for tag in (
            join_tag(key, "join", other.peer, alice.host.peer),  # recorded from somebody else
            join_tag(key, "offer", knocker.host.peer, alice.host.peer),  # what alice would say
        ):
            stream, reader = await knocker.open(alice)
            await stream.write(pack(Frame(HELLO, tag)))
            await hangs_up(reader)
        assert [who for who, _, _ in world.traffic if who == "alice"] == []

    run_world(tmp_path, main)


@pytest.mark.parametrize("stop", ["before hello", "half a hello", "after hello", "half a message", "after the ack"])
def test_who_stops_in_the_middle_is_left(tmp_path: Path, stop: str) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        knocker = Knocker(world, "mallory", (await alice.call("invite"))["invite"])
        stream, reader = await knocker.open(alice)
        if stop == "half a hello":
            await stream.write(pack(Frame(HELLO, bytes(16)))[:10])
        elif stop != "before hello":
            bundle = knocker.bundle(await knocker.hello(stream, reader))
            first = pack(Frame(INITIAL, knocker.first(bundle)))
            if stop == "half a message":
                await stream.write(first[:2000])
            elif stop == "after the ack":
                await stream.write(first)
                assert (await reader.read_one()).type == ACKS
        assert await hangs_up(reader) == DEADLINE
        assert alice.host.streams == set()

    run_world(tmp_path, main)


def test_many_who_stop_in_the_middle_disturb_nobody(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", reusable=True))["invite"]
        for number in range(100):
            knocker = Knocker(world, f"mallory{number}", invite)
            stream, reader = await knocker.open(alice)
            await knocker.hello(stream, reader)
        await befriend(alice, bob)
        await trio.sleep(DEADLINE + 1)
        assert {stream.peer for stream in alice.host.streams} == {bob.host.peer}

    run_world(tmp_path, main)


def forged(knocker: Knocker, bundle: Any) -> dict[str, bytes]:
    """First messages that must not be taken, though their maker holds the invite."""
    good = knocker.first(bundle)
    other_secret = seal_blob(bytes(32), bytes(100), knocker.random)
    content = encode_content(Content(Text("x"), new_message_id(knocker.now, knocker.random), 1, knocker.now))
    no_profile = handshake.initiate(knocker.me, bundle, content, knocker.now, knocker.world.entropy)[1]
    bob = Device.fresh(knocker.random)
    posing = replace(knocker.me, identity=bob.identity, certificate=bob.certificate)
    other_device = replace(knocker.me, identity=bob.identity, device=bob.device, certificate=bob.certificate)
    without_one_time = replace(bundle, opk=None, okpk=None)
    certificate = prim.sign(knocker.me.identity_seed, "devcert", encode([knocker.me.identity, 1, bytes(32)]))
    low_order = replace(knocker.me, device=bytes(32), certificate=certificate)
    zero = {name: zeroed(knocker, good, name) for name in ("ephemeral", "device")}
    return {
        "random": knocker.random(4096),
        "under another key": other_secret,
        "changed": good[:-1] + bytes((good[-1] ^ 1,)),
        "empty": knocker.sealed(b""),
        "not a profile": knocker.sealed(no_profile),
        "an identity not its own": Knocker.first(with_me(knocker, posing), bundle),
        "a device not its own": Knocker.first(with_me(knocker, other_device), bundle),
        "a device of low order": Knocker.first(with_me(knocker, low_order), bundle),
        "without the one-time keys": Knocker.first(knocker, without_one_time),
        **zero,
    }


def with_me(knocker: Knocker, me: Device) -> Knocker:
    other = Knocker.__new__(Knocker)
    other.__dict__.update(knocker.__dict__, me=me)
    return other


def zeroed(knocker: Knocker, blob: bytes, field: str) -> bytes:
    """A good first message with one of its public keys replaced by a point of low order."""
    message = open_blob(blob_key(knocker.invite.secret), blob)
    key: bytes = getattr(handshake.parse(message), field)
    return knocker.sealed(message.replace(key, bytes(32)))


def test_first_messages_that_lie_are_not_taken_and_use_nothing_up(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        knocker = Knocker(world, "mallory", (await alice.call("invite"))["invite"])
        stream, reader = await knocker.open(alice)
        bundle = knocker.bundle(await knocker.hello(stream, reader))
        for lie, blob in forged(knocker, bundle).items():
            stream, reader = await knocker.open(alice)
            knocker.bundle(await knocker.hello(stream, reader))
            await stream.write(pack(Frame(INITIAL, blob)))
            assert await hangs_up(reader) < 1, lie
            assert await alice.call("contacts") == [], lie
        stream, reader = await knocker.open(alice)
        first = knocker.first(knocker.bundle(await knocker.hello(stream, reader)), HOSTILE)
        await stream.write(pack(Frame(INITIAL, first)))
        assert await reader.read_one() == Frame(ACKS, envelope_id(first))
        (shown,) = await alice.call("contacts")
        assert shown["name"].startswith("knil[2J")
        assert len(shown["name"]) <= 64
        assert not set(shown["name"]) & set("\u202e\x1b")

    run_world(tmp_path, main)


def test_low_order_points_in_a_bundle_are_refused(tmp_path: Path) -> None:
    """The inviter lies: whoever signs a bundle with such a point would know the secret that comes of it."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await alice.call("invite", reusable=True))["invite"]
        me = alice.engine.me
        for field in ("spk", "opk"):
            prekeys = make_set(me, alice.clock() // 1000 + 3600, one_time=True, random=world.entropy.random)
            public = open_bundle(prekeys.bundle)
            key = public.spk if field == "spk" else (public.opk or (0, b""))[1]
            body = prekeys.bundle.replace(key, bytes(32))
            resigned = resign(me, body)
            world.meddle = replace_bundle(read_invite(invite)[0], resigned, world)
            with pytest.raises(NotReached):
                await bob.call("add", invite=invite, timeout=5)
            world.meddle = None
        assert [row for row in world.traffic if row[0] == "bob" and len(row[2]) > 1000] == []

    run_world(tmp_path, main)


def resign(me: Device, encoded: bytes) -> bytes:
    body: bytes = decode(encoded, 8000)[0]
    return encode([body, prim.sign(me.identity_seed, "bundle", body)])


def replace_bundle(invite: Invite, bundle: bytes, world: World) -> Callable[[Any, Frame], list[Frame]]:
    def meddle(stream: Any, frame: Frame) -> list[Frame]:
        if frame.type != BUNDLE:
            return [frame]
        return [Frame(BUNDLE, seal_blob(blob_key(invite.secret), bundle, world.entropy.random))]

    return meddle


@pytest.mark.parametrize("reusable", [False, True])
def test_a_first_message_is_taken_once(tmp_path: Path, reusable: bool) -> None:
    """Replays: by its maker, by somebody else who holds the invite, sealed anew, after a restart, and much later."""

    async def main(world: World) -> None:
        alice = await world.start("alice")
        written = (await alice.call("invite", reusable=reusable, ask=True))["invite"]
        knocker = Knocker(world, "mallory", written)
        stream, reader = await knocker.open(alice)
        blob = knocker.first(knocker.bundle(await knocker.hello(stream, reader)))
        await stream.write(pack(Frame(INITIAL, blob)))
        assert (await reader.read_one()).type == ACKS
        assert await requests(alice) == ["mallory"]
        again = knocker.sealed(open_blob(blob_key(knocker.invite.secret), blob))
        for step in ("at once", "after a restart", "declined", "days later"):
            if step == "after a restart":
                await alice.crash()
                alice = await world.start("alice")
            elif step == "declined":
                await alice.call("decline", contact="mallory")
            elif step == "days later":
                await world.sleep_days(6)
            for number, replayed in enumerate((blob, again)):
                thief = Knocker(world, f"thief {step} {number}", written)
                stream, reader = await thief.open(alice)
                await thief.hello(stream, reader)
                await stream.write(pack(Frame(INITIAL, replayed)))
                with suppress(LinkLost):
                    await reader.read_one()
            late = step in ("declined", "days later")
            assert await requests(alice) == ([] if late else ["mallory"])
            assert sum(1 for one in alice.heard if one["event"] == "request") <= 1

    run_world(tmp_path, main)


def test_a_used_up_invite_leaves_no_keys(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        found = await alice.engine.committer.read(
            lambda db: db.query("SELECT kind FROM prekeys WHERE kind = 'one-time'")
        )
        assert found == []
        rows = await alice.engine.committer.read(lambda db: db.query("SELECT secret, bundle, encoded FROM invites"))
        assert rows == [(None, None, None)]

    run_world(tmp_path, main)


def test_an_envelope_of_another_is_not_acked_at_an_invite(tmp_path: Path) -> None:
    """Who holds an invite cannot ask whether this node has received an envelope."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        meddler = Meddler(world)
        await befriend(alice, bob)
        await bob.call("send", chat="alice", text="x", wait="delivered")
        recorded = meddler.of(ENVELOPE, bob) + meddler.of(INITIAL, bob)
        assert len(recorded) >= 2
        written = (await alice.call("invite", reusable=True))["invite"]
        for number, blob in enumerate(recorded):
            knocker = Knocker(world, f"mallory{number}", written)
            stream, reader = await knocker.open(alice)
            await knocker.hello(stream, reader)
            await stream.write(pack(Frame(INITIAL, blob)))
            await hangs_up(reader)

    run_world(tmp_path, main)


# --- a joiner and liars ---------------------------------------------------------------------------------------------


async def away(alice: WorldNode, world: World) -> tuple[FakeHost, str]:
    """Alice has made an invite and is gone; a host that holds her transport key stands in her place."""
    written = (await alice.call("invite", reusable=True))["invite"]
    await alice.stop()
    db = Database.open(alice.folder / "p2pchat.db", KEY)
    seed = transport_keys.transport_seed(db)
    db.close()
    return world.outsider("alice", seed), written


def play_inviter(host: FakeHost, talk: Callable[[Stream, FrameReader], Awaitable[None]]) -> list[Frame]:
    """Answer at the invite as `talk` does; what the joiner says after that is returned as it comes."""
    heard: list[Frame] = []

    async def serve(stream: Stream) -> None:
        reader = FrameReader(stream)
        with suppress(LinkLost):
            heard.append(await reader.read_one())
            await talk(stream, reader)
            while True:
                heard.extend(await reader.read_some())

    host.answer_to_anything(serve)
    return heard


@pytest.mark.parametrize("answer", [[], [HELLO], [BUNDLE], [GONE], [HELLO, GONE]])
def test_a_joiner_tells_nothing_to_who_does_not_hold_the_invite(tmp_path: Path, answer: list[FrameType]) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        impostor, written = await away(alice, world)
        body = {HELLO: bytes(16), BUNDLE: bytes(4096), GONE: b"\x01"}

        async def talk(stream: Stream, reader: FrameReader) -> None:
            for type in answer:
                await stream.write(pack(Frame(type, body[type])))

        heard = play_inviter(impostor, talk)
        with pytest.raises(NotReached):
            await bob.call("add", invite=written, name="alice", timeout=120)
        assert {frame.type for frame in heard} == {HELLO}
        assert len(await bob.call("contacts")) == 1  # and the invite is not given up for it

    run_world(tmp_path, main)


async def prove(host: FakeHost, stream: Stream, invite: Invite) -> None:
    tag = join_tag(hello_key(invite.secret), "offer", host.peer, stream.peer)
    await stream.write(pack(Frame(HELLO, tag)))


def test_a_joiner_wants_the_person_of_the_invite(tmp_path: Path) -> None:
    """The impostor has alice's transport key and the invite, but not her keys: no bundle it makes will do."""

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        impostor, written = await away(alice, world)
        invite = read_invite(written)[0]
        random = world.entropy.random
        mallory = Device.fresh(random)
        posing = replace(mallory, identity=alice.engine.me.identity, certificate=alice.engine.me.certificate)
        hybrid = replace(mallory, device=alice.engine.me.device, certificate=alice.engine.me.certificate)
        own = bob.engine.me  # reflection: bob's own
        bundles = [
            make_set(device, bob.clock() // 1000 + 3600, one_time=False, random=random).bundle
            for device in (mallory, posing, hybrid, own)
        ]
        expired = make_set(alice.engine.me, bob.clock() // 1000 - 2 * 86_400, one_time=False, random=random).bundle
        unsuited = resign(alice.engine.me, expired)
        for bundle in (*bundles, expired, unsuited, b""):

            async def talk(stream: Stream, reader: FrameReader, bundle: bytes = bundle) -> None:
                await prove(impostor, stream, invite)
                await stream.write(pack(Frame(BUNDLE, seal_blob(blob_key(invite.secret), bundle, random))))

            heard = play_inviter(impostor, talk)
            with pytest.raises(NotReached):
                await bob.call("add", invite=written, name="alice", timeout=400)
            assert {frame.type for frame in heard} == {HELLO}

    run_world(tmp_path, main)


@pytest.mark.parametrize("stop", ["hello", "offer", "bundle", "initial"])
def test_a_joiner_leaves_who_stops_in_the_middle_and_tries_again(tmp_path: Path, stop: str) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        impostor, written = await away(alice, world)
        invite = read_invite(written)[0]
        times: list[float] = []

        async def talk(stream: Stream, reader: FrameReader) -> None:
            began = trio.current_time()
            if stop != "hello":
                await prove(impostor, stream, invite)
            if stop in ("bundle", "initial"):
                prekeys = make_set(alice.engine.me, bob.clock() // 1000 + 3600, one_time=False, random=random)
                blob = seal_blob(blob_key(invite.secret), prekeys.bundle, random)
                await stream.write(pack(Frame(BUNDLE, blob))[: 4000 if stop == "bundle" else None])
            if stop == "initial":
                await reader.read_one()
            with suppress(LinkLost):
                await reader.read_some()
            times.append(trio.current_time() - began)

        random = world.entropy.random
        play_inviter(impostor, talk)
        with pytest.raises(NotReached):
            await bob.call("add", invite=written, name="alice", timeout=300)
        assert len(times) >= 3
        assert max(times) <= (COMMIT_DEADLINE if stop == "initial" else DEADLINE) + 0.001
        impostor_gone(world, impostor)
        await world.start("alice")
        await trio.sleep(400)
        assert await requests(world.nodes["alice"]) == ["bob"] or stop == "initial"

    run_world(tmp_path, main)


def impostor_gone(world: World, host: FakeHost) -> None:
    del world.listening[host.peer]


def test_a_joiner_knocks_ever_more_slowly(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        _, written = await away(alice, world)
        with pytest.raises(NotReached):
            await bob.call("add", invite=written, name="alice", timeout=10)
        early = bob.host.dials
        await trio.sleep(24 * 3600)
        assert 3 <= early <= 6
        assert 24 * 12 <= bob.host.dials - early <= 24 * 24 + 20

    run_world(tmp_path, main)


@pytest.mark.parametrize(("reason", "error"), [(USED, InviteUsed), (EXPIRED, InviteExpired)])
def test_gone_is_told_only_to_a_holder(tmp_path: Path, reason: int, error: type[Exception]) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        written = (await alice.call("invite", expires=3600))["invite"]
        if reason == USED:
            await bob.call("add", invite=written, wait="accepted")
        else:
            await trio.sleep(3700)
        knocker = Knocker(world, "holder", written)
        stream, reader = await knocker.open(alice)
        assert await knocker.hello(stream, reader) == Frame(GONE, bytes((reason,)))
        await stream.write(pack(Frame(INITIAL, bytes(4096))))
        assert await reader.read_one() == Frame(GONE, bytes((reason,)))
        carol = await world.start("carol")
        with pytest.raises(error):
            await carol.call("add", invite=written)
        await world.sleep_days(32)  # by then nobody is told anything
        with pytest.raises(NotServed):
            await knocker.open(alice)

    run_world(tmp_path, main)
