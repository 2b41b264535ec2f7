"""Power cuts while a group is changed, at every boundary between a commit and a release, as `test_groups_crash_points`
has them for writing and removing.

alice founds a group of bob and carol, makes bob an admin, and lets dan in, who asks with an invite. They change its
rules, mute and hide; alice and bob act apart at one time; the keys are renewed, carol loses hers and gets new ones; an
owner is to be replaced and says no; carol leaves; alice founds another group in its place. Whatever was done is done
once, and all agree in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from tests.support.group_worlds import members, said
from tests.support.power_cuts import Done, Person, befriend, cut_each, nothing, played
from tests.support.world import World, WorldNode

POINTS = 1
CHAT = "hikers"
HOUR, DAY = 3600, 86_400


async def story(world: World, victim: str, cut_at: int | None) -> int:
    """How many boundaries the victim's node passed."""
    people = {
        name: Person(world, name, cut_at if victim == name else None) for name in ("alice", "bob", "carol", "dan")
    }
    async with trio.open_nursery() as nursery:
        for person in people.values():
            nursery.start_soon(person.live)
        with trio.fail_after(40 * DAY):
            await _play(world, *people.values())
        nursery.cancel_scope.cancel()
    return people[victim].boundaries


def act(method: str, **fields: Any) -> Callable[[WorldNode], Any]:
    """A call about the group."""
    return lambda node: node.call(method, chat=CHAT, **fields)


async def shown(node: WorldNode) -> dict[str, Any]:
    """The group as a node has it; nothing if it is not there."""
    if not any(one["name"] == CHAT for one in await node.call("chats")):
        return {"members": 0, "role": None, "topic": "", "settings": {}}
    found: dict[str, Any] = await node.call("group", chat=CHAT)
    return found


def has(**wanted: Any) -> Done:
    """Whether a node has these fields, or settings, of the group."""

    async def done(node: WorldNode) -> bool:
        group = await shown(node)
        return all(group.get(key, group["settings"].get(key)) == value for key, value in wanted.items())

    return done


def reads(*texts: str) -> Done:
    async def done(node: WorldNode) -> bool:
        return bool((await shown(node))["members"]) and set(texts) <= set(await said(node, CHAT))

    return done


async def times_done(node: WorldNode, op: str) -> int:
    """How often something was done in the group, as its log has it."""
    return [one["op"] for one in await node.call("group_log", chat=CHAT, limit=500)].count(op)


async def all_have(people: list[Person], done: Done) -> None:
    for person in people:
        await person.do(nothing, done)


async def _play(world: World, alice: Person, bob: Person, carol: Person, dan: Person) -> None:
    for other in (bob, carol):
        await befriend(alice, other)

    async def founded(node: WorldNode) -> bool:
        return any(one["name"] == CHAT for one in await node.call("chats"))

    await alice.do(lambda node: node.call("create_group", name=CHAT, contacts=["bob", "carol"]), founded)
    await all_have([alice, bob, carol], has(members=3))
    await alice.do(act("set_role", member="bob", role="admin"), _is_admin("bob"))
    await alice.do(act("set_group", key="topic", value="up"), has(topic="up"))
    await alice.do(act("set_group", key="history", value="50"), has(history=50))
    await all_have([bob, carol], has(topic="up", history=50))
    await bob.do(nothing, has(role="admin"))

    await carol.say(CHAT, "by carol")
    await all_have([alice, bob], reads("by carol"))
    await bob.do(_hide("by carol"), _is_hidden("by carol"))
    await all_have([alice, carol], _is_hidden("by carol"))
    await alice.do(act("mute_member", member="carol", seconds=60), _is_muted("carol"))
    await alice.do(act("mute_member", member="carol", seconds=0), _is_muted("carol", no=True))

    await _invite(alice, dan)
    await all_have([alice, bob, carol, dan], has(members=4))

    world.cut(*[await person.node() for person in (alice, bob)])
    await alice.do(act("remove_member", member="dan"), has(members=3))
    await bob.do(act("set_group", key="locked", value="yes"), has(locked=True))
    await bob.do(act("remove_member", member="dan"), has(members=3))
    world.mend(*[world.nodes[name] for name in ("alice", "bob")])
    await bob.do(act("set_group", key="locked", value="no"), has(locked=False))
    await all_have([alice, bob, carol], has(members=3, locked=False))

    async def lose(node: WorldNode) -> None:
        await node.engine.committer.submit(_lose_keys)

    await carol.do(lose, _has_lost)
    await carol.say(CHAT, "waits for keys")
    await alice.say(CHAT, "can you read this?")
    await bob.do(nothing, reads("can you read this?"))
    await trio.sleep(3 * HOUR)
    await alice.say(CHAT, "and this?")
    await carol.do(nothing, reads("and this?"))
    await all_have([alice, bob], reads("waits for keys"))

    for person in (alice, bob, carol):
        await trio.sleep(60)
        await person.say(CHAT, f"{person.name} after it all")
    await alice.do(act("set_group", key="recovery", value="1 of bob"), _may_recover)
    await bob.do(nothing, _may_recover)
    await bob.do(act("recover_group", member="bob"), _asks)
    await alice.do(nothing, _asks)
    await alice.do(act("keep_group"), _asks_no_more)
    await bob.do(nothing, _asks_no_more)
    await all_have([alice], has(role="owner"))

    await carol.do(act("leave_group"), has(role=None))
    await all_have([alice, bob], has(members=2))
    await alice.do(lambda node: node.call("succeed_group", chat=CHAT, name="walkers"), _has_chat("walkers"))
    await bob.do(nothing, _has_chat("walkers"))

    for person, others in ((alice, ("bob", "carol")), (bob, ("alice", "carol"))):
        assert await person.ask(lambda node: members(node, CHAT)) == {"me", *({"alice", "bob"} - {person.name})}
        texts = await person.ask(lambda node: said(node, CHAT))
        for name in others:
            assert texts.count(f"{name} after it all") == 1
        assert texts.count("waits for keys") == 1
        for op, most in (("found", 1), ("add", 3), ("mute", 2)):
            assert 1 <= await person.ask(partial(times_done, op=op)) <= most, op
    assert [one["name"] for one in await alice.ask(lambda node: node.call("chats"))].count("walkers") == 1


async def _invite(alice: Person, dan: Person) -> None:
    """dan asks with an invite of alice's, and is let in."""
    made: list[str] = []

    async def invite(node: WorldNode) -> None:
        made.append((await node.call("group_invite", chat=CHAT, ask=True))["text"])

    async def has_invite(node: WorldNode) -> bool:
        return bool(made)

    await alice.do(invite, has_invite)

    async def asks(node: WorldNode) -> bool:
        return bool(await node.call("group_requests", chat=CHAT)) or await has(members=4)(node)

    used: list[None] = []

    async def use(node: WorldNode) -> None:
        await node.call("add", invite=made[0], words="let me in", timeout=60)
        used.append(None)

    async def has_used(node: WorldNode) -> bool:
        return bool(used)

    await dan.do(use, has_used)
    await alice.do(nothing, asks)
    await alice.do(act("answer_request", id="dan"), has(members=4))
    await dan.do(nothing, has(members=4))


def _is_admin(name: str) -> Done:
    async def done(node: WorldNode) -> bool:
        page = await node.call("group_members", chat=CHAT)
        return bool({one["name"]: one["role"] for one in page["members"]}[name] == "admin")

    return done


def _is_muted(name: str, *, no: bool = False) -> Done:
    async def done(node: WorldNode) -> bool:
        page = await node.call("group_members", chat=CHAT)
        return bool({one["name"]: one["muted_until"] for one in page["members"]}[name]) is not no

    return done


async def _first(node: WorldNode, text: str) -> dict[str, Any] | None:
    log = await node.call("log", chat=CHAT, limit=1000)
    return next((one for one in log if one["text"] == text), None)


def _hide(text: str) -> Callable[[WorldNode], Any]:
    async def hide(node: WorldNode) -> None:
        message = await _first(node, text)
        assert message is not None
        await node.call("hide_message", id=message["id"], reason="spam")

    return hide


def _is_hidden(text: str) -> Done:
    async def done(node: WorldNode) -> bool:
        log = await node.call("log", chat=CHAT, limit=1000)
        return await _first(node, text) is None and [bool(one["hidden"]) for one in log].count(True) == 1

    return done


def _lose_keys(tx: Transaction) -> None:
    """Lose all keys of the group, as by a fault."""
    (chat,) = store_groups.chats(tx.db)
    for epoch in store_epochs.of(tx.db, chat):
        store_epochs.remove(tx.db, epoch.pk)
    store_groups.update(tx.db, chat, epoch=None)


async def _has_lost(node: WorldNode) -> bool:
    return node.db.query("SELECT count(*) FROM group_epochs") == [(0,)]


async def _may_recover(node: WorldNode) -> bool:
    return (await shown(node))["settings"].get("recovery") is not None


async def _asks(node: WorldNode) -> bool:
    return "owner" in (await shown(node)).get("problem", "")


async def _asks_no_more(node: WorldNode) -> bool:
    return await _may_recover(node) and not await _asks(node)


def _has_chat(name: str) -> Done:
    async def done(node: WorldNode) -> bool:
        return any(one["name"] == name for one in await node.call("chats"))

    return done


@pytest.mark.parametrize("victim", ["alice", "bob", "carol", "dan"])
def test_a_power_cut_while_a_group_is_changed_loses_nothing_and_does_nothing_twice(tmp_path: Path, victim: str) -> None:
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, victim, cut_at), POINTS, victim)


def _played(folder: Path, victim: str, cut_at: int | None) -> int:
    return played(folder, cut_at, lambda world: story(world, victim, cut_at))
