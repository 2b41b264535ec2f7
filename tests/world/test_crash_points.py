"""Power cuts at every boundary between a commit and a release, one world for each.

A story is played once to count the boundaries of one node: before and after each COMMIT, and before each thing that is
released after it (bytes to the network, blobs to a relay, a wish to the network, an event to a face). Then it is played
once for each of them with the power cut there; the node is started again and the story goes on. Nothing that a face was
told is sent may be missing then. In the end nothing is missing at all, nothing shows twice, all is in order, and the
session works.

The story is played over links, and by two relays without a link, of which one may do everything wrong.

`make check` tries a sample of the boundaries, spread over the whole story, and `make soak` all: see
`tests/support/sampling.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import trio

from tests.support.mailboxes import MailRelay
from tests.support.power_cuts import Person, befriend, cut_each, is_contact, nothing, played, two_people
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode

POINTS = 3
LIES = ("drops", "withholds", "repeats", "reorders", "invents", "delays", "dies", "restored")


async def story(world: World, victim: str, cut_at: int | None, relays: Sequence[MailRelay] = ()) -> int:
    """alice invites bob; both write, also while the other is silent. Where there are relays, there are no links. How
    many boundaries the victim's node passed.
    """
    async with two_people(world, victim, cut_at) as (alice, bob):
        if relays:
            world.cut(alice, bob)
        for relay in relays:
            await alice.use(relay)
        await _play(alice, bob, rounds=1 if relays else 2)
    return (alice if victim == "alice" else bob).boundaries


async def _play(alice: Person, bob: Person, rounds: int) -> None:
    await befriend(alice, bob)
    await alice.do(nothing, is_contact)
    said: dict[str, list[str]] = {"alice": [], "bob": []}
    for number in range(rounds):
        for person, other in ((alice, "bob"), (bob, "alice")):
            for text in (f"{person.name} {number} first", f"{person.name} {number} second"):
                await person.say(other, text)
                said[person.name].append(text)
        await _all_there(alice, bob, said)
    for person, other in ((alice, "bob"), (bob, "alice")):
        await person.say(other, "and still we talk")
        said[person.name].append("and still we talk")
    await _all_there(alice, bob, said)


async def _all_there(alice: Person, bob: Person, said: dict[str, list[str]]) -> None:
    for person, other in ((alice, bob), (bob, alice)):

        async def delivered(node: WorldNode, chat: str = other.name) -> bool:
            log = await node.call("log", chat=chat, limit=1000)
            return all(one["state"] == "delivered" for one in log if one["from"] == "me")

        await person.do(nothing, delivered)
    for person, other in ((alice, bob), (bob, alice)):
        texts, written = await person.ask(partial(_both_sides, other=other.name))
        assert texts == said[other.name]
        assert written == said[person.name]


async def _both_sides(node: WorldNode, other: str) -> tuple[list[str], list[str]]:
    """What a node has of somebody else, and of its own for them."""
    return await node.texts(other), await node.texts(other, mine=True)


@pytest.mark.parametrize("victim", ["alice", "bob"])
@pytest.mark.parametrize("relays", [0, 2])
def test_a_power_cut_at_a_boundary_loses_nothing_and_repeats_nothing(tmp_path: Path, victim: str, relays: int) -> None:
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, victim, cut_at, relays=relays), POINTS, victim, relays)


@pytest.mark.parametrize(("victim", "lie"), sampled(list(product(("alice", "bob"), LIES)), 2, "lies"))
def test_a_power_cut_while_one_of_two_relays_does_everything_wrong(tmp_path: Path, victim: str, lie: str) -> None:
    """At fewer boundaries in a sample, since with honest relays the story passes the same ones."""
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, victim, cut_at, relays=2, lie=lie), 2, victim, lie)


def _played(folder: Path, victim: str, cut_at: int | None, *, relays: int = 0, lie: str = "") -> int:
    async def main(world: World) -> int:
        used = [world.mailbox(f"relay {number}") for number in range(relays)]
        if lie in ("dies", "restored"):
            world.soon(_spoil, used[0], lie)
        elif lie:
            setattr(used[0].lies, lie, {"invents": 2, "delays": 100.0}.get(lie, True))
        return await story(world, victim, cut_at, used)

    return played(folder, cut_at, main)


async def _spoil(relay: MailRelay, how: str) -> None:
    """Whenever something lies there: it is gone for a while, or as it was before."""
    copy = relay.copy()
    while True:
        await trio.sleep(7)
        if how == "dies" and relay.blobs():
            relay.stop()
            relay.disk.queues.clear()
            await trio.sleep(200)
            relay.start()
        elif how == "restored" and relay.blobs():
            newer = relay.copy()
            relay.put_back(copy)
            copy = newer
