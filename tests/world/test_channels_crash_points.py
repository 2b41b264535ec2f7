"""Power cuts while a channel is founded, written by its owner and by another writer, and followed.

As in `test_crash_points`: what was answered is so after the cut; a post is never signed twice with one number, which
would fork the channel; and a follower has every post once.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.support.channel_worlds import Mirror
from tests.support.feeds import feed_relay
from tests.support.power_cuts import Person, nothing, played
from tests.support.sampling import chosen
from tests.support.world import World, WorldNode, until

POINTS = 5
TEXTS = ["one", "two", "three"]


async def _story(world: World, folder: Path, who: str, cut_at: int | None) -> int:
    """Play it, with a power cut of one person's node; return how many boundaries that one passed."""
    relay_folder = folder / "relay"
    relay_folder.mkdir()
    async with feed_relay(relay_folder) as at:
        relay = Mirror(world, "north", at)
        alice, bob = (Person(world, name, cut_at if name == who else None) for name in ("alice", "bob"))
        for person in (alice, bob):
            world.soon(person.live)
        await alice.do(lambda node: node.call("relays", add=relay.line), _has_relay)
        await alice.do(_create, _is_founded)
        link = (await alice.ask(lambda node: node.call("channel_invite", chat="news")))["text"]
        await bob.do(lambda node: node.call("add", invite=link), _is_founded)
        for text in TEXTS:
            await alice.say("news", text)

        async def all_read() -> bool:
            return await bob.ask(lambda node: node.texts("news")) == TEXTS

        await until(all_read, 7200)
        await _let_write(alice, bob)
        await bob.say("news", "by bob")

        async def is_removed(node: WorldNode) -> bool:
            return all(one["removed"] for one in (await node.call("channel_writers", chat="news"))["writers"])

        async def remove(node: WorldNode) -> None:
            for one in (await node.call("channel_writers", chat="news"))["writers"]:
                if not one["removed"]:
                    await node.call("channel_writers", chat="news", remove=one["name"])

        async def has_read(node: WorldNode) -> bool:
            return "by bob" in await node.texts("news")

        await alice.do(nothing, has_read)
        await alice.do(remove, is_removed)
        await bob.do(nothing, is_removed)
        for person in (alice, bob):
            shown = await person.ask(lambda node: node.call("channel", chat="news"))
            assert (shown["posts"], shown["forked"], shown["missing"]) == (3, False, 0)
            assert [one["text"] for one in await person.ask(lambda node: node.call("log", chat="news"))] == [
                *TEXTS,
                "by bob",
            ]
        assert at.store.posts == 4
        return (alice if who == "alice" else bob).boundaries


async def _let_write(alice: Person, bob: Person) -> None:
    """bob becomes a writer beside the owner. A link that was lost with the power is replaced by one of another name."""
    tried, links = list[str](), list[str]()

    async def name(node: WorldNode) -> None:
        tried.append(f"bob {len(tried)}")
        links.append((await node.call("channel_writers", chat="news", add=tried[-1]))["link"])

    async def is_named(node: WorldNode) -> bool:
        return bool(links)

    await alice.do(name, is_named)

    async def may_write(node: WorldNode) -> bool:
        named = (await node.call("channel_writers", chat="news"))["writers"]
        return tried[-1] in [one["name"] for one in named] and used

    used = False

    async def use(node: WorldNode) -> None:
        nonlocal used
        await node.call("add", invite=links[0])
        used = True
        await trio.sleep(1)

    await bob.do(use, may_write)


async def _create(node: WorldNode) -> None:
    await node.call("create_channel", name="news")


async def _is_founded(node: WorldNode) -> bool:
    founded = [one for one in await node.call("chats") if one["kind"] == "channel"]
    assert len(founded) <= 1
    return bool(founded)


async def _has_relay(node: WorldNode) -> bool:
    return bool(await node.call("relays"))


def _played(folder: Path, who: str, cut_at: int | None) -> int:
    return played(folder, cut_at, lambda world: _story(world, folder, who, cut_at))


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_power_cut_forks_no_channel_and_loses_no_post(tmp_path: Path, who: str) -> None:
    boundaries = _played(tmp_path / "count", who, None)
    assert boundaries > 20
    for cut_at in chosen(boundaries, POINTS, "channels", who):
        _played(tmp_path / str(cut_at), who, cut_at)
