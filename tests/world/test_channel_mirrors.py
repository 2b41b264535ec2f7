"""Channels that outlive their relays: moved by their owner, handed on by followers; the group that talks about one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio

from p2pchat.core.channels import frames
from p2pchat.core.channels.frames import FeedGet
from p2pchat.core.channels.links import decode_link
from p2pchat.core.channels.posts import channel_id, own_feed
from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import from_text
from p2pchat.engine.channels import mirroring, sync
from p2pchat.errors import NotNow, UsageError
from p2pchat.feed_ports import FeedStream
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.ports import Relay
from p2pchat.relay.feed_store import FeedChange
from tests.support.boxes import NOW
from tests.support.channel_worlds import Mirror, founded, mirrors, reads
from tests.support.world import World, WorldNode, befriend, run_world, until


async def _at(relay: Mirror, count: int) -> bool:
    posts: int = relay.at.store.posts
    return posts == count


async def _mirrored_at(node: WorldNode, *relays: Mirror) -> bool:
    lines: list[str] = (await node.call("channel_relays", chat="news"))["relays"]
    return lines == [relay.line for relay in relays]


def test_an_owner_moves_a_channel_and_its_readers_follow(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "one"), 60)
            for wrong in ({"add": south.line}, {"remove": north.line}):
                with pytest.raises(NotNow, match="not yours"):
                    await bob.call("channel_relays", chat="news", **wrong)
            with pytest.raises(NotNow, match="needs a relay"):
                await alice.call("channel_relays", chat="news", remove=north.line)
            with pytest.raises(UsageError):
                await alice.call("channel_relays", chat="news", remove=south.line)

            with pytest.raises(UsageError, match="one of"):
                await alice.call("channel_relays", chat="news", add=south.line, remove=south.line)
            assert await _mirrored_at(alice, north), "nothing was done"
            await alice.call("channel_relays", chat="news", add=south.line)
            left = await alice.call("channel_relays", chat="news", remove=north.line)
            assert (left["relays"], left["leaving"]) == ([south.line], [north.line])
            await until(partial(_mirrored_at, bob, south), 3600)

            async def told() -> bool:
                return not (await alice.call("channel_relays", chat="news"))["leaving"]

            await until(told, 3600)
            await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
            await until(reads(bob, "one", "two"), 60)
            assert north.at.store.posts == 1, "it gets nothing more"
            carol = await world.start("carol")
            await carol.call("add", invite=link)  # the one from before, which names the relay that was left
            await until(reads(carol, "one", "two"), 3600)
            assert await _mirrored_at(carol, south)
            new = (await alice.call("channel_invite", chat="news"))["text"]
            assert [way.peer for way in decode_link(from_text(new)).ways] == [south.host.peer]

    run_world(tmp_path, main)


def test_the_relay_of_who_passed_a_link_on_stays_and_those_of_an_older_link_go(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south", "west") as (north, south, west):
            alice, link = await founded(world, [north])
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("relays", add=west.line)
            await bob.call("add", invite=link)
            await bob.call("channel_mirror", chat="news", mirrors=True)
            await alice.call("channel_relays", chat="news", add=south.line)
            await alice.call("channel_relays", chat="news", remove=north.line)
            await until(partial(_mirrored_at, bob, south), 3600)
            passed_on = (await bob.call("channel_invite", chat="news"))["text"]
            await until(partial(_at, west, 1), 60)
            south.vanish()
            carol, dan = await world.start("carol"), await world.start("dan")
            await carol.call("add", invite=passed_on)
            await dan.call("add", invite=link)
            await until(partial(_mirrored_at, carol, south, west), 3600)
            await until(partial(_mirrored_at, dan, south), 3600)
            await until(reads(carol, "one"), 60)
            south.come_back()
            await alice.call("channel_relays", chat="news", add=north.line)
            await alice.call("channel_relays", chat="news", remove=south.line)
            await until(partial(_mirrored_at, carol, north, west), 3600)
            await until(partial(_mirrored_at, dan, north), 3600)

    run_world(tmp_path, main)


def test_a_head_that_is_newer_than_the_posts_of_a_left_relay_still_says_where_they_are(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await alice.call("channel_relays", chat="news", add=south.line)
            await until(partial(_at, south, 1), 60)
            north.vanish()
            await alice.call("channel_relays", chat="news", remove=north.line)
            await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
            north.come_back()

            async def told() -> bool:
                return not (await alice.call("channel_relays", chat="news"))["leaving"]

            await until(told, 7200)
            assert north.at.store.posts == 1
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "one", "two"), 3600)
            assert (await bob.call("channel", chat="news"))["problem"] == ""

    run_world(tmp_path, main)


def test_an_owner_who_names_relays_all_day_long_is_followed_a_few_times(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await until(reads(bob, "one"), 60)
            (mirrored,) = bob.engine.channels._channels.values()
            sync = bob.engine.channels
            kept = mirrored.kept._replace(row=replace(mirrored.row, relays=()))
            assert [sync._may_move(kept, mirrored.row) for _ in range(10)] == [True] * 8 + [False] * 2
            assert sync._may_move(mirrored.kept, mirrored.row)

    run_world(tmp_path, main)


def test_a_channel_outlives_all_relays_of_its_writer(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            for text in ("one", "two"):
                await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "one", "two"), 60)
            with pytest.raises(NotNow, match="no relay"):
                await bob.call("channel_mirror", chat="news", mirrors=True)
            await bob.call("relays", add=south.line)
            assert await bob.call("channel_mirror", chat="news", mirrors=True) == {
                "mirrors": True,
                "relays": [south.line],
                "problem": "",
            }
            await until(partial(_at, south, 2), 60)  # what was there before, too
            await alice.call("send", chat="news", text="three", wait="stored", timeout=60)
            await until(partial(_at, south, 3), 60)
            assert (await bob.call("channel", chat="news"))["mirrors"]
            with pytest.raises(NotNow, match="already"):
                await alice.call("channel_mirror", chat="news", mirrors=True)

            north.vanish()
            await alice.stop()
            passed_on = (await bob.call("channel_invite", chat="news"))["text"]
            await bob.stop()
            carol = await world.start("carol")
            await carol.call("add", invite=passed_on)
            await until(reads(carol, "one", "two", "three"), 60)
            dan = await world.start("dan")
            await dan.call("add", invite=link)  # nobody is there
            await dan.call("add", invite=passed_on)
            await until(reads(dan, "one", "two", "three"), 3600)

    run_world(tmp_path, main)


def test_who_mirrors_at_one_relay_reads_there_what_others_hand_on(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            bob, carol = await world.start("bob"), await world.start("carol")
            for node in (bob, carol):
                await node.call("relays", add=south.line)
                await node.call("add", invite=link)
                await node.call("channel_mirror", chat="news", mirrors=True)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await until(reads(carol, "one"), 60)
            await until(partial(_at, south, 1), 60)
            await carol.stop()
            await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
            await until(partial(_at, south, 2), 60)
            ((key,),) = north.at.store._db.execute("SELECT channel FROM feeds LIMIT 1").fetchall()
            north.at.store.refuse([channel_id(key)])
            await bob.stop()
            carol = await world.start("carol")
            await until(reads(carol, "one", "two"), 60)

    run_world(tmp_path, main)


def _begun(relay: Mirror, other: Mirror, count: int) -> None:
    """Somebody puts the first posts of the only channel of another relay here, as they are."""
    ((key,),) = other.at.store._db.execute("SELECT channel FROM feeds").fetchall()
    posts = other.at.store.page(FeedGet(1, own_feed(key), 0, count, watch=False)).posts
    results = relay.at.store.change([FeedChange(own_feed(key), post, False) for post in posts], NOW)
    assert [result.code for result in results] == [frames.DONE] * count


def test_a_feed_that_somebody_else_began_at_a_followers_relay_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "FIRST_PAGE", 3)
    monkeypatch.setattr(mirroring, "KEPT_BODIES", 2)

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            for number in range(7):
                sent = await alice.call("send", chat="news", text=f"text {number}", wait="stored", timeout=60)
                if number == 3:
                    withdrawn = sent["id"]
            await alice.call("delete", id=withdrawn, for_both=True)
            await until(partial(_at, north, 8), 60)
            _begun(south, north, 2)
            bob = await world.start("bob")
            await bob.call("relays", add=south.line)
            await bob.call("add", invite=link)
            await until(reads(bob, "text 5", "text 6"), 60)
            await bob.call("channel_mirror", chat="news", mirrors=True)
            await until(partial(_at, south, 8), 60)
            assert (await bob.call("channel_mirror", chat="news"))["problem"] == ""
            assert await bob.texts("news") == ["text 5", "text 6"], "it reads no more than it was asked for"
            there = b"".join(post for (post,) in south.at.store._db.execute("SELECT post FROM posts ORDER BY seq"))
            assert [f"text {number}".encode() in there for number in range(7)] == [True] * 3 + [False] + [True] * 3

    run_world(tmp_path, main)


def _run(relay: Mirror) -> tuple[int, int]:
    """The first post of the only channel at a relay, and the one behind its last."""
    ((first, behind),) = relay.at.store._db.execute("SELECT first, next FROM feeds")
    return first, behind


@pytest.mark.parametrize("seed", [1, 7], ids=["asked before", "asked while more came"])
def test_a_relay_of_ours_begins_with_the_whole_page_though_it_is_reached_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            for number in range(3):
                await alice.call("send", chat="news", text=f"{number}", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("relays", add=south.line)
            await bob.call("add", invite=link)
            await until(reads(bob, "0", "1", "2"), 60)
            feeds = bob.engine.net.mailboxes.feeds
            opened = feeds.open

            @asynccontextmanager
            async def slowly(relay: Relay) -> AsyncIterator[FeedStream]:
                if relay.peer == north.host.peer:
                    await trio.sleep(10)
                async with opened(relay) as stream:
                    yield stream

            monkeypatch.setattr(feeds, "open", slowly)
            await bob.call("channel_mirror", chat="news", mirrors=True)
            await alice.call("send", chat="news", text="3", wait="stored", timeout=60)
            await until(reads(bob, "0", "1", "2", "3"), 60)
            await until(partial(_at, south, 4), 60)

    run_world(tmp_path, main, seed)


def test_where_nobody_has_what_is_between_that_is_said_until_the_relay_would_keep_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "FIRST_PAGE", 2)
    monkeypatch.setattr(mirroring, "KEPT_BODIES", 1)

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            await alice.call("send", chat="news", text="0", wait="stored", timeout=60)
            _begun(south, north, 1)
            north.at.store.quota = replace(north.at.store.quota, feed_posts=2)
            for number in range(1, 5):
                await alice.call("send", chat="news", text=f"{number}", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("relays", add=south.line)
            await bob.call("add", invite=link)
            await until(reads(bob, "3", "4"), 60)
            await bob.call("channel_mirror", chat="news", mirrors=True)

            async def said() -> bool:
                return "earlier posts" in str((await bob.call("channel_mirror", chat="news"))["problem"])

            await until(said, 60)
            assert south.at.store.posts == 1
            south.at.store.quota = replace(south.at.store.quota, feed_posts=2)
            await alice.call("send", chat="news", text="5", wait="stored", timeout=60)  # with it, bob tries again

            async def anew() -> bool:
                return bool(_run(south) == (5, 6))

            await until(anew, 60)
            assert (await bob.call("channel_mirror", chat="news"))["problem"] == ""

    run_world(tmp_path, main)


def test_a_relay_that_was_left_and_is_gone_is_asked_less_and_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, _ = await founded(world, [north])
            await alice.call("channel_relays", chat="news", add=south.line)
            north.vanish()
            await alice.call("channel_relays", chat="news", remove=north.line)
            asked = _asked(alice, north, monkeypatch)
            await trio.sleep(8 * HOUR_SECONDS)
            assert 1 < len(asked) < 20

    run_world(tmp_path, main)


@pytest.mark.parametrize("writers", [(), ("carol",)])
def test_of_a_frozen_channel_no_relay_hears_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writers: tuple[str, ...]
) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            north, south = relays
            alice, _ = await founded(world, relays)
            for writer in writers:
                await alice.call("channel_writers", chat="news", add=writer)
            copy = alice.copy()
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await until(partial(_at, south, 1), 60)
            await alice.stop()
            world.put_back(copy)
            for relay in relays:
                relay.vanish()
            alice = await world.start("alice")
            await alice.call("channel_relays", chat="news", remove=north.line)
            await alice.call("send", chat="news", text="another one")
            south.come_back()

            async def frozen() -> bool:
                return bool((await alice.call("channel", chat="news"))["forked"])

            await until(frozen, 3600)
            asked = _asked(alice, north, monkeypatch)
            await trio.sleep(2 * HOUR_SECONDS)
            assert asked == []
            assert bool(south.host.streams) == bool(writers), "what others write in it goes on"
            assert "two different posts" in (await alice.call("channel", chat="news"))["problem"]
            assert [one["frozen"] for one in await alice.call("chats") if one["name"] == "news"] == [True]

    run_world(tmp_path, main)


def _asked(node: WorldNode, relay: Mirror, monkeypatch: pytest.MonkeyPatch) -> list[PeerKey]:
    """Every time from now on that a node opens a stream to a relay that mirrors channels."""
    feeds, asked = node.engine.net.mailboxes.feeds, list[PeerKey]()
    opened = feeds.open

    def note(wanted: Relay) -> AbstractAsyncContextManager[FeedStream]:
        if wanted.peer == relay.host.peer:
            asked.append(wanted.peer)
        return opened(wanted)

    monkeypatch.setattr(feeds, "open", note)
    return asked


def test_bodies_are_kept_of_the_newest_posts_alone_and_of_none_that_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "KEPT_BODIES", 3)

    def bodies(node: WorldNode) -> list[int]:
        db = node.engine.committer._db
        return [seq for (seq,) in db.query("SELECT seq FROM channel_posts WHERE body IS NOT NULL ORDER BY seq")]

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            texts = [f"{number}" for number in range(5)]
            for text in texts:
                await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
            await until(reads(bob, *texts), 60)
            assert bodies(bob) == []
            await bob.call("relays", add=south.line)
            await bob.call("channel_mirror", chat="news", mirrors=True)
            await until(partial(_at, south, 3), 60)
            assert bodies(bob) == [2, 3, 4]
            await alice.call("send", chat="news", text="5", wait="stored", timeout=60)
            await until(partial(_at, south, 4), 60)
            assert bodies(bob) == [3, 4, 5]
            await bob.call("delete", id=(await bob.call("log", chat="news"))[-2]["id"])
            assert bodies(bob) == [3, 5]
            await bob.call("channel_mirror", chat="news", mirrors=False)
            assert bodies(bob) == []

    run_world(tmp_path, main)


def test_a_group_is_linked_and_readers_ask_to_join_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as (north,):
            alice, link = await founded(world, [north])
            group = await alice.call("create_group", name="talk")
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            with pytest.raises(NotNow, match="not yours"):
                await bob.call("channel_comments", chat="news", group=group["id"])
            linked = (await alice.call("channel_comments", chat="news", group=group["id"]))["comments"]
            assert (linked["name"], linked["chat"]) == ("talk", group["id"])

            async def shown() -> bool:
                return (await bob.call("channel", chat="news"))["comments"] is not None

            await until(shown, 60)
            seen = (await bob.call("channel", chat="news"))["comments"]
            assert (seen["name"], seen["text"], seen["chat"]) == ("talk", linked["text"], None)
            await befriend(alice, bob)
            await alice.call("add_members", chat=group["id"], contacts=["bob"])

            async def is_in() -> bool:
                found = (await bob.call("channel", chat="news"))["comments"]["chat"]
                return found in {one["id"] for one in await bob.call("chats") if one["name"] == "talk"}

            await until(is_in, 600)
            await alice.call("set_group", chat=group["id"], key="name", value="all about it")
            again = await alice.call("create_group", name="talk")  # of the same person, with the name of the invite
            assert (await alice.call("channel", chat="news"))["comments"]["chat"] != again["id"]
            await alice.call("channel_comments", chat="news", group=again["id"])

            async def another() -> bool:
                return bool((await bob.call("channel", chat="news"))["comments"]["chat"] is None)

            await until(another, 60)
            await alice.call("channel_comments", chat="news", remove=True)

            async def gone() -> bool:
                return (await bob.call("channel", chat="news"))["comments"] is None

            await until(gone, 60)
            assert not [one for one in await alice.call("invites") if one["state"] == "open"], "the invite ends with it"

    run_world(tmp_path, main)


def test_a_follower_who_hands_on_a_channel_later_keeps_what_was_said_and_nothing_that_was_withdrawn(
    tmp_path: Path,
) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as (north, south):
            alice, link = await founded(world, [north])
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            ids = []
            for text in ("one", "two", "three"):
                sent = await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
                ids.append(sent["id"])
            await until(reads(bob, "one", "two", "three"), 60)
            await alice.call("delete", id=ids[1], for_both=True)
            await alice.call("edit", id=ids[2], text="last")
            await until(reads(bob, "one", "", "last"), 60)
            db = bob.engine.committer._db
            await bob.engine.committer.submit(lambda tx: tx.db.execute("UPDATE channel_feeds SET sender = NULL"))

            await bob.call("relays", add=south.line)
            await bob.call("channel_mirror", chat="news", mirrors=True)
            await until(partial(_at, south, 5), 60)  # also those before the one that was withdrawn
            kept = db.query("SELECT seq FROM channel_posts WHERE body IS NOT NULL ORDER BY seq")
            assert [seq for (seq,) in kept] == [0, 2, 3, 4]
            assert b"two" not in b"".join(post for (post,) in south.at.store._db.execute("SELECT post FROM posts"))
            await bob.call("delete", id=(await bob.call("log", chat="news"))[0]["id"])
            kept = db.query("SELECT seq FROM channel_posts WHERE body IS NOT NULL ORDER BY seq")
            assert [seq for (seq,) in kept] == [2, 3, 4], "of an older profile too"

    run_world(tmp_path, main)
