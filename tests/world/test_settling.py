"""After whatever happened to two people they talk, and nothing is left in an outbox."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

import pytest
import trio

from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_nothing_dies import HOUR, nothing_waits
from tests.world.test_renewal import all_delivered, broken, change_session, friends


@pytest.mark.parametrize(("relays", "seed"), sampled(list(product((0, 1), range(12))), 4, "settling"))
def test_nothing_is_left_in_an_outbox_after_settling(tmp_path: Path, seed: int, relays: int) -> None:
    """Sessions break, links are cut, nodes crash and are put back from copies, in an order that a seed gives."""

    async def main(world: World) -> None:
        chance = Random(seed)
        mail = [world.mailbox("relay")] if relays else []
        alice, bob = await friends(world)
        for relay in mail:
            await bob.call("relays", add=relay.address)
        nodes: dict[str, WorldNode] = {"alice": alice, "bob": bob}
        other = {"alice": "bob", "bob": "alice"}
        copies = {name: node.copy() for name, node in nodes.items()}
        for step in range(25):
            name = chance.choice(["alice", "bob"])
            what = chance.choice(["say", "say", "say", "break", "cut", "mend", "crash", "copy", "put back", "wait"])
            if what == "say":
                await nodes[name].call("send", chat=other[name], text=f"{name} {step}")
            elif what == "break":
                await change_session(nodes[name], other[name], broken)
            elif what == "cut":
                world.cut(nodes["alice"], nodes["bob"])
            elif what == "mend":
                world.mend(nodes["alice"], nodes["bob"])
            elif what == "crash":
                await nodes[name].crash()
                nodes[name] = await world.start(name)
            elif what == "copy":
                copies[name] = nodes[name].copy()
            elif what == "put back" and step % 3 == 0:
                await nodes[name].stop()
                world.put_back(copies[name])
                nodes[name] = await world.start(name)
            else:
                await trio.sleep(chance.choice([1, 60, 4000]))
        world.mend(nodes["alice"], nodes["bob"])
        for name, node in nodes.items():
            await node.call("send", chat=other[name], text="at last")
        for name, node in nodes.items():
            await until(lambda node=node, name=name: all_delivered(node, other[name]), 30 * HOUR)  # type: ignore[misc]
        for name, node in nodes.items():
            assert (await node.texts(other[name]))[-1] == "at last"
        await until(lambda: nothing_waits(*nodes.values()), 30 * HOUR)

    run_world(tmp_path, main, seed=seed + 1)
