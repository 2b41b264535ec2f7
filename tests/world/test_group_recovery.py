"""A lost owner, with real engines: who is named asks for another, and who lives stays the owner."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.errors import NotAllowed, NotNow, UsageError
from tests.support.group_worlds import has_members
from tests.support.world import World, WorldNode, befriend, run_world, until

CHAT = "hikers"


async def found(world: World, names: str = "alice bob carol dan") -> list[WorldNode]:
    """A group of the first, whose admins are the others, who all know each other; two of these can replace her."""
    nodes = [await world.start(name) for name in names.split()]
    for number, node in enumerate(nodes):
        for other in nodes[number + 1 :]:
            await befriend(node, other)
    owner, *others = nodes
    await owner.call("create_group", name=CHAT, contacts=[node.name for node in others])
    for node in nodes:
        await has_members(node, CHAT, len(nodes))
    for node in others:
        await owner.call("set_role", chat=CHAT, member=node.name, role="admin")
    await owner.call("set_group", chat=CHAT, key="recovery", value="2 of bob, carol, dan")
    for node in others:
        await holds(node, "recovery")
    return nodes


async def holds(node: WorldNode, key: str) -> None:
    """Wait until a setting of the group is here."""

    async def there() -> bool:
        return bool((await node.call("group", chat=CHAT))["settings"][key])

    await until(there)


async def owner(node: WorldNode) -> str:
    """Who owns the group, as a node has it."""
    page = (await node.call("group_members", chat=CHAT))["members"]
    (found,) = [one["contact"] or one["name"] for one in page if one["role"] == "owner"]
    return str(found)


async def lines(node: WorldNode) -> list[str]:
    """The lines about what was done."""
    return [one["text"] for one in await node.call("log", chat=CHAT, limit=1000) if one["kind"] == "group"]


async def told(node: WorldNode, words: str) -> str:
    """Wait until there is a line with these words; the newest of them."""

    async def there() -> bool:
        return any(words in line for line in await lines(node))

    await until(there)
    return [line for line in await lines(node) if words in line][-1]


def test_two_of_three_replace_a_lost_owner_after_14_days_and_a_restart(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dan = await found(world)
        assert (await dan.call("group", chat=CHAT))["settings"]["recovery"]["needed"] == 2
        assert await told(bob, "replace") == "alice let 2 of you, carol and dan replace a lost owner."
        await alice.stop()
        await carol.call("recover_group", chat=CHAT, member="dan")
        assert await told(dan, "carol asks") == (
            "carol asks that you become the owner; 1 more of those whom the owner named has to ask."
        )
        await world.sleep_days(3)
        with pytest.raises(NotNow, match="You have asked"):
            await carol.call("recover_group", chat=CHAT, member="dan")
        await dan.call("recover_group", chat=CHAT, member="dan")
        line = await told(bob, "carol and dan ask")
        assert line.startswith("carol and dan ask that dan becomes the owner; it happens on ")
        assert line.endswith(" unless the owner does anything.")
        assert (await bob.call("group", chat=CHAT))["problem"] == line
        await world.sleep_days(13)
        await carol.stop()
        carol = await world.start("carol")
        await trio.sleep(7400)
        assert [await owner(node) for node in (bob, carol, dan)] == ["alice"] * 3
        await world.sleep_days(1)
        await trio.sleep(7400)
        assert [await owner(node) for node in (bob, carol, dan)] == ["dan"] * 3
        assert await told(bob, "owner now") == "dan is the owner now."
        said = [one["text"] for one in await bob.call("group_log", chat=CHAT, limit=100)]
        assert "carol asked to make dan the owner." in said
        assert "carol confirmed that dan becomes the owner." in said
        assert (await told(dan, "confirmed")).endswith(" confirmed that you become the owner.")
        assert (await bob.call("group", chat=CHAT))["problem"] == ""

    run_world(tmp_path, main)


def test_an_owner_who_is_there_keeps_the_group_with_one_word(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dan = await found(world)
        for node in (carol, dan):
            await node.call("recover_group", chat=CHAT, member="dan")
        line = await told(alice, "carol and dan ask")
        assert line.endswith(" unless you do anything. `p2pchat group keep CHAT` says that you are here.")
        with pytest.raises(NotAllowed):
            await bob.call("keep_group", chat=CHAT)
        assert (await alice.call("keep_group", chat=CHAT))["problem"] == ""
        with pytest.raises(NotNow, match="Nobody asks"):
            await alice.call("keep_group", chat=CHAT)
        for node, whom in ((bob, "dan does"), (dan, "You do")):
            await told(node, f"{whom} not become the owner: the owner is not lost.")
        await alice.stop()  # what she said stands
        await world.sleep_days(15)
        await trio.sleep(7400)
        assert [await owner(node) for node in (bob, carol, dan)] == ["alice"] * 3

    run_world(tmp_path, main)


def test_an_owner_who_comes_back_late_is_the_owner_again(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dan = await found(world)
        for node in (bob, carol, dan):
            world.cut(alice, node)
        for node in (carol, dan):
            await node.call("recover_group", chat=CHAT, member="dan")
        await told(dan, "ask that you become")
        await alice.call("set_group", chat=CHAT, key="topic", value="I live")
        await world.sleep_days(15)
        await trio.sleep(7400)
        assert await owner(bob) == "dan"
        for node in (bob, carol, dan):
            world.mend(alice, node)
        await told(bob, "alice is the owner again, since they were not lost.")

        async def agree() -> bool:
            return [await owner(node) for node in (alice, bob, carol, dan)] == ["alice"] * 4

        await until(agree)

    run_world(tmp_path, main)


def test_who_may_be_named_and_who_may_ask(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, _ = await found(world)
        for value in ("2", "1 of bob, carol", "3 of bob, carol", "1 of alice", "0 of bob", "1 of ,"):
            with pytest.raises(UsageError):
                await alice.call("set_group", chat=CHAT, key="recovery", value=value)
        with pytest.raises(NotAllowed, match="Only the owner"):
            await bob.call("set_group", chat=CHAT, key="recovery", value="1 of bob")
        with pytest.raises(NotAllowed, match="whom the owner named"):
            await alice.call("recover_group", chat=CHAT, member="bob")
        with pytest.raises(NotNow, match="alice is the owner"):
            await bob.call("recover_group", chat=CHAT, member="alice")
        assert (await alice.call("set_group", chat=CHAT, key="recovery", value="off"))["settings"]["recovery"] is None
        await told(carol, "let nobody replace a lost owner")
        with pytest.raises(NotNow, match="named nobody"):
            await carol.call("recover_group", chat=CHAT, member="carol")

    run_world(tmp_path, main)


def test_a_group_takes_the_place_of_another(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol, dan = await found(world)
        await alice.call("timer", chat=CHAT, seconds=7200)
        await alice.call("set_group", chat=CHAT, key="slow_mode", value="10")
        await alice.call("set_role", chat=CHAT, member="dan", role="observer")
        await holds(bob, "slow_mode")
        with pytest.raises(NotAllowed):
            await dan.call("succeed_group", chat=CHAT, name="mine")
        assert not any(one["name"] == "mine" for one in await dan.call("chats"))
        made = await bob.call("succeed_group", chat=CHAT, name="walkers")
        assert (made["offered"], made["missing"]) == (3, 0)
        for node in (alice, carol, dan):
            await has_members(node, "walkers", 4)
            await told(node, "bob named another group that takes the place of this one")
        group = await dan.call("group", chat="walkers")
        assert (group["role"], group["settings"]["slow_mode"], group["settings"]["recovery"]) == ("observer", 10, None)
        for node in (alice, bob, dan):
            assert [one["timer"] for one in await node.call("chats") if one["name"] == "walkers"] == [7200]
        assert (await alice.call("group", chat="walkers"))["role"] == "admin"

    run_world(tmp_path, main)


def test_all_settings_go_on_in_a_successor_and_who_is_no_contact_is_missing(tmp_path: Path) -> None:
    settings = {
        "topic": "up",
        "description": "we walk",
        "slow_mode": "10",
        "locked": "yes",
        "invites": "members",
        "newcomers": "5",
        "history": "50",
    }

    async def main(world: World) -> None:
        alice, bob, *_ = nodes = [await world.start(name) for name in ("alice", "bob", "carol", "dan", "erin")]
        for other in nodes[1:]:
            await befriend(alice, other)
        await befriend(bob, nodes[2])
        await befriend(bob, nodes[3])
        await alice.call("create_group", name=CHAT, contacts=["bob", "carol", "dan", "erin"])
        await has_members(bob, CHAT, 5)
        await alice.call("set_role", chat=CHAT, member="bob", role="admin")
        for key, value in settings.items():
            await alice.call("set_group", chat=CHAT, key=key, value=value)
        await holds(bob, "history")

        async def knows_them() -> bool:
            members = (await bob.call("group_members", chat=CHAT))["members"]
            return [one["contact"] or one["name"] for one in members if one["contact"]].count("dan") == 1

        await until(knows_them)
        await bob.call("block", contact="dan")
        made = await bob.call("succeed_group", chat=CHAT, name="walkers")
        assert (made["offered"], made["missing"]) == (2, 2), "dan is blocked, and erin not known"
        before, after = [(await bob.call("group", chat=chat)) for chat in (CHAT, "walkers")]
        assert after["topic"] == before["topic"] == "up"
        known = {key: value for key, value in before["settings"].items() if key in settings}
        assert known.keys() == settings.keys()
        assert {key: after["settings"][key] for key in known} == known
        (found, *_) = [one["op"] for one in await bob.call("group_log", chat="walkers", limit=100)]
        assert found == "found"

    run_world(tmp_path, main)
