"""Power cuts while a person keeps order: pins, mutes, archives, blocks, renames, revokes, forgets.

As in `test_crash_points`: what was answered is so after the cut, and nothing is half done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.store import clearing
from p2pchat.store.database import Database
from tests.support.power_cuts import Person, befriend, cut_each, played, two_people
from tests.support.world import World, WorldNode, run_world

POINTS = 6


async def _story(world: World, cut_at: int | None) -> int:
    async with two_people(world, "alice", cut_at) as (alice, bob):
        await _play(alice, bob)
    return alice.boundaries


async def _play(alice: Person, bob: Person) -> None:
    await befriend(alice, bob)
    await bob.say("alice", "remember me")
    await _set(alice, "pin_chat", {"chat": "bob"}, "chats", {"pinned": True})
    await _set(alice, "archive", {"chat": "bob"}, "chats", {"archived": True})
    await _set(alice, "mute", {"chat": "bob", "seconds": 0}, "chats", {"muted_until": None})
    await alice.do(_mute_for_an_hour, _is_muted_for_an_hour)
    await _set(alice, "note", {"contact": "bob", "text": "noted"}, "contacts", {"note": "noted"})
    await _set(alice, "block", {"contact": "bob"}, "contacts", {"state": "blocked"})
    await _set(alice, "unblock", {"contact": "bob"}, "contacts", {"state": "contact"})
    await _set(alice, "rename", {"contact": "bob", "name": "rob"}, "contacts", {"name": "rob"})
    await alice.say("rob", "I do")
    (shown,) = await alice.ask(lambda node: node.call("chats"))
    assert (shown["pinned"], shown["archived"], shown["note"], shown["name"]) == (True, True, "noted", "rob")
    await _revoke(alice)
    await _clear(alice)
    for text in ("one", "two", "three"):  # more than one transaction deletes
        await alice.say("rob", text)
    await _forget(alice)


async def _mute_for_an_hour(node: WorldNode) -> None:
    await node.call("mute", chat="bob", seconds=3600)


async def _is_muted_for_an_hour(node: WorldNode) -> bool:
    (shown,) = await node.call("chats")
    return shown["muted_until"] is not None and not shown["muted_until"].startswith("9")


async def _set(person: Person, method: str, params: dict[str, Any], list_by: str, shows: dict[str, Any]) -> None:
    async def act(node: WorldNode) -> None:
        await node.call(method, **params)

    async def done(node: WorldNode) -> bool:
        (shown,) = await node.call(list_by)
        return bool(shows.items() <= shown.items())

    await person.do(act, done)


async def _revoke(person: Person) -> None:
    async def invite(node: WorldNode) -> None:
        await node.call("invite", label="second")

    async def states(node: WorldNode) -> list[str]:
        return [one["state"] for one in await node.call("invites") if one["label"] == "second"]

    async def is_there(node: WorldNode) -> bool:
        return bool(await states(node))

    async def revoke(node: WorldNode) -> None:
        await node.call("invites", revoke="second")

    async def is_revoked(node: WorldNode) -> bool:
        return "open" not in await states(node)

    await person.do(invite, is_there)
    await person.do(revoke, is_revoked)


async def _clear(person: Person) -> None:
    async def clear(node: WorldNode) -> None:
        await node.call("clear", chat="rob")

    async def is_empty(node: WorldNode) -> bool:
        if len(said := await node.call("log", chat="rob")) == 1:
            await trio.sleep(60)  # what was begun goes on by itself
            said = await node.call("log", chat="rob")
        assert len(said) in (0, 2), "half of it is gone"
        return not said

    await person.do(clear, is_empty)


async def _forget(person: Person) -> None:
    async def forget(node: WorldNode) -> None:
        await node.call("forget", contact="rob", history=True)

    async def is_forgotten(node: WorldNode) -> bool:
        if (left := await node.engine.committer.read(_left)) == [0, 0, 0, 1]:
            await trio.sleep(60)  # the chat goes in pieces, by itself
            left = await node.engine.committer.read(_left)
        assert left in ([0] * len(left), [1] * len(left)), f"half of it is gone: {left}"
        return not any(left)

    await person.do(forget, is_forgotten)
    assert await person.ask(lambda node: node.call("chats")) == []


def _left(db: Database) -> list[int]:
    counts = [
        "SELECT count(*) FROM contacts",
        "SELECT count(*) FROM devices",
        "SELECT count(*) > 0 FROM sessions",
        "SELECT count(*) FROM chats WHERE kind = 'direct'",
    ]
    return [db.query(count)[0][0] for count in counts]


def _played(folder: Path, cut_at: int | None) -> int:
    return played(folder, cut_at, lambda world: _story(world, cut_at))


async def _clear_notes(world: World, cut_at: int | None) -> tuple[int, int]:
    """Clear a chat of three messages; the boundaries passed before that, and in all."""
    alice = Person(world, "alice", cut_at)

    async def clear(node: WorldNode) -> None:
        await node.call("clear", chat="notes")
        assert await node.call("log", chat="notes") == []

    async def is_empty(node: WorldNode) -> bool:
        if len(await node.call("log", chat="notes")) == 3:
            return False
        await trio.sleep(60)  # what was begun goes on by itself
        assert await node.call("log", chat="notes") == [], "it stopped half-way"
        return True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(alice.live)
        with trio.fail_after(3600):
            for text in ("one", "two", "three"):
                await alice.say("notes", text)
            before = alice.boundaries
            await alice.do(clear, is_empty)
            await alice.say("notes", "four")
        nursery.cancel_scope.cancel()
    return before, alice.boundaries


def test_a_cut_between_the_pieces_of_a_clearing_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "MAX_CLEARED_AT_ONCE", 1)
    passed: list[tuple[int, int]] = []
    for cut_at in (None, *range(40)):
        if cut_at is not None and cut_at >= passed[0][1] - passed[0][0]:
            break

        async def main(world: World, cut_at: int | None = cut_at) -> None:
            passed.append(await _clear_notes(world, None if cut_at is None else passed[0][0] + cut_at))

        (tmp_path / str(cut_at)).mkdir()
        run_world(tmp_path / str(cut_at), main)
    assert len(passed) > 6


def test_a_power_cut_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "MAX_CLEARED_AT_ONCE", 1)
    cut_each(tmp_path, _played, POINTS, "contacts")
