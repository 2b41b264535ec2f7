"""Whatever is lost of a renewal, and however long two people are apart: what they wrote arrives when they are back."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import trio

from p2pchat.core import frames
from p2pchat.store import outbox as store_outbox
from tests.support.meddler import Meddler
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_renewal import all_delivered, broken, change_session, friends, session_of

HOUR = 3600
PARTS = [frames.REFUSED, frames.RENEW, frames.BUNDLE, frames.INITIAL, frames.ACKS]
APART = [2 * HOUR, 3 * 24 * HOUR, 15 * 24 * HOUR, 40 * 24 * HOUR]


async def nothing_waits(*nodes: WorldNode) -> bool:
    """Whether every outbox is empty."""
    return not any([await node.engine.committer.read(store_outbox.counts) for node in nodes])


async def apart(world: World, seconds: int) -> None:
    """Let this time pass; days of it while the machines sleep."""
    if seconds > 24 * HOUR:
        await world.sleep_days(seconds // (24 * HOUR))
    else:
        await trio.sleep(seconds)


@pytest.mark.parametrize(("lost", "seconds"), sampled(list(product(PARTS, APART)), 8, "renewal"))
def test_a_lost_part_of_a_renewal_never_ends_a_pair(tmp_path: Path, lost: int, seconds: int) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await change_session(alice, "bob", broken)
        meddler.drop(lost)
        await alice.call("send", chat="bob", text="one")
        await trio.sleep(30)
        world.cut(alice, bob)
        await trio.sleep(60)
        meddler.clear()
        await bob.stop()
        await apart(world, seconds)
        bob = await world.start("bob")
        world.mend(alice, bob)
        await alice.call("send", chat="bob", text="two")
        await bob.call("send", chat="alice", text="three")
        await until(lambda: _got(bob, "alice", "two"), 2 * HOUR)
        await until(lambda: _got(alice, "bob", "three"), 2 * HOUR)
        await until(lambda: nothing_waits(alice, bob), 26 * HOUR)
        assert "one" in await bob.texts("alice") or (seconds > 30 * 24 * HOUR and lost != frames.ACKS)
        assert ("one", "failed") in await states(alice, "bob") or "one" in await bob.texts("alice")
        await until(lambda: send_in_one_session(alice, bob), 2 * HOUR)

    run_world(tmp_path, main)


async def send_in_one_session(alice: WorldNode, bob: WorldNode) -> bool:
    """Whether both send in the same session; which older ones they still receive in is cleaned up every hour."""
    return (await session_of(alice, "bob")).session_id == (await session_of(bob, "alice")).session_id


async def states(node: WorldNode, chat: str) -> list[tuple[str, str]]:
    """What we wrote, and how far it has come."""
    return [(one["text"], one["state"]) for one in await node.call("log", chat=chat) if one["from"] == "me"]


async def _got(node: WorldNode, chat: str, text: str) -> bool:
    return text in await node.texts(chat)


def test_a_first_message_that_cannot_be_used_any_more_leaves_the_outbox(tmp_path: Path) -> None:
    """The prekeys it was made for are gone: it is refused, and another renewal begins at once."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        meddler = Meddler(world)
        await change_session(alice, "bob", broken)
        meddler.keep(frames.INITIAL)
        await alice.call("send", chat="bob", text="one")
        await trio.sleep(10)
        meddler.clear()
        with_prekeys = "DELETE FROM prekeys WHERE kind = 'renewal'"
        await bob.engine.committer.submit(lambda tx: tx.db.execute(with_prekeys))
        await meddler.release()
        await until(lambda: all_delivered(alice, "bob"), 60)
        await until(lambda: nothing_waits(alice, bob), 60)

    run_world(tmp_path, main)


def test_a_contact_with_a_very_old_copy_is_met_and_renewed_with(tmp_path: Path) -> None:
    """The session of the copy was renewed since, and is forgotten on the other side."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        copy = bob.copy()
        await change_session(alice, "bob", broken)
        await alice.call("send", chat="bob", text="renewed", wait="delivered", timeout=60)
        await world.sleep_days(20)
        await bob.stop()
        world.put_back(copy)
        bob = await world.start("bob")
        await alice.call("send", chat="bob", text="back?", wait="delivered", timeout=2 * HOUR)
        await bob.call("send", chat="alice", text="back", wait="delivered", timeout=2 * HOUR)
        await until(lambda: nothing_waits(alice, bob))

    run_world(tmp_path, main)
