"""Power cuts in a group, at every boundary between a commit and a release, as `test_crash_points` has them for two.

alice founds a group of bob and carol, who do not know each other; they talk, she removes carol, goes on with bob, and
adds carol again, who leaves.
The power of one of them is cut once in each story. What a face was told stays; nothing shows twice; all agree in the
end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupItem, Payload
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import gaps, own_keys, pairwise
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from tests.support.group_worlds import said
from tests.support.power_cuts import Done, Person, befriend, cut_each, nothing, played
from tests.support.world import World, WorldNode

POINTS = 3
CHAT = "hikers"
Play = Callable[[Person, Person, Person], Awaitable[None]]


class Loss:
    """Loses what is said in the group and goes to whom the others call `name`. answers: also what anybody asks for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.name = ""
        self.answers = False
        queue, answer = outbound.queue, gaps._send

        def lose(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
            if not (isinstance(payload, GroupItem) and contact.name == self.name):
                queue(tx, contact, payload, **more)

        patch.setattr(outbound, "queue", lose)
        patch.setattr(gaps, "_send", lambda *args: self.answers or answer(*args))


async def story(world: World, victim: str, cut_at: int | None, *, tower: bool = False, play: Play | None = None) -> int:
    """How many boundaries the victim's node passed. tower: alice has a relay. play: what they do."""
    relay = world.mailbox("tower") if tower else None
    people = {name: Person(world, name, cut_at if victim == name else None) for name in ("alice", "bob", "carol")}
    async with trio.open_nursery() as nursery:
        for person in people.values():
            nursery.start_soon(person.live)
        with trio.fail_after(48 * 3600):
            if relay is not None:
                address = relay.address

                async def use(node: WorldNode) -> None:
                    await node.call("relays", add=address)

                async def uses(node: WorldNode) -> bool:
                    return bool(await node.call("relays"))

                await people["alice"].do(use, uses)
            await (play or _play)(*people.values())

            if relay is not None:
                await _talk_by_log(world, people["alice"], people["bob"])
                assert any(relay.logs.values())
        nursery.cancel_scope.cancel()
    return people[victim].boundaries


async def _lose(loss: Loss, alice: Person, bob: Person, carol: Person) -> None:
    """A message of carol does not come to bob, who asks alice for it."""
    await _found(alice, bob, carol)
    loss.name = "bob"
    await carol.say(CHAT, "lost")
    await alice.do(nothing, _texts(1))
    loss.name = ""
    await carol.say(CHAT, "later")
    await bob.do(nothing, _texts(2))
    assert await bob.ask(lambda node: said(node, CHAT)) == ["lost", "later"]

    async def misses_nothing(node: WorldNode) -> bool:
        return node.db.query("SELECT 1 FROM group_gaps") == []

    await bob.do(nothing, misses_nothing)


async def _update(alice: Person, bob: Person, carol: Person) -> None:
    """bob replaces his keys, and carol is removed, so that the new ones are needed."""
    await _found(alice, bob, carol)

    def update(tx: Transaction) -> None:
        for chat in store_groups.chats(tx.db):
            row = store_groups.get(tx.db, chat)
            assert row is not None
            own_keys.update(tx, row)

    async def replace(node: WorldNode) -> None:
        await node.engine.committer.submit(update)

    async def replaced(node: WorldNode) -> bool:
        return node.db.query("SELECT count(*) FROM group_leaves") == [(1,)]

    await bob.do(replace, replaced)

    async def remove(node: WorldNode) -> None:
        await node.call("remove_member", chat=CHAT, member="carol")

    await alice.do(remove, _members(2))
    await bob.do(nothing, _members(2))
    await alice.say(CHAT, "among us")
    await bob.say(CHAT, "yes")
    for person in (alice, bob):
        await person.do(nothing, _texts(1))


async def _read(alice: Person, bob: Person, carol: Person) -> None:
    """bob tells alice that he has read what she wrote."""
    await _found(alice, bob, carol)

    async def tell(node: WorldNode) -> None:
        await node.call("group_receipts", chat=CHAT)

    async def tells(node: WorldNode) -> bool:
        return bool((await node.call("group", chat=CHAT))["receipts"])

    async def read(node: WorldNode) -> None:
        await node.call("read", chat=CHAT)

    async def nothing_is_unread(node: WorldNode) -> bool:
        return all(not one["unread"] for one in await node.call("chats") if one["name"] == CHAT)

    async def seen_by_one(node: WorldNode) -> bool:
        log = await node.call("log", chat=CHAT, limit=1000)
        return [one["seen"] for one in log if one["mine"] and one["kind"] == "text"] == [1]

    await bob.do(tell, tells)
    await alice.say(CHAT, "have you read this?")
    await bob.do(nothing, _texts(1))
    await bob.do(read, nothing_is_unread)
    await alice.do(nothing, seen_by_one)


async def _play(alice: Person, bob: Person, carol: Person) -> None:
    await _found(alice, bob, carol)
    await _talk_and_remove(alice, bob, carol)


async def _found(alice: Person, bob: Person, carol: Person) -> None:
    for other in (bob, carol):
        await befriend(alice, other)

    async def found(node: WorldNode) -> None:
        await node.call("create_group", name=CHAT, contacts=["bob", "carol"])

    async def has_group(node: WorldNode) -> bool:
        return any(one["name"] == CHAT for one in await node.call("chats"))

    await alice.do(found, has_group)
    for person in (alice, bob, carol):
        await person.do(nothing, _members(3))


async def _talk_and_remove(alice: Person, bob: Person, carol: Person) -> None:
    for person in (alice, bob, carol):
        for number in range(2):
            await person.say(CHAT, f"{person.name} {number}")
    for person in (alice, bob, carol):
        await person.do(nothing, _texts(4))

    async def remove(node: WorldNode) -> None:
        await node.call("remove_member", chat=CHAT, member="carol")

    await alice.do(remove, _members(2))
    await bob.do(nothing, _members(2))
    await alice.say(CHAT, "among us")
    await bob.say(CHAT, "yes")
    await alice.do(nothing, _texts(5))
    await bob.do(nothing, _texts(5))
    for person, others in ((alice, ("bob", "carol")), (bob, ("alice", "carol"))):
        texts = await person.ask(lambda node: said(node, CHAT))
        for name in others:
            assert [text for text in texts if text.startswith(name)] == [f"{name} 0", f"{name} 1"]
        assert len(texts) == 5
    assert "among us" not in await carol.ask(lambda node: said(node, CHAT))
    await _add_again(alice, bob, carol)


async def _add_again(alice: Person, bob: Person, carol: Person) -> None:
    async def add(node: WorldNode) -> None:
        await node.call("add_members", chat=CHAT, contacts=["carol"])

    async def leave(node: WorldNode) -> None:
        await node.call("leave_group", chat=CHAT)

    async def is_gone(node: WorldNode) -> bool:
        return (await node.call("group", chat=CHAT))["role"] is None

    await alice.do(add, _members(3))
    for person in (bob, carol):
        await person.do(nothing, _members(3))
    await carol.say(CHAT, "again")
    for person in (alice, bob):
        await person.do(nothing, _texts(6))
    await carol.do(leave, is_gone)
    for person in (alice, bob):
        await person.do(nothing, _members(2))
        assert (await person.ask(lambda node: said(node, CHAT))).count("again") == 1
    assert "among us" not in await carol.ask(lambda node: said(node, CHAT))


async def _talk_by_log(world: World, alice: Person, bob: Person) -> None:
    """alice and bob do not reach each other any more."""
    world.cut(alice, bob)
    before = [len(await person.ask(lambda node: said(node, CHAT))) for person in (alice, bob)]
    await alice.say(CHAT, "by the log")
    await bob.do(nothing, _texts(before[1] + 1))
    await bob.say(CHAT, "by it too")
    await alice.do(nothing, _texts(before[0] + 1))
    for person, text in ((bob, "by the log"), (alice, "by it too")):
        assert (await person.ask(lambda node: said(node, CHAT)))[-1] == text


def _members(count: int) -> Done:
    async def done(node: WorldNode) -> bool:
        if not any(one["name"] == CHAT for one in await node.call("chats")):
            return False
        return bool((await node.call("group", chat=CHAT))["members"] == count)

    return done


def _texts(count: int) -> Done:
    async def done(node: WorldNode) -> bool:
        return len(await said(node, CHAT)) >= count

    return done


@pytest.mark.parametrize("victim", ["alice", "bob", "carol"])
def test_a_power_cut_in_a_group_loses_nothing_and_repeats_nothing(tmp_path: Path, victim: str) -> None:
    _cut(tmp_path, victim, victim)


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_loses_nothing_where_logs_carry_the_group(
    tmp_path: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)
    _cut(tmp_path, victim, victim, tower=True)


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_while_a_message_is_missing_loses_nothing(
    tmp_path: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = partial(_lose, Loss(monkeypatch))
    _cut(tmp_path, victim, f"{victim} asks", play=play)


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_while_keys_are_replaced_leaves_nobody_without(tmp_path: Path, victim: str) -> None:
    _cut(tmp_path, victim, f"{victim} has new keys", play=_update)


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_while_a_member_tells_what_they_read_loses_no_count(tmp_path: Path, victim: str) -> None:
    _cut(tmp_path, victim, f"{victim} counts", play=_read)


def _cut(folder: Path, victim: str, chosen_by: str, *, tower: bool = False, play: Play | None = None) -> None:
    """Play it once, and then with a power cut of the victim's at some of its boundaries. chosen_by: by what these are
    chosen.
    """
    cut_each(folder, lambda folder, cut_at: _played(folder, victim, cut_at, tower=tower, play=play), POINTS, chosen_by)


def _played(folder: Path, victim: str, cut_at: int | None, *, tower: bool = False, play: Play | None = None) -> int:
    async def main(world: World) -> int:
        return await story(world, victim, cut_at, tower=tower, play=play)

    return played(folder, cut_at, main)
