"""Who is mentioned in a group, through real engines."""

from __future__ import annotations

from pathlib import Path

from tests.support.group_worlds import found
from tests.support.world import World, WorldNode, run_world, until


async def counted(node: WorldNode, what: str) -> int:
    """What a node counts in its group: unread messages, or mentions."""
    return sum(one[what] for one in await node.call("chats") if one["kind"] == "group")


def test_who_is_mentioned_is_told(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await bob.call("send", chat="hikers", text="@carol bring a coat; @all too, though I am no moderator")

        async def have(unread: dict[WorldNode, int]) -> bool:
            return {node: await counted(node, "unread") for node in unread} == unread

        await until(lambda: have({carol: 1}))
        await alice.call("send", chat="hikers", text="@all at nine")
        await alice.call("send", chat="hikers", text="mail carol@example.org, @carolina")
        await until(lambda: have({bob: 2, carol: 3}))
        log = [one for one in await carol.call("log", chat="hikers") if one["kind"] == "text"]
        assert {one["text"][:6]: one["mentions_me"] for one in log} == {"@carol": True, "@all a": True, "mail c": False}
        assert await counted(carol, "mentions") == 2
        assert await counted(bob, "mentions") == 1, "all are meant by a moderator"
        first = (await carol.call("locate", chat="hikers", to="mention"))["id"]
        await carol.call("read", chat="hikers", upto=first)
        assert await counted(carol, "mentions") == 1
        await carol.call("read", chat="hikers")
        assert (await carol.call("locate", chat="hikers", to="mention"))["id"] is None
        sent = await carol.call("send", chat="hikers", text="no", reply_to=log[-1]["id"])
        [answer] = [one for one in await carol.call("log", chat="hikers") if one["id"] == sent["id"]]
        assert answer["quote"]["member"] == log[-1]["member"]
        assert answer["member"] is None

    run_world(tmp_path, main)
