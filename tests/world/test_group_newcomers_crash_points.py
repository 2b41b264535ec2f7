"""Power cuts while somebody comes into a group, at every boundary between a commit and a release: as
`test_groups_crash_points`.

alice founds a group with bob, and lets newcomers read what was said. carol asks with an invite and is declined, the
invite is revoked, and alice adds her. She reads what was said before, and reports a message of bob's to alice, who bans
her. Nothing of it is lost, nothing is read twice, and in the end she has no keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.group_worlds import said
from tests.support.power_cuts import Act, Done, Person, befriend, cut_each, nothing, played
from tests.support.world import World, WorldNode
from tests.world.test_group_changes_crash_points import CHAT, HOUR, act, all_have, has, reads
from tests.world.test_groups_crash_points import story

POINTS = 1


async def _play(world: World, alice: Person, bob: Person, carol: Person) -> None:
    for other in (bob, carol):
        await befriend(alice, other)
    await alice.do(lambda node: node.call("create_group", name=CHAT, contacts=["bob"]), _has_group)
    await alice.do(act("set_group", key="history", value="50"), has(history=50))
    await bob.do(nothing, has(members=2, history=50))
    await alice.say(CHAT, "from alice")
    await bob.do(nothing, reads("from alice"))
    await bob.say(CHAT, "from bob")
    await alice.do(nothing, reads("from bob"))

    await _decline(alice, carol)
    await alice.do(act("add_members", contacts=["carol"]), has(members=3))
    await all_have([bob, carol], has(members=3))
    await carol.do(nothing, reads("from alice", "from bob"))
    await carol.say(CHAT, "from carol")
    await all_have([alice, bob], reads("from carol"))
    await carol.do(*_once(_report))
    await alice.do(nothing, _is_reported)

    assert 1 <= len(await alice.ask(lambda node: node.call("group_reports", chat=CHAT))) <= 2
    for person, wanted in (
        (alice, ["from bob", "from carol"]),
        (bob, ["from alice", "from carol"]),
        (carol, ["from alice", "from bob"]),
    ):
        assert sorted(await person.ask(lambda node: said(node, CHAT))) == wanted

    await alice.do(act("remove_member", member="carol", ban=True), has(members=2))
    await bob.do(nothing, has(members=2))
    await carol.do(nothing, has(role=None))
    await world.sleep_days(2)
    await trio.sleep(HOUR)
    await carol.do(nothing, _has_no_keys)


async def _has_no_keys(node: WorldNode) -> bool:
    await trio.lowlevel.checkpoint()
    return node.db.query("SELECT 1 FROM group_epochs") == []


async def _decline(alice: Person, carol: Person) -> None:
    """carol asks with an invite of alice's, who declines and revokes it."""
    made: list[str] = []

    async def invite(node: WorldNode) -> None:
        made.append((await node.call("group_invite", chat=CHAT, ask=True))["text"])

    async def asks(node: WorldNode) -> bool:
        return bool(await node.call("group_requests", chat=CHAT))

    async def asks_no_more(node: WorldNode) -> bool:
        return not await asks(node)

    async def use(node: WorldNode) -> None:
        await node.call("add", invite=made[0], words="let me in", timeout=60)

    async def revoke(node: WorldNode) -> None:
        for one in await node.call("invites"):
            if one["kind"] == "group" and one["state"] == "open":
                await node.call("invites", revoke=one["id"])

    async def is_revoked(node: WorldNode) -> bool:
        found = [one["state"] for one in await node.call("invites") if one["kind"] == "group"]
        return bool(found) and "open" not in found

    await alice.do(*_once(invite))
    await carol.do(*_once(use))
    await alice.do(nothing, asks)
    await alice.do(act("answer_request", id="carol", accept=False), asks_no_more)
    await alice.do(revoke, is_revoked)


def _once(work: Callable[[WorldNode], Awaitable[None]]) -> tuple[Act, Done]:
    """Work that is repeated until a node has answered, for the node itself does not say whether it was done."""
    answered: list[None] = []

    async def act(node: WorldNode) -> None:
        await work(node)
        answered.append(None)

    async def done(node: WorldNode) -> bool:
        await trio.lowlevel.checkpoint()
        return bool(answered)

    return act, done


async def _report(node: WorldNode) -> None:
    (id,) = [one["id"] for one in await node.call("log", chat=CHAT, limit=1000) if one["text"] == "from bob"]
    await node.call("report_message", id=id, reason="spam")


async def _is_reported(node: WorldNode) -> bool:
    return bool(await node.call("group_reports", chat=CHAT))


async def _has_group(node: WorldNode) -> bool:
    return any(one["name"] == CHAT for one in await node.call("chats"))


@pytest.mark.parametrize("victim", ["alice", "bob", "carol"])
def test_a_power_cut_while_somebody_comes_into_a_group_loses_nothing(tmp_path: Path, victim: str) -> None:
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, victim, cut_at), POINTS, f"{victim} and a newcomer")


def _played(folder: Path, victim: str, cut_at: int | None) -> int:
    async def main(world: World) -> int:
        return await story(world, victim, cut_at, play=partial(_play, world))

    return played(folder, cut_at, main)
