"""Ways that begin well and then let nothing through, as some censors have it: everything arrives, in seconds, once."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.net.links.judging import STALLED_AFTER_SECONDS
from p2pchat.net.network import Network
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_circuits import goes, reached_by, route

FROZEN = 15_000
"""Bytes of a connection, each way, after which everything more vanishes."""


async def has(node: WorldNode, *texts: str) -> bool:
    return set(texts) <= set(await node.texts("alice"))


async def begun(world: World) -> tuple[WorldNode, WorldNode]:
    """Alice and Bob, whom a relay reaches too, after a minute on a direct link."""
    alice, bob = await world.start("alice"), await world.start("bob")
    await reached_by(bob, world.relay("hill"))
    await befriend(alice, bob)
    await alice.call("send", chat="bob", text="begin", wait="delivered")
    await trio.sleep(60)
    return alice, bob


def test_a_way_that_freezes_is_left_for_another_in_seconds(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await begun(world)
        assert await route(alice) == "direct"
        world.freezes_after = 0
        bob.host.walled = alice.host.walled = True
        began = trio.current_time()
        await alice.call("send", chat="bob", text="one")
        await alice.call("send", chat="bob", text="two")
        await until(lambda: has(bob, "one", "two"), STALLED_AFTER_SECONDS + 1)
        assert trio.current_time() - began >= STALLED_AFTER_SECONDS
        await bob.call("send", chat="alice", text="three", wait="delivered", timeout=1)  # not on the one that stalled
        assert await route(alice) == await route(bob) == "circuit"
        await trio.sleep(STALLED_AFTER_SECONDS)
        assert not [one for one in alice.host.streams if one.peer == bob.host.peer and one.by is None]
        assert await bob.texts("alice") == ["begin", "one", "two"]
        assert await alice.texts("bob") == ["three"]

    run_world(tmp_path, main, watched=True)


def test_where_every_way_freezes_each_new_one_carries_some_of_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("send", chat="bob", text="begin", wait="delivered")
        world.freezes_after = FROZEN
        texts = [f"message {number}" for number in range(9)]
        for text in texts:
            await alice.call("send", chat="bob", text=text)
        await until(lambda: has(bob, *texts), 4 * (STALLED_AFTER_SECONDS + 2))
        assert await bob.texts("alice") == ["begin", *texts]

    run_world(tmp_path, main, watched=True)


def test_another_network_has_links_show_that_they_work(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await begun(world)
        network = alice.engine.net
        assert isinstance(network, Network)
        before = set(alice.host.streams)
        network._network_changed()
        await trio.sleep(STALLED_AFTER_SECONDS + 1)
        assert await route(alice) == "direct"
        assert set(alice.host.streams) == before
        world.cut(alice, bob)
        network._network_changed()
        await until(lambda: goes(alice, "circuit"), STALLED_AFTER_SECONDS + 1)

    run_world(tmp_path, main, watched=True)
