"""Channels that outlive their relays: moved by their owner, handed on by followers; the group that talks about one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from p2pchat.core.channels.links import decode_link
from p2pchat.core.channels.posts import channel_id
from p2pchat.core.invite import from_text
from p2pchat.engine.channels import mirroring
from p2pchat.errors import NotNow, UsageError
from tests.support.channel_worlds import Mirror, founded, mirrors, reads
from tests.support.world import World, WorldNode, run_world, until


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
            await until(partial(_at, south, 3), 60)  # from the one that was withdrawn on
            kept = db.query("SELECT seq FROM channel_posts WHERE body IS NOT NULL ORDER BY seq")
            assert [seq for (seq,) in kept] == [0, 2, 3, 4]
            assert b"two" not in b"".join(post for (post,) in south.at.store._db.execute("SELECT post FROM posts"))
            await bob.call("delete", id=(await bob.call("log", chat="news"))[0]["id"])
            kept = db.query("SELECT seq FROM channel_posts WHERE body IS NOT NULL ORDER BY seq")
            assert [seq for (seq,) in kept] == [2, 3, 4], "of an older profile too"

    run_world(tmp_path, main)
