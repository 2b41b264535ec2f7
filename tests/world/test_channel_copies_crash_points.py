"""Power cuts while a channel is written by a profile that was put back from a copy: as `test_channels_crash_points`.

Where a relay has what was written after the copy was made, the channel goes on behind that. Where the owner posts again
before such a relay is reached, the channel has forked: all who see it keep the proof and take nothing more, the owner
founds another one, and the reader forgets the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.channel_worlds import Mirror, founded, mirrors, reads
from tests.support.power_cuts import Done, cut_each, nothing, played, two_people
from tests.support.world import World, WorldNode, until
from tests.world.test_channels_crash_points import has, shows

POINTS = 2


async def _put_back(world: World, relays: list[Mirror]) -> None:
    """alice, whom bob follows, has posted "one", which all relays have, and "two", which the first one has. Her profile
    is from before that.
    """
    alice, link = await founded(world, relays)
    bob = await world.start("bob")
    await bob.call("add", invite=link)
    await alice.call("send", chat="news", text="one", wait="stored", timeout=60)

    async def all_have_it() -> bool:
        return [relay.at.store.posts for relay in relays] == [1] * len(relays) and await reads(bob, "one")()

    await until(all_have_it)
    copy = alice.copy()
    for relay in relays[1:]:
        relay.vanish()
    await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
    await until(reads(bob, "one", "two"))
    for node in (alice, bob):
        await node.stop()
    world.put_back(copy)


async def _goes_on(world: World, folder: Path, who: str, cut_at: int | None) -> int:
    async with mirrors(world, folder, "north") as relays:
        await _put_back(world, relays)
        async with two_people(world, who, cut_at) as (alice, bob):
            await alice.do(nothing, shows("one", "two"))
            await alice.say("news", "three")
            await bob.do(nothing, shows("one", "two", "three"))
            for person in (alice, bob):
                await person.do(nothing, has(posts=3, forked=False, missing=0, problem=""))
            assert relays[0].at.store.posts == 3
    return (alice if who == "alice" else bob).boundaries


async def _forks(world: World, folder: Path, who: str, cut_at: int | None) -> int:
    async with mirrors(world, folder, "north", "south") as relays:
        north, south = relays
        await _put_back(world, relays)
        north.vanish()
        south.come_back()
        async with two_people(world, who, cut_at) as (alice, bob):
            await alice.say("news", "another two")
            await bob.do(nothing, _has_forked)
            north.come_back()
            await alice.do(nothing, _has_forked)
            await alice.do(lambda node: node.call("create_channel", name="other news"), _follows("other news"))
            link = (await alice.ask(lambda node: node.call("channel_invite", chat="other news")))["text"]
            await bob.do(lambda node: node.call("add", invite=link), _follows("other news"))
            await alice.say("other news", "here we are")
            await bob.do(nothing, lambda node: reads_in(node, "other news", "here we are"))
            for person, texts in ((alice, ("one", "another two")), (bob, ("one", "two"))):
                assert await person.ask(_has_forked)
                assert await person.ask(shows(*texts))
            await bob.do(lambda node: node.call("forget", contact="news", history=True), _follows("news", no=True))
            assert await bob.ask(_follows("other news"))
    return (alice if who == "alice" else bob).boundaries


async def _has_forked(node: WorldNode) -> bool:
    shown = await node.call("channel", chat="news")
    return bool(shown["forked"]) and "two different posts" in shown["problem"]


async def reads_in(node: WorldNode, chat: str, *texts: str) -> bool:
    return await node.texts(chat) == list(texts)


def _follows(name: str, *, no: bool = False) -> Done:
    """Whether there is one channel of this name, or none."""

    async def done(node: WorldNode) -> bool:
        names = [one["name"] for one in await node.call("chats") if one["kind"] == "channel"]
        assert names.count(name) <= 1
        return (name in names) is not no

    return done


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_power_cut_forks_no_channel_that_goes_on_from_a_copy(tmp_path: Path, who: str) -> None:
    _cut(tmp_path, _goes_on, who, "goes on")


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_power_cut_thaws_no_channel_that_has_forked(tmp_path: Path, who: str) -> None:
    _cut(tmp_path, _forks, who, "forks")


def _cut(folder: Path, story: Callable[..., Awaitable[int]], who: str, chosen_by: str) -> None:
    def play(folder: Path, cut_at: int | None) -> int:
        return played(folder, cut_at, lambda world: story(world, folder, who, cut_at))

    cut_each(folder, play, POINTS, chosen_by, who, least=20)
