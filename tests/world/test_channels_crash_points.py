"""Power cuts while a channel is founded, written by its owner and by another writer, followed, changed and moved.

As in `test_crash_points`: what was answered is so after the cut; a post is never signed twice with one number, which
would fork the channel; and a follower has every post once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from p2pchat.engine.channels import sync
from tests.support.channel_worlds import Mirror, mirrors
from tests.support.feeds import feed_relay
from tests.support.power_cuts import Done, Person, cut_each, nothing, played
from tests.support.world import World, WorldNode, until

POINTS = 5
POINTS_OF_CHANGES = 3
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


async def _changes(world: World, folder: Path, who: str, cut_at: int | None) -> int:
    """alice edits a post, withdraws another, names a group that talks about the channel, and moves it from one relay to
    another; bob hands it on at a relay of his.
    """
    async with mirrors(world, folder, "north", "south", "east") as (north, south, east):
        alice, bob = (Person(world, name, cut_at if name == who else None) for name in ("alice", "bob"))
        for person in (alice, bob):
            world.soon(person.live)
        await alice.do(lambda node: node.call("relays", add=north.line), _has_relay)
        await alice.do(_create, _is_founded)
        link = (await alice.ask(lambda node: node.call("channel_invite", chat="news")))["text"]
        await bob.do(lambda node: node.call("add", invite=link), _is_founded)
        await bob.do(lambda node: node.call("relays", add=south.line), _has_relay)
        for text in TEXTS:
            await alice.say("news", text)
        await alice.do(lambda node: _on(node, "one", "edit", text="first"), shows("first", "two", "three"))
        await bob.do(nothing, shows("first", "two", "three"))
        await bob.do(lambda node: node.call("channel_mirror", chat="news", mirrors=True), has(mirrors=True))

        def kept(*counts: int) -> Callable[[], Awaitable[bool]]:
            """Whether the relays have so many posts: of north, south and east."""

            async def check() -> bool:
                await trio.lowlevel.checkpoint()
                return [relay.at.store.posts for relay in (north, south, east)] == list(counts)

            return check

        await until(kept(4, 4, 0), 7200)
        await alice.do(lambda node: _on(node, "two", "delete", for_both=True), shows("first", "", "three"))
        await bob.do(nothing, shows("first", "", "three"))

        await alice.do(lambda node: node.call("create_group", name="talk"), _has_group)
        await alice.do(lambda node: node.call("channel_comments", chat="news", group="talk"), _is_talked_about)
        await bob.do(nothing, _is_talked_about)
        await alice.do(lambda node: node.call("channel_comments", chat="news", remove=True), has(comments=None))
        await bob.do(nothing, has(comments=None))
        await alice.do(lambda node: node.call("channel_relays", chat="news", add=east.line), _at(north, east))
        await alice.do(lambda node: node.call("channel_relays", chat="news", remove=north.line), _at(east))
        await bob.do(nothing, _at(east))

        async def has_told(node: WorldNode) -> bool:
            return not (await node.call("channel_relays", chat="news"))["leaving"]

        await alice.do(nothing, has_told)
        await alice.say("news", "four")
        for person in (alice, bob):
            await person.do(nothing, shows("first", "", "three", "four"))

        await until(kept(5, 6, 6), 7200)
        for person in (alice, bob):
            shown = await person.ask(lambda node: node.call("channel", chat="news"))
            assert (shown["posts"], shown["forked"], shown["missing"], shown["problem"]) == (6, False, 0, "")
        await bob.do(lambda node: node.call("channel_mirror", chat="news", mirrors=False), has(mirrors=False))
        return (alice if who == "alice" else bob).boundaries


async def _scrolled(world: World, folder: Path, who: str, cut_at: int | None) -> int:
    """bob follows when there are more posts than the first page has, and scrolls up to the others. The newest edits the
    first.
    """
    posts = [*TEXTS, "four", "five", "six"]
    async with mirrors(world, folder, "north") as (north,):
        alice, bob = (Person(world, name, cut_at if name == who else None) for name in ("alice", "bob"))
        for person in (alice, bob):
            world.soon(person.live)
        await alice.do(lambda node: node.call("relays", add=north.line), _has_relay)
        await alice.do(_create, _is_founded)
        for text in posts:
            await alice.say("news", text)

        await alice.do(lambda node: _on(node, "one", "edit", text="first"), shows("first", *posts[1:]))

        async def all_there() -> bool:
            await trio.lowlevel.checkpoint()
            return [north.at.store.posts] == [len(posts) + 1]

        await until(all_there, 7200)
        link = (await alice.ask(lambda node: node.call("channel_invite", chat="news")))["text"]
        await bob.do(lambda node: node.call("add", invite=link), _is_founded)
        await bob.do(nothing, _ends_with("five", "six"))
        await bob.do(_scroll_up, shows("first", *posts[1:]))
        await alice.say("news", "seven")
        await bob.do(nothing, shows("first", *posts[1:], "seven"))
        (chat,) = await bob.ask(lambda node: node.call("chats"))
        assert chat["unread"] == 3, "what one scrolls up to is no news"
        return (alice if who == "alice" else bob).boundaries


def _ends_with(*texts: str) -> Done:
    async def done(node: WorldNode) -> bool:
        return bool([one["text"] for one in await node.call("log", chat="news")][-len(texts) :] == list(texts))

    return done


async def _scroll_up(node: WorldNode) -> None:
    first, *_ = await node.call("log", chat="news")
    await node.call("log", chat="news", before=first["id"])
    await trio.sleep(1)


async def _on(node: WorldNode, shown: str, method: str, **more: object) -> None:
    """Do something about the post with this text."""
    (id,) = [one["id"] for one in await node.call("log", chat="news") if one["text"] == shown]
    await node.call(method, id=id, **more)


def shows(*texts: str) -> Done:
    async def done(node: WorldNode) -> bool:
        return [one["text"] for one in await node.call("log", chat="news")] == list(texts)

    return done


def has(**wanted: object) -> Done:
    async def done(node: WorldNode) -> bool:
        shown = await node.call("channel", chat="news")
        return {key: shown[key] for key in wanted} == wanted

    return done


def _at(*relays: Mirror) -> Done:
    async def done(node: WorldNode) -> bool:
        shown = await node.call("channel_relays", chat="news")
        return bool(shown["relays"] == [relay.line for relay in relays])

    return done


async def _is_talked_about(node: WorldNode) -> bool:
    shown = (await node.call("channel", chat="news"))["comments"]
    return shown is not None and bool(shown["name"] == "talk")


async def _has_group(node: WorldNode) -> bool:
    return any(one["name"] == "talk" for one in await node.call("chats"))


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


def _changed(folder: Path, who: str, cut_at: int | None) -> int:
    return played(folder, cut_at, lambda world: _changes(world, folder, who, cut_at))


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_power_cut_forks_no_channel_and_loses_no_post(tmp_path: Path, who: str) -> None:
    cut_each(tmp_path, lambda folder, cut_at: _played(folder, who, cut_at), POINTS, "channels", who, least=20)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_power_cut_while_a_channel_is_changed_does_it_once_for_all(tmp_path: Path, who: str) -> None:
    cut_each(
        tmp_path, lambda folder, cut_at: _changed(folder, who, cut_at), POINTS_OF_CHANGES, "changes", who, least=20
    )


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_power_cut_while_somebody_scrolls_up_shows_each_post_once(
    tmp_path: Path, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "FIRST_PAGE", 3)

    def scrolled(folder: Path, cut_at: int | None) -> int:
        return played(folder, cut_at, lambda world: _scrolled(world, folder, who, cut_at))

    cut_each(tmp_path, scrolled, POINTS, "scrolls", who, least=20)
