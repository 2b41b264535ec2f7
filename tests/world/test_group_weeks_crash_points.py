"""Power cuts while a group grows old, at every boundary between a commit and a release: as `test_groups_crash_points`.

alice founds a group of bob, an admin who may replace her, and carol. After a week its keys are renewed. Then she is
lost; bob asks to be the owner, and is so after 14 days. The power of one of them is cut once in each story. What is due
is done once, and those who are left agree and read each other.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.support.power_cuts import Done, Person, befriend, cut_each, nothing, played
from tests.support.world import World, WorldNode
from tests.world.test_group_changes_crash_points import CHAT, HOUR, act, all_have, has, reads, times_done
from tests.world.test_groups_crash_points import story

POINTS = 1


async def _play(world: World, alice: Person, bob: Person, carol: Person) -> None:
    for inviter, joiner in ((alice, bob), (alice, carol), (bob, carol)):
        await befriend(inviter, joiner)
    await alice.do(lambda node: node.call("create_group", name=CHAT, contacts=["bob", "carol"]), _has_group)
    await all_have([alice, bob, carol], has(members=3))
    await alice.do(act("set_role", member="bob", role="admin"), _is_the("admin", "bob"))
    await alice.do(act("set_group", key="recovery", value="1 of bob"), _may_recover)
    await all_have([bob, carol], _may_recover)
    await bob.do(nothing, has(role="admin"))

    await world.sleep_days(7)
    await all_have([alice, bob, carol], _is_renewed)
    await _talk([alice, bob, carol], "after a week")

    for other in (bob, carol):
        world.cut(alice, other)
    await bob.do(act("recover_group", member="bob"), _asks)
    await carol.do(nothing, _asks)
    await world.sleep_days(8)
    await world.sleep_days(6)
    await trio.sleep(2 * HOUR)
    await bob.do(nothing, has(role="owner"))
    await carol.do(nothing, _is_the("owner", "bob"))
    await _talk([bob, carol], "after three")

    await all_have([bob, carol], _is_confirmed_once)


async def _talk(people: list[Person], when: str) -> None:
    for person in people:
        await person.say(CHAT, f"{person.name} {when}")
    for person in people:
        await person.do(nothing, reads(*[f"{other.name} {when}" for other in people if other is not person]))


def _is_the(role: str, name: str) -> Done:
    async def done(node: WorldNode) -> bool:
        page = await node.call("group_members", chat=CHAT)
        return bool({one["contact"] or one["name"]: one["role"] for one in page["members"]}.get(name) == role)

    return done


async def _has_group(node: WorldNode) -> bool:
    return any(one["name"] == CHAT for one in await node.call("chats"))


async def _may_recover(node: WorldNode) -> bool:
    return bool((await node.call("group", chat=CHAT))["settings"].get("recovery"))


async def _is_renewed(node: WorldNode) -> bool:
    return await times_done(node, "rotate") > 0


async def _is_confirmed_once(node: WorldNode) -> bool:
    return await times_done(node, "confirm_recovery") == 1


async def _asks(node: WorldNode) -> bool:
    return "owner" in (await node.call("group", chat=CHAT))["problem"]


@pytest.mark.parametrize("victim", ["alice", "bob", "carol"])
def test_a_power_cut_in_a_month_of_a_group_is_no_obstacle_to_what_is_due(tmp_path: Path, victim: str) -> None:
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, victim, cut_at), POINTS, f"{victim} in a month")


def _played(folder: Path, victim: str, cut_at: int | None) -> int:
    async def main(world: World) -> int:
        async def play(*people: Person) -> None:
            await _play(world, *people)

        return await story(world, victim, cut_at, play=play)

    return played(folder, cut_at, main)
