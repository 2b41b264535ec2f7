"""Renewal in the fake world: sessions that cannot go on, and what may not make anybody renew one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core import frames
from p2pchat.core import primitives as prim
from p2pchat.core.content import Content, encode_content, new_message_id
from p2pchat.core.contents import Reset, Text
from p2pchat.core.envelope import open_blob, seal_blob
from p2pchat.core.frames import Frame
from p2pchat.core.handshake import initiate
from p2pchat.core.identity import Device
from p2pchat.core.ids import first_device
from p2pchat.core.prekeys import Bundle, make_set, open_bundle
from p2pchat.core.ratchet import MAX_SKIPPED
from p2pchat.core.session import STANDING, Session, renew_key, standing_root
from p2pchat.engine.contacts import renewal
from p2pchat.engine.runtime.transaction import Transaction
from tests.support.asking import waiting_envelopes
from tests.support.meddler import Meddler
from tests.support.world import World, WorldNode, befriend, run_world, until


async def talk(alice: WorldNode, bob: WorldNode, rounds: int) -> None:
    for number in range(rounds):
        await alice.call("send", chat="bob", text=f"a{number}", wait="delivered")
        await bob.call("send", chat="alice", text=f"b{number}", wait="delivered")


async def friends(world: World) -> tuple[WorldNode, WorldNode]:
    """Contacts with nothing under way between them."""
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    await talk(alice, bob, 1)
    return alice, bob


def renewals(node: WorldNode) -> int:
    return sum(1 for one in node.heard if one.get("renewed"))


async def all_delivered(node: WorldNode, chat: str) -> bool:
    log = await node.call("log", chat=chat, limit=1000)
    return all(one["state"] == "delivered" for one in log if one["from"] == "me")


async def linked(node: WorldNode, chat: str) -> bool:
    return (await node.call("contacts"))[0]["route"] is not None


async def session_of(node: WorldNode, name: str) -> Session:
    session = node.engine.committer.sessions.sending(first_device(await node.id_of(name)))
    assert session is not None
    return session


async def change_session(node: WorldNode, name: str, change: Callable[[Session], Session]) -> None:
    contact = await node.id_of(name)

    def put(tx: Transaction) -> None:
        session = tx.sessions.sending(first_device(contact))
        assert session is not None
        tx.sessions.put(first_device(contact), change(session))

    await node.engine.committer.submit(put)


def broken(session: Session) -> Session:
    """Nothing that this session seals can be opened any more."""
    return replace(session, ratchet=replace(session.ratchet, header_out=bytes(32)))


def test_a_profile_from_an_old_copy_is_renewed_and_nothing_is_lost(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await talk(alice, bob, 2)
        copy = bob.copy()
        await talk(alice, bob, 3)
        await bob.stop()
        for number in range(100):  # more than a window
            await alice.call("send", chat="bob", text=f"away {number}")
        world.put_back(copy)
        bob = await world.start("bob")
        for number in range(100):
            await bob.call("send", chat="alice", text=f"back {number}")
        await until(lambda: all_delivered(alice, "bob"), 120)
        await until(lambda: all_delivered(bob, "alice"), 120)
        away = [f"away {number}" for number in range(100)]
        assert [text for text in await bob.texts("alice") if text.startswith("away")] == away
        back = [f"back {number}" for number in range(100)]
        assert [text for text in await alice.texts("bob") if text.startswith("back")] == back
        assert renewals(alice) >= 1
        assert renewals(bob) >= 1
        await talk(alice, bob, 2)
        for node, name in ((alice, "bob"), (bob, "alice")):
            assert (await node.call("verify", contact=name))["safety_number"]
        assert (await session_of(alice, "bob")).session_id == (await session_of(bob, "alice")).session_id
        assert renewals(alice) <= 2  # each side may have begun one

    run_world(tmp_path, main)


def test_links_come_up_while_and_after_a_session_is_renewed(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await change_session(alice, "bob", broken)
        for type in (frames.RENEW, frames.BUNDLE, frames.INITIAL, frames.ACKS):
            meddler.break_at(type, alice, bob)
            meddler.break_at(type, bob, alice)
        await alice.call("send", chat="bob", text="through all this", wait="delivered", timeout=4 * 3600)
        meddler.clear()
        assert await bob.texts("alice") == ["a0", "through all this"]
        assert renewals(alice) >= 1
        await bob.stop()
        await alice.stop()
        alice, bob = await world.start("alice"), await world.start("bob")
        await talk(alice, bob, 1)

    run_world(tmp_path, main)


def test_the_old_pair_root_opens_links_for_fourteen_days(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        old = await session_of(alice, "bob")
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="renew", wait="delivered", timeout=60)
        new = await session_of(alice, "bob")
        assert new.session_id != old.session_id
        contact = await bob.id_of("alice")
        assert {one.session_id for one in bob.engine.link_handler.pairs(contact)} == {
            old.session_id,
            new.session_id,
            STANDING,
        }
        await world.sleep_days(13)
        assert {one.session_id for one in bob.engine.link_handler.pairs(contact)} == {
            old.session_id,
            new.session_id,
            STANDING,
        }
        await world.sleep_days(1)
        for node, name in ((alice, "bob"), (bob, "alice")):
            assert [one.session_id for one in node.engine.link_handler.pairs(await node.id_of(name))] == [
                new.session_id,
                STANDING,
            ]
        await talk(alice, bob, 1)

    run_world(tmp_path, main)


def test_four_renewals_may_follow_at_once_and_then_one_an_hour(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        for number in range(6):
            await change_session(alice, "bob", broken)
            await alice.call("send", chat="bob", text=f"{number}")
            await trio.sleep(300)
        assert len(meddler.of(frames.RENEW)) == 4
        assert (await bob.texts("alice"))[1:] == ["0", "1", "2", "3"]
        await until(lambda: all_delivered(alice, "bob"), 3 * 3600)
        assert (await bob.texts("alice"))[1:] == [f"{number}" for number in range(6)]
        assert len(meddler.of(frames.RENEW)) == 5

    run_world(tmp_path, main)


def test_both_renew_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        old = await session_of(alice, "bob")
        await change_session(alice, "bob", broken)
        await change_session(bob, "alice", broken)
        meddler.keep(frames.INITIAL)
        await alice.call("send", chat="bob", text="from alice")
        await bob.call("send", chat="alice", text="from bob")
        await trio.sleep(1)
        meddler.clear()
        assert await meddler.release() == 2
        await until(lambda: all_delivered(alice, "bob"), 60)
        await until(lambda: all_delivered(bob, "alice"), 60)
        await talk(alice, bob, 3)
        assert await alice.texts("bob") == ["b0", "from bob", "b0", "b1", "b2"]
        assert await bob.texts("alice") == ["a0", "from alice", "a0", "a1", "a2"]
        found = [await session_of(alice, "bob"), await session_of(bob, "alice")]
        assert found[0].session_id == found[1].session_id != old.session_id
        assert renewals(alice) == renewals(bob) == 2

    run_world(tmp_path, main)


@pytest.mark.parametrize("order", [None, list.reverse])
def test_renewals_of_different_sessions_that_cross_leave_both_in_one(
    tmp_path: Path, order: Callable[[list[Any]], None] | None
) -> None:
    """Bob, put back from a copy, replaces the session that he knows; alice a later one."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        copy = bob.copy()
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="renewed", wait="delivered", timeout=60)
        await talk(alice, bob, 1)
        await bob.stop()
        world.put_back(copy)
        meddler = Meddler(world)
        meddler.keep(frames.INITIAL)
        bob = await world.start("bob")
        await bob.call("send", chat="alice", text="from bob")
        await trio.sleep(30)
        ours, theirs = await session_of(alice, "bob"), await session_of(bob, "alice")
        assert ours.initiator
        assert theirs.initiator
        meddler.clear()
        assert await meddler.release(order) == 2
        await until(lambda: all_delivered(bob, "alice"), 60)
        await talk(alice, bob, 1)
        for node, name in ((alice, "bob"), (bob, "alice")):
            assert (await session_of(node, name)).session_id == min(ours.session_id, theirs.session_id)

    run_world(tmp_path, main)


def test_a_renewal_of_one_that_nothing_has_come_in_yet_ends_that(tmp_path: Path) -> None:
    """Bob has the session that alice began, and all that he says in it is lost: his renewal does not cross hers."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(frames.ACKS, frames.ENVELOPE, sender=bob)
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="renewed")
        await trio.sleep(10)
        first = await session_of(bob, "alice")
        contact = await bob.id_of("alice")
        assert not (await session_of(alice, "bob")).confirmed
        await bob.engine.committer.submit(lambda tx: renewal._ask(tx, tx.find(contact.hex())))
        await trio.sleep(10)
        assert await live_sessions(alice, "bob") == await live_sessions(bob, "alice") != [first.session_id]
        assert len(await live_sessions(alice, "bob")) == 1

    run_world(tmp_path, main)


def test_the_first_message_of_a_renewal_is_sent_until_it_is_acked(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await alice.call("send", chat="bob", text="first", wait="delivered")
        await change_session(alice, "bob", broken)
        meddler.break_at(frames.INITIAL, alice, bob, times=2)
        for number in range(80):
            await alice.call("send", chat="bob", text=f"{number}")
        # soon, not after an hour: the first message goes before what is sealed in its session
        await until(lambda: all_delivered(alice, "bob"), 60)
        assert await bob.texts("alice") == ["a0", "first", *(f"{number}" for number in range(80))]
        assert len(set(meddler.of(frames.INITIAL))) == 1
        assert renewals(bob) == 1

    run_world(tmp_path, main)


def test_a_renewal_that_came_too_late_is_asked_for_anew(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await change_session(alice, "bob", broken)
        meddler.drop(frames.INITIAL)
        await alice.call("send", chat="bob", text="late")
        await trio.sleep(10)
        meddler.clear()
        await bob.stop()
        await trio.sleep(2 * 3600)  # the bundle has expired, and its prekeys are deleted
        bob = await world.start("bob")
        assert (
            await bob.engine.committer.read(lambda db: db.query("SELECT id FROM prekeys WHERE kind = 'renewal'")) == []
        )
        await trio.sleep(3700)
        await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
        assert await bob.texts("alice") == ["a0", "late"]
        await talk(alice, bob, 1)
        assert await live_sessions(alice, "bob") == await live_sessions(bob, "alice")
        assert len(await live_sessions(alice, "bob")) == 1  # the one that never arrived is not waited for

    run_world(tmp_path, main)


@pytest.mark.parametrize("lost", [frames.RENEW, frames.BUNDLE, frames.INITIAL])
def test_what_a_broken_link_took_with_it_is_said_again_on_the_next(tmp_path: Path, lost: int) -> None:
    """It does not count as another renewal: the hour is not waited for."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(lost, times=1)
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="one")
        await trio.sleep(60)
        assert not await all_delivered(alice, "bob")
        await bob.stop()
        await trio.sleep(1200)
        await world.start("bob")
        await until(lambda: all_delivered(alice, "bob"), 400)
        assert renewals(alice) == 1
        assert len({bytes(one) for one in meddler.of(frames.INITIAL)}) == 1

    run_world(tmp_path, main)


def test_a_bundle_that_was_lost_is_sent_again_and_no_other_is_made(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        meddler.drop(frames.BUNDLE)
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="one")
        contact = await alice.id_of("bob")
        for _ in range(9):  # a contact may ask as often as it likes
            for _ in range(10):
                alice.engine.net.send(contact, [Frame(frames.RENEW, b"")])
            await trio.sleep(61)
        assert 2 <= len(meddler.of(frames.BUNDLE)) <= 10
        assert (
            len(await bob.engine.committer.read(lambda db: db.query("SELECT id FROM prekeys WHERE kind = 'renewal'")))
            == 1
        )
        meddler.clear()
        alice.engine.net.send(contact, [Frame(frames.RENEW, b"")])
        await until(lambda: all_delivered(alice, "bob"), 60)

    run_world(tmp_path, main)


def test_after_one_side_renewed_the_other_may(tmp_path: Path) -> None:
    """On one link, by whose hello neither of the new sessions is: the second ends the first, it is not beside it."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="one", wait="delivered", timeout=60)
        await talk(alice, bob, 1)
        first = await session_of(bob, "alice")
        await change_session(bob, "alice", broken)
        await bob.call("send", chat="alice", text="two", wait="delivered", timeout=60)
        await talk(alice, bob, 1)
        for node, name in ((alice, "bob"), (bob, "alice")):
            live = await live_sessions(node, name)
            assert len(live) == 1
            assert live[0] != first.session_id
        assert renewals(alice) == renewals(bob) == 2

    run_world(tmp_path, main)


async def live_sessions(node: WorldNode, name: str) -> list[bytes]:
    contact = await node.id_of(name)
    return [one.session_id for one in node.engine.committer.sessions.all(first_device(contact)) if one.ends_at is None]


def test_garbage_makes_nobody_renew(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        contact = await bob.id_of("alice")
        before = await session_of(alice, "bob")
        for size in (4096, 16384, 65536):
            bob.engine.net.send(contact, [Frame(frames.ENVELOPE, world.entropy.random(size))])
        await trio.sleep(10)
        assert len(meddler.of(frames.REFUSED, alice)) == 3
        # neither does a refusal of what was never sent, or what alice sent to somebody else
        carol = await world.start("carol")
        await befriend(alice, carol)
        await carol.stop()
        await alice.call("send", chat="carol", text="for carol")
        waiting = await alice.engine.committer.read(lambda db: db.query("SELECT envelope_id FROM outbox"))
        for name in (bytes(16), *(row[0] for row in waiting if row[0])):
            bob.engine.net.send(contact, [Frame(frames.REFUSED, name)])
        await trio.sleep(2 * 3600)
        assert meddler.of(frames.RENEW) == []
        assert await session_of(alice, "bob") == before
        await talk(alice, bob, 1)

    run_world(tmp_path, main)


def test_a_bundle_nobody_asked_for_is_ignored(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        before = await session_of(alice, "bob")
        prekeys = make_set(bob.engine.me, bob.clock() // 1000 + 600, one_time=True, random=world.entropy.random)
        sealed = seal_blob(renew_key(before.pair_root), prekeys.bundle, world.entropy.random)
        bob.engine.net.send(await bob.id_of("alice"), [Frame(frames.BUNDLE, sealed)])
        await trio.sleep(60)
        assert (await session_of(alice, "bob")).session_id == before.session_id
        assert renewals(alice) == 0

    run_world(tmp_path, main)


def test_a_bundle_that_comes_on_another_link_than_it_was_made_for_is_taken(tmp_path: Path) -> None:
    """Of two links between the same two, one may be by the standing root: the answer goes on the better one."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        bobs = bob.engine.me
        of_session = renew_key((await session_of(alice, "bob")).pair_root)
        standing = renew_key(standing_root(alice.engine.me, bobs.identity, bobs.device))
        meddler.change(
            frames.BUNDLE, to=lambda body: seal_blob(standing, open_blob(of_session, body), world.entropy.random)
        )
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="one", wait="delivered", timeout=60)
        assert renewals(alice) == 1

    run_world(tmp_path, main)


def test_a_bundle_of_somebody_else_renews_nothing(tmp_path: Path) -> None:
    """Who has the pair root (a seized copy of the old state) still is not bob."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        root = (await session_of(alice, "bob")).pair_root
        mallory = Device.fresh(world.entropy.random)
        half = Device.from_seeds(bob.engine.me.identity_seed, world.entropy.random(32))  # his identity, another device
        for device in (mallory, half):
            prekeys = make_set(device, alice.clock() // 1000 + 600, one_time=True, random=world.entropy.random)
            forged = seal_blob(renew_key(root), prekeys.bundle, world.entropy.random)
            meddler.change(frames.BUNDLE, to=lambda body, forged=forged: forged, times=1)  # type: ignore[misc]
            await change_session(alice, "bob", broken)
            await alice.call("send", chat="bob", text="secret")
            await trio.sleep(60)
            assert meddler.of(frames.INITIAL) == []
            assert renewals(alice) == 0
            await trio.sleep(3500)
        await until(lambda: all_delivered(alice, "bob"), 2 * 3600)

    run_world(tmp_path, main)


def test_a_first_message_of_somebody_else_renews_nothing(tmp_path: Path) -> None:
    """The bundle was seen, the pair root too: without bob's device key nobody begins a session in his name."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        session = await session_of(bob, "alice")
        contact = await bob.id_of("alice")
        bob.engine.net.send(contact, [Frame(frames.RENEW, b"")])
        await trio.sleep(1)
        bundle = open_bundle(open_blob(renew_key(session.pair_root), meddler.of(frames.BUNDLE, alice)[0]))
        for device in forgers(world, bob):
            blob = first_message(world, device, bundle, session, alice.clock())
            bob.engine.net.send(contact, [Frame(frames.INITIAL, blob)])
        await trio.sleep(60)
        assert renewals(alice) == 0
        assert (await session_of(alice, "bob")).session_id == session.session_id
        blob = first_message(world, bob.engine.me, bundle, session, alice.clock())
        bob.engine.net.send(contact, [Frame(frames.INITIAL, blob), Frame(frames.INITIAL, blob)])
        await trio.sleep(60)
        assert renewals(alice) == 1  # bob himself can; twice the same is once

    run_world(tmp_path, main)


def forgers(world: World, bob: WorldNode) -> list[Device]:
    """A stranger; one with bob's identity and another device key, uncertified and certified."""
    random = world.entropy.random
    certified = Device.from_seeds(bob.engine.me.identity_seed, random(32))
    mine = Device.fresh(random)
    uncertified = replace(mine, identity=bob.engine.me.identity, certificate=bob.engine.me.certificate)
    posing = replace(mine, identity=bob.engine.me.identity, device=bob.engine.me.device)
    return [mine, certified, uncertified, replace(posing, certificate=bob.engine.me.certificate)]


def first_message(world: World, device: Device, bundle: Bundle, session: Session, now: int) -> bytes:
    content = encode_content(Content(Reset(session.session_id), new_message_id(now, world.entropy.random), 0, now))
    _, message = initiate(device, bundle, content, now, world.entropy)
    return seal_blob(renew_key(session.pair_root), message, world.entropy.random)


def test_more_lost_messages_than_can_be_skipped_do_not_wedge_a_session(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        old = await session_of(alice, "bob")

        def far_ahead(session: Session, by: int) -> Session:
            state = session.ratchet
            chain = state.sending
            assert chain is not None
            for _ in range(by):
                chain = prim.hmac_sha256(chain, b"\x02")
            return replace(session, ratchet=replace(state, sending=chain, sent=state.sent + by))

        await change_session(alice, "bob", lambda session: far_ahead(session, MAX_SKIPPED - 1))
        await alice.call("send", chat="bob", text="just near enough", wait="delivered")
        assert (await session_of(alice, "bob")).session_id == old.session_id
        await change_session(alice, "bob", lambda session: far_ahead(session, MAX_SKIPPED + 1))
        await alice.call("send", chat="bob", text="too far", wait="delivered", timeout=60)
        assert (await session_of(alice, "bob")).session_id != old.session_id
        assert await bob.texts("alice") == ["a0", "just near enough", "too far"]
        kept = await bob.engine.committer.read(lambda db: db.query("SELECT count(*) FROM skipped_keys"))
        assert kept[0][0] <= MAX_SKIPPED

    run_world(tmp_path, main)


def test_a_copy_of_a_profile_seals_nothing_under_a_key_and_nonce_that_were_used(tmp_path: Path) -> None:
    """The same ratchet state twice: the key of a message repeats, its nonce does not, so nothing can be subtracted."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await talk(alice, bob, 1)
        await alice.stop()
        copy = bob.copy()
        await bob.call("send", chat="alice", text="the first time")
        before = await waiting_envelopes(bob, Text.KIND.number)
        await bob.stop()
        world.put_back(copy)
        bob = await world.start("bob")
        await bob.call("send", chat="alice", text="another text")
        after = await waiting_envelopes(bob, Text.KIND.number)
        assert len(before) == len(after) == 1
        session = await session_of(bob, "alice")
        assert session.ratchet.sent > 0
        nonces = [envelope[start : start + 24] for envelope in (*before, *after) for start in (0, 2390)]
        assert len(set(nonces)) == 4

    run_world(tmp_path, main)
