"""At which of our relays we are reached, as they come and go."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.net import multiaddrs
from p2pchat.net.links.reconnect import LONGEST_WAIT
from p2pchat.net.relays.selection import TIMEOUT
from tests.support.world import FakeRelay, World, WorldNode, run_world, until
from tests.world.test_circuits import circuits_of


async def reached_by(node: WorldNode, *relays: FakeRelay, within: float = 30) -> None:
    async def holds() -> bool:
        return circuits_of(node) == {relay.peer for relay in relays}

    await until(holds, within)


def test_the_first_two_are_taken_and_the_others_wait(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        relays = [world.relay(name) for name in ("hill", "tower", "mast", "mill")]
        alice.use(*relays)
        await reached_by(alice, *relays[:2])
        await trio.sleep(3600)
        assert circuits_of(alice) == {relay.peer for relay in relays[:2]}
        assert [relay.guests for relay in relays[2:]] == [set(), set()]

    run_world(tmp_path, main)


def test_a_dead_one_is_replaced_by_the_next_and_not_by_more(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        relays = [world.relay(name) for name in ("hill", "tower", "mast", "mill")]
        alice.use(*relays)
        await reached_by(alice, *relays[:2])
        relays[0].stop()
        await reached_by(alice, relays[1], within=TIMEOUT - 1)
        await reached_by(alice, relays[1], relays[2], within=TIMEOUT + 2)
        relays[1].stop()
        await reached_by(alice, relays[2], relays[3], within=2 * TIMEOUT + 3)  # the first is asked once more before
        relays[3].stop()
        await reached_by(alice, relays[2])

    run_world(tmp_path, main)


def test_those_who_never_answer_do_not_stand_in_the_way(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        relays = [world.relay(name) for name in ("hill", "tower", "mast", "mill")]
        for dead in relays[:3]:
            dead.stop()
        alice.use(*relays)
        await reached_by(alice, relays[3], within=2 * TIMEOUT + 2)
        relays[1].start()
        await reached_by(alice, relays[1], relays[3], within=LONGEST_WAIT)

    run_world(tmp_path, main)


def test_the_new_list_counts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        hill, tower, mast = (world.relay(name) for name in ("hill", "tower", "mast"))
        alice.use(hill, tower)
        await reached_by(alice, hill, tower)
        alice.use(tower, mast)
        await reached_by(alice, tower, mast)
        assert {multiaddrs.peer_id(one.peer) in text for one in (tower, mast) for text in alice.engine.net.listening()}
        alice.use()
        await reached_by(alice)
        assert alice.engine.net.relayed() is None
        assert [text for text in alice.engine.net.listening() if "p2p-circuit" in text] == []

    run_world(tmp_path, main)


def test_we_are_no_relay_of_our_own(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        hill = world.relay("hill")
        hill._peer = alice.host.peer
        alice.use(hill)
        assert alice.engine.net.relayed() is None

    run_world(tmp_path, main)
