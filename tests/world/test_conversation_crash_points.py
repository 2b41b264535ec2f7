"""Power cuts while messages are answered, edited, reacted to, pinned and deleted: what was seen as done is kept.

As in `test_crash_points`: a story is played once to count the boundaries of one node, and then once for each of a
sample of them with the power cut there. In the end both see the same, all that was done is there, and nothing twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.sampling import SEED, chosen
from tests.support.world import World, WorldNode, run_world
from tests.world.test_conversation import log, picture
from tests.world.test_crash_points import Person
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
    alice = Person(world, "alice", cut_at if victim == "alice" else None)
    bob = Person(world, "bob", cut_at if victim == "bob" else None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alice.live)
        nursery.start_soon(bob.live)
        with trio.fail_after(6 * 3600):
            await _play(alice, bob)
        nursery.cancel_scope.cancel()
    return (alice if victim == "alice" else bob).boundaries


async def _play(alice: Person, bob: Person) -> None:
    made: list[str] = []

    async def invite(node: WorldNode) -> None:
        made.append((await node.call("invite"))["invite"])

    async def has_invite(node: WorldNode) -> bool:
        return bool(made)

    async def add(node: WorldNode) -> None:
        await node.call("add", invite=made[0], name="alice", wait="accepted", timeout=900)

    async def is_contact(node: WorldNode) -> bool:
        return any(one["state"] == "contact" for one in await node.call("contacts"))

    await alice.do(invite, has_invite)
    await bob.do(add, is_contact)
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
        await picture(await alice.node(), "bob", "alice"),
        await picture(await bob.node(), "alice", "bob"),
    )
    assert sorted(ours, key=_sender) == sorted(theirs, key=_sender)  # between two senders arrival says the order
    assert [(one["text"], one["deleted"], one["pinned"]) for one in ours if one["kind"] == "text"] == [
        ("one, mended", False, True),
        ("", True, False),
    ]
    assert [(one["text"], one["from"]) for one in ours if one["kind"] == "timer"] == [
        ("Messages disappear 1 day after they are read.", "bob")
    ]
    assert (await (await alice.node()).call("timer", chat="bob"))["timer"] == 86_400
    assert next(one for one in ours if one["pinned"])["reactions"] == [("bob", "👍")]
    node = await bob.node()
    history = await node.call("history", id=(await row(node, "alice", "one, mended"))["id"])
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
    async def nothing(node: WorldNode) -> None:
        await trio.sleep(1)

    for person in people:
        await person.do(nothing, nothing_owed)


def _played(folder: Path, victim: str, cut_at: int | None) -> int:
    passed = 0

    async def main(world: World) -> None:
        nonlocal passed
        passed = await story(world, victim, cut_at)

    folder.mkdir()
    try:
        run_world(folder, main)
    except BaseException as error:
        raise AssertionError(f"cut at boundary {cut_at}; P2PCHAT_SEED={SEED} repeats it") from error
    return passed


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_keeps_what_was_seen_as_done(tmp_path: Path, victim: str) -> None:
    boundaries = _played(tmp_path / "count", victim, None)
    assert boundaries > 40
    for cut_at in chosen(boundaries, POINTS, victim, "conversation"):
        _played(tmp_path / str(cut_at), victim, cut_at)
