"""Power cuts while messages are answered, edited, reacted to, pinned and deleted: what was seen as done is kept.

As in `test_crash_points`: a story is played once to count the boundaries of one node, and then once for each of a
sample of them with the power cut there. In the end both see the same, all that was done is there, and nothing twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.power_cuts import Person, befriend, cut_each, nothing, played, two_people
from tests.support.world import World, WorldNode
from tests.world.test_conversation import log, picture
from tests.world.test_delivery import nothing_owed

POINTS = 4


async def row(node: WorldNode, chat: str, text: str) -> dict[str, Any]:
    return next(one for one in await log(node, chat) if one["text"] == text)


async def _do(person: Person, chat: str, method: str, said: str, shows: dict[str, Any], **params: Any) -> None:
    """Do something to the message `said`, until it shows what it should."""
    found: list[str] = []

    async def act(node: WorldNode) -> None:
        found[:] = found or [(await row(node, chat, said))["id"]]
        await node.call(method, id=found[0], **params)

    async def done(node: WorldNode) -> bool:
        return any(one["id"] in found and shows.items() <= one.items() for one in await log(node, chat))

    await person.do(act, done)


async def story(world: World, victim: str, cut_at: int | None) -> int:
    async with two_people(world, victim, cut_at) as (alice, bob):
        await _play(alice, bob)
    return (alice if victim == "alice" else bob).boundaries


async def _play(alice: Person, bob: Person) -> None:
    await befriend(alice, bob)
    await alice.say("bob", "one")
    await alice.say("bob", "two")
    await _do(alice, "bob", "edit", "one", {"text": "one, mended"}, text="one, mended")
    await _set_timer(bob, "alice", 86_400)
    await _do(alice, "bob", "delete", "two", {"deleted": True}, for_both=True)
    await _settled(alice, bob)
    await _do(bob, "alice", "react", "one, mended", {"reactions": [_thumb("me")]}, emoji="👍")
    await _do(bob, "alice", "pin", "one, mended", {"pinned": True})
    await _settled(alice, bob)
    ours, theirs = (
        await alice.ask(lambda node: picture(node, "bob", "alice")),
        await bob.ask(lambda node: picture(node, "alice", "bob")),
    )
    assert sorted(ours, key=_sender) == sorted(theirs, key=_sender)  # between two senders arrival says the order
    assert [(one["text"], one["deleted"], one["pinned"]) for one in ours if one["kind"] == "text"] == [
        ("one, mended", False, True),
        ("", True, False),
    ]
    assert [(one["text"], one["from"]) for one in ours if one["kind"] == "timer"] == [
        ("Messages disappear 1 day after they are read.", "bob")
    ]
    assert (await alice.ask(lambda node: node.call("timer", chat="bob")))["timer"] == 86_400
    assert next(one for one in ours if one["pinned"])["reactions"] == [("bob", "👍")]
    mended = await bob.ask(lambda node: row(node, "alice", "one, mended"))
    history = await bob.ask(lambda node: node.call("history", id=mended["id"]))
    assert [one["text"] for one in history] == ["one", "one, mended"]


def _sender(shown: dict[str, Any]) -> str:
    return str(shown["from"])


async def _set_timer(person: Person, chat: str, seconds: int) -> None:
    async def act(node: WorldNode) -> None:
        await node.call("timer", chat=chat, seconds=seconds)

    async def done(node: WorldNode) -> bool:
        return bool((await node.call("timer", chat=chat))["timer"] == seconds)

    await person.do(act, done)


def _thumb(sender: str) -> dict[str, Any]:
    return {"emoji": "👍", "from": sender, "mine": sender == "me"}


async def _settled(*people: Person) -> None:
    for person in people:
        await person.do(nothing, nothing_owed)


def _played(folder: Path, victim: str, cut_at: int | None) -> int:
    return played(folder, cut_at, lambda world: story(world, victim, cut_at))


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_keeps_what_was_seen_as_done(tmp_path: Path, victim: str) -> None:
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, victim, cut_at), POINTS, victim, "conversation")
