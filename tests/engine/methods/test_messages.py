"""What a face is told about messages: a follower's place in their order, and why one cannot be sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.errors import NoSuchMessage, NotNow
from tests.support.world import World, befriend, run_world


def test_a_position_holds_where_its_message_was_deleted(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        ids = [(await bob.call("send", chat="alice", text=str(n), wait="delivered"))["id"] for n in range(4)]
        everything = await alice.call("messages", position=0)
        assert [one["id"] for one in everything] == ids
        places = [one["position"] for one in everything]
        assert places == sorted(set(places))
        assert places[0] > 0
        assert (await alice.call("messages", limit=1))[0]["position"] == places[-1]
        for one in ids[:2]:
            await alice.call("delete", id=one)
        with pytest.raises(NoSuchMessage):
            await alice.call("messages", since=ids[1])
        assert [one["text"] for one in await alice.call("messages", position=places[1])] == ["2", "3"]
        assert [one["text"] for one in await alice.call("messages", position=places[0], limit=1)] == ["2"]
        await alice.call("delete", id=ids[3])
        await bob.call("send", chat="alice", text="4", wait="delivered")
        (new,) = await alice.call("messages", position=places[3])
        assert (new["text"], new["position"] > places[3]) == ("4", True)

    run_world(tmp_path, main)


def test_whoever_blocked_somebody_is_told_that_when_they_write(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        sent = await alice.call("send", chat="bob", text="hello", wait="delivered")
        await alice.call("block", contact="bob")
        for method, asked in (("send", {"chat": "bob", "text": "hi"}), ("react", {"id": sent["id"], "emoji": "👍"})):
            with pytest.raises(NotNow, match="is blocked"):
                await alice.call(method, **asked)

    run_world(tmp_path, main)
