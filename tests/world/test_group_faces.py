"""What people are told about a group, and find in it: names, mentions, why, who may do what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from p2pchat.errors import NoSuchContact
from tests.support.world import World, WorldNode, run_world
from tests.world.test_groups import found, reads


async def hits(node: WorldNode, query: str, **asked: Any) -> list[str]:
    """The texts that a search finds."""
    return [hit["text"] for hit in await node.call("search", query=query, **asked)]


def test_from_finds_what_a_member_wrote_whether_they_are_a_contact_or_not(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await bob.call("send", chat="alice", text="word to alice alone")
        await bob.call("send", chat="hikers", text="word from bob")
        await carol.call("send", chat="hikers", text="word from carol")
        await reads(alice, "hikers", "word from bob", "word from carol")
        await reads(bob, "hikers", "word from carol")
        assert sorted(await hits(alice, "from:bob")) == ["word from bob", "word to alice alone"]
        assert await hits(alice, "word from:bob", chat="hikers") == ["word from bob"]
        assert await hits(bob, "from:CAROL") == ["word from carol"]  # no contact of bob's
        await alice.call("rename", contact="bob", name="Robert")
        assert await hits(alice, "from:robert", chat="hikers") == ["word from bob"]
        with pytest.raises(NoSuchContact):
            await bob.call("search", query="from:dave")

    run_world(tmp_path, main)
