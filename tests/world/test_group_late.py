"""What is said or done in a group by somebody whom nothing reaches for days, while the group goes on to other keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.engine.groups import logs, pairwise
from p2pchat.lib.times import HOUR_SECONDS, MINUTE_SECONDS
from tests.support.group_worlds import found as founded
from tests.support.group_worlds import has_members, reads, said
from tests.support.mailboxes import MailRelay
from tests.support.power_cuts import cut_each, nothing, people, played
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_group_changes_crash_points import CHAT, act, all_have, has
from tests.world.test_group_changes_crash_points import reads as has_read
from tests.world.test_group_logs import NAMES, found


@contextmanager
def away(world: World, node: WorldNode, others: Sequence[WorldNode], tower: MailRelay) -> Iterator[None]:
    """Nothing that this node says reaches anybody, and nobody reaches the only relay."""
    for other in others:
        if other is not node:
            world.cut(node, other)
    tower.stop()
    yield
    for other in others:
        if other is not node:
            world.mend(node, other)
    tower.start()


def kept(node: WorldNode) -> int:
    """How many contents and events of a node's may have to be sealed again."""
    ((count,),) = node.db.query("SELECT count(*) FROM group_unsent")
    return int(count)


async def nothing_is_kept(*nodes: WorldNode) -> None:
    async def so() -> bool:
        await trio.lowlevel.checkpoint()
        return not any(kept(node) for node in nodes)

    await until(so)


async def shows(node: WorldNode, key: str, value: object) -> None:
    """Wait until a group has a setting."""

    async def so() -> bool:
        group = await node.call("group", chat="town")
        return bool(group["settings"][key] == value)

    await until(so)


def test_what_goes_into_a_log_is_kept_until_it_is_read_there(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        nodes, (tower,) = await found(world, 1)
        alice, bob = nodes[:2]
        await nothing_is_kept(alice, bob)
        tower.stop()
        await bob.call("send", chat="town", text="hello")
        await alice.call("set_group", chat="town", key="topic", value="hills")
        await trio.sleep(60)
        assert (kept(alice), kept(bob)) == (1, 1)
        tower.start()
        await nothing_is_kept(alice, bob)

    run_world(tmp_path, main)


@pytest.mark.parametrize("days", [1, 20])
def test_what_was_written_offline_reaches_those_who_have_gone_on(tmp_path: Path, days: int) -> None:
    """They read the logs of the keys under which it was sealed no more."""

    async def main(world: World) -> None:
        nodes, (tower,) = await found(world, 1, (*NAMES, "mallory"))
        alice, bob, carol = nodes[:3]
        with away(world, bob, nodes, tower):
            await trio.sleep(60)
            await bob.call("send", chat="town", text="from the hills")
            await alice.call("remove_member", chat="town", member="mallory")
            await has_members(carol, "town", 10)
            await world.sleep_days(days)
            await trio.sleep(2 * HOUR_SECONDS)
        for node in (alice, carol):
            await reads(node, "town", "from the hills")
        await nothing_is_kept(alice, bob)
        await bob.call("send", chat="town", text="home again")
        for node in (alice, carol):
            await reads(node, "town", "from the hills", "home again")

    run_world(tmp_path, main)


def test_what_was_deleted_meanwhile_is_not_sealed_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        nodes, (tower,) = await found(world, 1, (*NAMES, "mallory"))
        alice, bob, carol = nodes[:3]
        with away(world, bob, nodes, tower):
            await trio.sleep(60)
            first = await bob.call("send", chat="town", text="said in anger")
            await bob.call("delete", id=first["id"], for_both=True)
            await bob.call("send", chat="town", text="from the hills")
            await alice.call("remove_member", chat="town", member="mallory")
            await has_members(carol, "town", 10)
            await world.sleep_days(2)
            await trio.sleep(2 * HOUR_SECONDS)
            assert not bob.db.query("SELECT 1 FROM group_unsent WHERE instr(content, 'anger')")
        await nothing_is_kept(bob)
        for node in (alice, carol):
            assert [text for text in await said(node, "town") if text] == ["from the hills"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("change", ["rule", "removal"])
def test_what_was_changed_offline_reaches_those_who_have_gone_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """In a large group, where changes go into logs alone. So does the other change, which has to wait for the relay."""
    monkeypatch.setattr(logs, "MAX_BOTH", 1)

    async def main(world: World) -> None:
        nodes, (tower,) = await found(world, 1, (*NAMES, "mallory", "niaj"))
        alice, bob, carol = nodes[:3]
        await alice.call("set_role", chat="town", member="bob", role="admin")
        await nothing_is_kept(alice)
        await trio.sleep(60)
        with away(world, bob, nodes, tower):
            await trio.sleep(60)
            if change == "rule":
                await bob.call("set_group", chat="town", key="topic", value="hills")
            else:
                await bob.call("remove_member", chat="town", member="niaj")
            await alice.call("remove_member", chat="town", member="mallory")
            await world.sleep_days(2)
            await trio.sleep(2 * HOUR_SECONDS)
        for node in (alice, bob, carol):
            await has_members(node, "town", 11 if change == "rule" else 10)
            await shows(node, "topic", "hills" if change == "rule" else "")
        await nothing_is_kept(alice, bob)

    run_world(tmp_path, main)


async def _late(world: World, victim: str, cut_at: int | None) -> int:
    """bob writes and changes something while nothing reaches anybody, and hears of other keys before he can put it."""
    tower = world.mailbox("tower")
    nodes = alice_, bob_, _, _ = await founded(world, "alice", "bob", "carol", "mallory")
    await alice_.call("relays", add=tower.address)
    await alice_.call("set_role", chat=CHAT, member="bob", role="admin")
    for node in nodes:
        await until(partial(_has_logs, node))
    await until(partial(has(role="admin"), bob_))
    await nothing_is_kept(*nodes)
    for node in nodes:
        await node.stop()
    tower.stop()
    async with people(world, ("alice", "bob", "carol"), victim, cut_at, hours=24) as living:
        alice, bob, carol = living
        for other in (alice, carol):
            world.cut(bob, other)
        await bob.say(CHAT, "from the hills")
        await bob.do(act("set_group", key="topic", value="hills"), has(topic="hills"))
        await alice.do(act("remove_member", member="mallory"), has(members=3))
        await carol.do(nothing, has(members=3))
        world.mend(world.nodes["alice"], world.nodes["bob"])
        await bob.do(nothing, has(members=3, topic="hills"))
        await trio.sleep(5 * MINUTE_SECONDS)
        tower.start()
        await all_have(living, has(members=3, topic="hills"))
        await all_have([alice, carol], has_read("from the hills"))
        await bob.do(nothing, _keeps_nothing)
        for person in (alice, carol):
            assert await person.ask(lambda node: said(node, CHAT)) == ["from the hills"]
    return next(one for one in living if one.name == victim).boundaries


async def _has_logs(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return bool(node.db.query("SELECT 1 FROM group_logs WHERE until IS NULL"))


async def _keeps_nothing(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return not kept(node)


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_while_something_is_sealed_again_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    def play(folder: Path, cut_at: int | None) -> int:
        return played(folder, cut_at, lambda world: _late(world, victim, cut_at))

    cut_each(tmp_path, play, 1, victim)
