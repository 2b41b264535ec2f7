"""A channel whose readers are known: a locked group, in which one writes, and which keeps out who was removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.errors import NotNow
from tests.support.group_worlds import has_members, reads, said
from tests.support.world import World, befriend, run_world


def test_one_writes_and_who_was_removed_reads_nothing_further(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        for reader in (bob, carol):
            await befriend(alice, reader)
        made = await alice.call("create_group", name="news", contacts=["bob", "carol"], locked=True)
        for node in (alice, bob, carol):
            await has_members(node, "news", 3)
        assert (await bob.call("group", chat="news"))["settings"]["locked"] is True
        await alice.call("send", chat=made["id"], text="one")
        for reader in (bob, carol):
            await reads(reader, "news", "one")
            with pytest.raises(NotNow, match="locked"):
                await reader.call("send", chat="news", text="me too")
        await alice.call("remove_member", chat="news", member="carol")
        await has_members(bob, "news", 2)
        await alice.call("send", chat="news", text="two")
        await reads(bob, "news", "one", "two")
        assert await said(carol, "news") == ["one"]

    run_world(tmp_path, main)
