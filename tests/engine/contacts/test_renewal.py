"""Renewal: what a contact with a changed program may make us do, and clocks that go wrong."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.core import frames
from p2pchat.core.envelope import seal_blob
from p2pchat.core.frames import Frame
from p2pchat.core.ids import first_device
from p2pchat.core.prekeys import make_set
from p2pchat.core.session import renew_key
from p2pchat.lib.times import DAY_MS
from tests.support.meddler import Meddler
from tests.support.world import World, run_world, until
from tests.world.test_renewal import all_delivered, broken, change_session, friends, renewals, session_of


def test_one_request_takes_one_bundle(tmp_path: Path) -> None:
    """A contact who answers again and again makes one session, not hundreds."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        session = await session_of(bob, "alice")
        contact = await bob.id_of("alice")
        meddler.drop(frames.RENEW)  # bob answers in his own way
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="refused")
        await trio.sleep(1)
        for _ in range(20):
            prekeys = make_set(bob.engine.me, bob.clock() // 1000 + 600, one_time=True, random=world.entropy.random)
            sealed = seal_blob(renew_key(session.pair_root), prekeys.bundle, world.entropy.random)
            bob.engine.net.send(contact, [Frame(frames.BUNDLE, sealed)])
        await trio.sleep(60)
        assert renewals(alice) == 1

    run_world(tmp_path, main)


def test_old_sessions_do_not_pile_up(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        for _ in range(13):
            await change_session(alice, "bob", broken)
            await alice.call("send", chat="bob", text="again")
            await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
            await trio.sleep(3700)
        assert renewals(alice) == 13
        for one, other in ((alice, "bob"), (bob, "alice")):
            assert len(one.engine.committer.sessions.all(first_device(await one.id_of(other)))) <= 10

    run_world(tmp_path, main)


def test_a_renewal_in_a_wrong_future_does_not_forbid_the_next(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        for skew in (365 * DAY_MS, 0):
            alice.skew = bob.skew = skew
            await change_session(alice, "bob", broken)
            await alice.call("send", chat="bob", text="again")
            await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
        assert renewals(alice) == 2

    run_world(tmp_path, main)


def test_a_link_outlives_the_session_of_its_hello(tmp_path: Path) -> None:
    """It stays up for weeks; the session whose secret opened it was renewed and is forgotten by then."""

    async def main(world: World) -> None:
        alice, _ = await friends(world)
        for _ in range(2):
            await change_session(alice, "bob", broken)
            await alice.call("send", chat="bob", text="again")
            await until(lambda: all_delivered(alice, "bob"), 2 * 3600)
            await world.sleep_days(15)
        assert renewals(alice) == 2

    run_world(tmp_path, main)
