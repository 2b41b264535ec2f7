"""Power cuts while something is wrong in a group, at every boundary between a commit and a release: as
`test_groups_crash_points`. They were in it before.

A message is missing, said to be so, given up, and comes after all. A member has told two others different things. An
admin's profile goes on from a copy, and changes again what it had changed otherwise. Events and messages come before
those that they need. An admin who is being removed removes another member. What is wrong is said once, and all agree in
the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupWant
from p2pchat.core.contents.group_want import MessagePlace
from p2pchat.core.groups.chains import Chain
from p2pchat.core.ids import ChatId, MemberId
from p2pchat.engine.groups import carriage, gaps, upkeep
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import MINUTE_MS
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from tests.support.group_worlds import found, members, said
from tests.support.group_worlds import reads as has_read
from tests.support.power_cuts import Done, cut_each, nothing, people, played
from tests.support.world import World, WorldNode, befriend, until
from tests.world.test_group_admins import friends
from tests.world.test_group_changes_crash_points import CHAT, act, all_have, has, reads
from tests.world.test_group_gaps import in_group, kept_from, lines, member_called, three
from tests.world.test_groups_crash_points import Loss

POINTS = 1
MINUTE = 60
OF_CAROL = "1 message of carol, which alice has seen,"
MORE_OF_CAROL = "1 message of carol"
LEFT_OUT = (
    "999 messages of bob have not arrived, unless bob's node was started from a copy and left them out. "
    "Members who are your contacts are asked for them."
)


async def stop(nodes: Iterable[WorldNode]) -> None:
    for node in nodes:
        await node.stop()


async def _missing(world: World, victim: str, cut_at: int | None, loss: Loss) -> int:
    """A message of carol does not come to bob, who asks for it in vain, and gets it later."""
    loss.answers = True
    nodes = await found(world, "alice", "bob", "carol")
    for node in nodes:  # else what bob's and carol's nodes write as they join may be lost too
        await until(partial(_has_met_both, node))
    await stop(nodes)
    async with people(world, ("alice", "bob", "carol"), victim, cut_at, hours=48) as living:
        alice, bob, carol = living
        loss.name = "bob"
        await carol.say(CHAT, "lost")
        await alice.do(nothing, reads("lost"))
        loss.name = ""
        await alice.say(CHAT, "I read that")
        await bob.do(nothing, reads("I read that"))
        await bob.do(nothing, shows(f"{OF_CAROL} has not arrived. Members who are your contacts are asked for it."))
        await carol.say(CHAT, "later")
        await bob.do(nothing, reads("later"))
        await trio.sleep(17 * MINUTE)
        await bob.do(nothing, shows(f"{MORE_OF_CAROL} did not arrive, and nobody who was asked has it."))
        assert await bob.ask(lambda node: said(node, CHAT)) == ["I read that", "later"]
        loss.answers = False

        async def give(node: WorldNode) -> None:
            await node.engine.committer.submit(in_group(node, _give))
            await trio.sleep(60)

        async def has_come(node: WorldNode) -> bool:
            return "lost" in await bob.ask(lambda other: said(other, CHAT))

        await alice.do(give, has_come)
        await bob.do(nothing, shows("All messages of carol that were missing have arrived."))
        assert sorted(await bob.ask(lambda node: said(node, CHAT))) == ["I read that", "later", "lost"]
        assert sorted(await alice.ask(lambda node: said(node, CHAT))) == ["later", "lost"]
    return next(one for one in living if one.name == victim).boundaries


async def _has_met_both(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return node.db.query("SELECT count(*) FROM group_transcript WHERE number = 0") == [(2,)]


def _give(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
    """Answer bob as if he had asked for all messages of carol."""
    row, carol = store_groups.get(tx.db, chat), member_called(tx, chat, "carol")
    assert row is not None
    numbers = tx.db.query("SELECT number FROM group_transcript WHERE epoch = ? AND member = ?", (epoch.pk, carol))
    places = tuple(MessagePlace(epoch.id, carol, number) for (number,) in numbers)
    gaps.wanted(tx, tx.find("bob"), GroupWant(row.group_id, places))


def shows(*wanted: str) -> Done:
    """Whether these lines are shown about what is missing."""

    async def done(node: WorldNode) -> bool:
        return await lines(node) == list(wanted)

    return done


async def _disputed(world: World, victim: str, cut_at: int | None, patch: pytest.MonkeyPatch) -> int:
    """bob has told alice and carol different things."""
    nodes = alice_, bob_, carol_ = await three(world)
    kept = list[tuple[int, MemberId, Chain]]()

    def keep(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
        row = store_groups.get(tx.db, chat)
        assert row is not None
        chain = store_epochs.chain(tx.db, epoch.pk, row.member)
        assert chain is not None
        kept.append((epoch.pk, row.member, chain))

    await bob_.engine.committer.submit(in_group(bob_, keep))
    for text, reader, other in (("yes", alice_, "carol"), ("no", carol_, "alice")):
        with kept_from(patch, other):
            await bob_.engine.committer.submit(lambda tx: store_epochs.put_chain(tx.db, *kept[0]))
            await bob_.call("send", chat=CHAT, text=text)
            await has_read(reader, CHAT, text)
    await stop(nodes)
    async with people(world, ("alice", "carol"), victim, cut_at) as living:
        alice, carol = living
        for text in ("I read yes", "really"):
            await alice.say(CHAT, text)
            await carol.do(nothing, reads(text))
        assert await carol.ask(lambda node: said(node, CHAT)) == ["no", "I read yes", "really"]
        log = await carol.ask(lambda node: node.call("log", chat=CHAT, limit=1000))
        assert [one["text"] for one in log if "different things" in one["text"]] == [
            "bob has told you and alice different things, or alice says so and it is not true."
        ]
    return next(one for one in living if one.name == victim).boundaries


async def _forked(world: World, victim: str, cut_at: int | None) -> int:
    """bob's profile goes on from a copy, and changes the topic again, in another way."""
    nodes = alice_, bob_, carol_ = await three(world)
    await alice_.call("set_role", chat=CHAT, member="bob", role="admin")
    await until(partial(has(role="admin"), bob_))
    copy = bob_.copy()
    await bob_.call("set_group", chat=CHAT, key="topic", value="up")
    await bob_.call("send", chat=CHAT, text="forgotten by bob")
    for node in (alice_, carol_):
        await until(partial(has(topic="up"), node))
        await has_read(node, CHAT, "forgotten by bob")
    await stop(nodes)
    world.put_back(copy)
    async with people(world, ("alice", "bob", "carol"), victim, cut_at, hours=24) as living:
        alice, bob, carol = living
        for other in (alice, carol):
            world.cut(bob, other)
        await bob.do(act("set_group", key="topic", value="down"), has(topic="down"))
        await bob.say(CHAT, "after")
        for other in (alice, carol):
            world.mend(world.nodes["bob"], world.nodes[other.name])
        await all_have([alice, carol], reads("after"))
        await all_have([alice, carol], suspects("bob has told members"))
        await all_have([alice, carol], has(topic=""))
        for role in ("member", "admin"):
            await alice.do(act("set_role", member="bob", role=role), is_the(role, "bob"))
            if role == "member":
                await trio.sleep(70 * MINUTE)  # until then bob does not ask for what he has forgotten
            await all_have([bob, carol], is_the(role, "bob"))
        await bob.do(act("set_group", key="topic", value="down"), has(topic="down"))
        await all_have(living, has(topic="down"))
        for person in (alice, carol):
            assert await person.ask(suspects("bob has told members"))
            assert await person.ask(lambda node: said(node, CHAT)) == ["forgotten by bob", "after"]
            assert await person.ask(shows(LEFT_OUT))
    return next(one for one in living if one.name == victim).boundaries


def suspects(begins: str) -> Done:
    """Whether one line says that somebody has changed the group in two ways."""

    async def done(node: WorldNode) -> bool:
        log = await node.call("log", chat=CHAT, limit=1000)
        return [one["text"].startswith(begins) for one in log].count(True) == 1

    return done


def is_the(role: str, name: str) -> Done:
    """Whether a member, or oneself, has this role."""

    async def done(node: WorldNode) -> bool:
        page = await node.call("group_members", chat=CHAT)
        roles = {node.name if one["me"] else one["contact"] or one["name"]: one["role"] for one in page["members"]}
        return bool(roles.get(name) == role)

    return done


async def _early(world: World, victim: str, cut_at: int | None, patch: pytest.MonkeyPatch) -> int:
    """An event of carol and a message come to bob before those of alice that they need, and carol passes none on."""
    pass_on = carriage.pass_on

    def pass_on_unless_carol(tx: Transaction, row: GroupRow, *more: Any) -> None:
        if row.name != "carol":
            pass_on(tx, row, *more)

    patch.setattr(carriage, "pass_on", pass_on_unless_carol)
    nodes = alice_, _, carol_ = await three(world)
    dan_ = await world.start("dan")
    await befriend(alice_, dan_)
    await alice_.call("set_role", chat=CHAT, member="carol", role="admin")
    await until(partial(has(role="admin"), carol_))
    await stop([*nodes, dan_])
    async with people(world, ("alice", "bob", "carol", "dan"), victim, cut_at, hours=24) as living:
        alice, bob, carol, dan = living
        world.cut(alice, bob)
        await alice.do(act("set_group", key="topic", value="up"), has(topic="up"))
        await carol.do(nothing, has(topic="up"))
        world.cut(alice, carol)
        await carol.do(act("set_group", key="description", value="far"), has(description="far"))
        await alice.do(act("add_members", contacts=["dan"]), has(members=4))
        world.mend(world.nodes["alice"], world.nodes["carol"])
        await all_have([carol, dan], has(members=4))
        await carol.say(CHAT, "four of us")
        await bob.do(nothing, keeps_waiting(2))
        world.mend(world.nodes["alice"], world.nodes["bob"])
        await all_have(living, has(members=4, topic="up", description="far"))
        await all_have([alice, bob, dan], reads("four of us"))
        await bob.do(nothing, keeps_waiting(0))
        for person in (alice, bob, dan):
            assert await person.ask(lambda node: said(node, CHAT)) == ["four of us"]
    return next(one for one in living if one.name == victim).boundaries


def keeps_waiting(count: int) -> Done:
    """Whether so many items wait for what they need."""

    async def done(node: WorldNode) -> bool:
        await trio.lowlevel.checkpoint()
        return node.db.query("SELECT count(*) FROM group_waiting") == [(count,)]

    return done


async def _removed_in_vain(world: World, victim: str, cut_at: int | None) -> int:
    """bob, whom alice removes, removes carol, who does not know of that."""
    await stop(await friends(world))
    async with people(world, ("alice", "bob", "carol", "dave"), victim, cut_at, hours=24) as living:
        alice, bob, carol, dave = living
        for other in (bob, carol):
            world.cut(alice, other)
        await alice.do(act("remove_member", member="bob"), has(members=3))
        await bob.do(act("remove_member", member="carol"), has(members=3))
        await carol.do(nothing, has(role=None))
        await dave.do(nothing, has(members=3))
        await dave.say(CHAT, "where is carol?")
        world.mend(world.nodes["alice"], world.nodes["carol"])
        await carol.do(nothing, has(members=3, role="member"))
        await carol.say(CHAT, "here")
        await all_have([alice, carol, dave], has(members=3))
        await alice.do(nothing, reads("where is carol?", "here"))
        await dave.do(nothing, reads("here"))
        await carol.do(nothing, reads("where is carol?"))
        for person, texts in ((alice, ["where is carol?", "here"]), (carol, ["where is carol?"]), (dave, ["here"])):
            assert sorted(await person.ask(lambda node: said(node, CHAT))) == sorted(texts)
        assert await carol.ask(lambda node: members(node, CHAT)) == {"me", "alice", "dave"}
    return next(one for one in living if one.name == victim).boundaries


@pytest.mark.parametrize("victim", ["alice", "bob"])
def test_a_power_cut_while_a_message_is_given_up_is_told_once(
    tmp_path: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "GIVE_UP_MS", 20 * MINUTE_MS)
    _cut(tmp_path, partial(_missing, loss=Loss(monkeypatch)), victim)


@pytest.mark.parametrize("victim", ["alice", "carol"])
def test_a_power_cut_while_a_member_contradicts_themselves_is_told_once(
    tmp_path: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cut(tmp_path, partial(_disputed, patch=monkeypatch), victim)


@pytest.mark.parametrize("victim", ["alice", "bob", "carol"])
def test_a_power_cut_while_an_admin_goes_on_from_a_copy_leaves_all_of_one_mind(
    tmp_path: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "TURN_SECONDS", 600.0)  # most of the time they only ask for what is missing
    _cut(tmp_path, _forked, victim)


@pytest.mark.parametrize("victim", ["alice", "bob", "carol"])
def test_a_power_cut_while_items_wait_for_others_loses_none(
    tmp_path: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cut(tmp_path, partial(_early, patch=monkeypatch), victim)


@pytest.mark.parametrize("victim", ["alice", "carol"])
def test_a_power_cut_while_a_removal_turns_out_void_takes_nothing(tmp_path: Path, victim: str) -> None:
    _cut(tmp_path, _removed_in_vain, victim)


def _cut(folder: Path, story: Callable[..., Awaitable[int]], victim: str) -> None:
    def play(folder: Path, cut_at: int | None) -> int:
        return played(folder, cut_at, lambda world: story(world, victim=victim, cut_at=cut_at))

    cut_each(folder, play, POINTS, folder.name, least=20)
