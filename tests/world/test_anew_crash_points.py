"""Power cuts while a person begins anew with a contact, and while a profile goes on from a copy of its folder.

As in `test_crash_points`: what was answered is kept, all that is said from then on arrives, and nothing comes twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.errors import P2PChatError
from tests.support.power_cuts import Person, cut_each, new_invite, nothing, played, two_people
from tests.support.world import World, WorldNode, befriend, until
from tests.world.test_delivery import nothing_owed

POINTS = 2


async def _anew(world: World, alice: Person, bob: Person) -> None:
    """Bob's folder is from before they met: he uses another invite, and alice accepts him again."""
    invite = await new_invite(alice)

    async def add(node: WorldNode) -> None:
        await node.call("add", invite=invite, name="alice", timeout=900)

    async def has_asked(node: WorldNode) -> bool:
        return bool(await node.call("contacts"))

    async def is_there(node: WorldNode) -> bool:
        return [one["state"] for one in await node.call("contacts")] == ["contact"]

    accepted = False

    async def accept(node: WorldNode) -> None:
        nonlocal accepted

        async def is_decided() -> bool:  # also by a call before, whose answer was lost with the power
            return bool(await node.call("requests")) or await _is_contact(bob)

        await until(is_decided)
        if await node.call("requests"):
            await node.call("accept", contact="bob")
        accepted = True

    async def was_accepted(node: WorldNode) -> bool:
        return accepted

    await bob.do(add, has_asked)
    await alice.do(accept, was_accepted)
    await bob.do(nothing, is_there)


async def _is_contact(person: Person) -> bool:
    try:
        return [one["state"] for one in await person.ask(lambda node: node.call("contacts"))] == ["contact"]
    except P2PChatError:
        return False


async def _restored(world: World, alice: Person, bob: Person) -> None:
    """Bob's folder is from when they had met: his session is renewed by itself."""


STORIES = {"begins anew": _anew, "goes on from a copy": _restored}


async def story(world: World, how: str, victim: str, cut_at: int | None) -> int:
    node = await world.start("bob")
    if how == "begins anew":
        await node.stop()
        copy = node.copy()
        node = await world.start("bob")
    other = await world.start("alice")
    await befriend(other, node)
    await node.call("send", chat="alice", text="one", wait="delivered")
    if how != "begins anew":
        await node.stop()
        copy = node.copy()
        node = await world.start("bob")
    await node.call("send", chat="alice", text="two", wait="delivered")
    await other.call("send", chat="bob", text="forgotten by bob", wait="delivered")
    await node.stop()
    await other.call("send", chat="bob", text="waits")
    await other.stop()
    world.put_back(copy)
    async with two_people(world, victim, cut_at, hours=12) as (alice, bob):
        await STORIES[how](world, alice, bob)
        await bob.say("alice", "three")
        await alice.say("bob", "four")
        for person in (alice, bob):
            await person.do(nothing, nothing_owed)
        assert await alice.ask(lambda node: node.texts("bob")) == ["one", "two", "three"]
        assert (await bob.ask(lambda node: node.texts("alice")))[-2:] == ["waits", "four"]
        assert await alice.ask(lambda node: node.texts("bob", mine=True)) == ["forgotten by bob", "waits", "four"]
    return (alice if victim == "alice" else bob).boundaries


def _played(folder: Path, how: str, victim: str, cut_at: int | None) -> int:
    return played(folder, cut_at, lambda world: story(world, how, victim, cut_at))


@pytest.mark.parametrize("how", list(STORIES))
@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_loses_nothing_and_repeats_nothing(tmp_path: Path, how: str, victim: str) -> None:
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, how, victim, cut_at), POINTS, how, victim, least=20)
