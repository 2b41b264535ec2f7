"""Leaving a large group: those who stay hear of it at the relays, though nobody there is a contact."""

from __future__ import annotations

from pathlib import Path

import trio

from p2pchat.lib.times import HOUR_SECONDS
from tests.support.group_worlds import has_members
from tests.support.world import World, run_world
from tests.world.test_group_invites import join
from tests.world.test_group_logs import found


def test_who_joined_by_an_invite_can_leave(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, *_), _ = await found(world, 1)
        zoe = await world.start("zoe")
        await join(zoe, (await alice.call("group_invite", chat="town"))["text"])
        for node in (alice, bob, zoe):
            await has_members(node, "town", 11)
        await trio.sleep(26 * HOUR_SECONDS)  # until they are forgotten who were known for joining alone
        await zoe.call("leave_group", chat="town")
        assert {row[:2] for row in zoe.db.query("SELECT header, exporter FROM group_epochs")} == {(b"", None)}
        assert zoe.db.query("SELECT count(*) FROM group_chains") == [(0,)]
        for node in (alice, bob):
            await has_members(node, "town", 10)
        assert zoe.db.query("SELECT count(*) FROM group_epochs") == [(0,)]

    run_world(tmp_path, main)
