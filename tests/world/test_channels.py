"""Channels in a world of nodes: founded, followed, written and read through relays that mirror them, or lie."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.channels import frames
from p2pchat.core.channels.links import ChannelLink, decode_link, encode_link
from p2pchat.core.channels.posts import ChannelWriter, Post
from p2pchat.core.ids import ChatId
from p2pchat.core.invite import from_text, to_text
from p2pchat.core.relays import Relay
from p2pchat.engine.channels import intake, reading, stored, sync
from p2pchat.errors import DiskFull, NotNow, P2PChatError, UsageError
from p2pchat.store import channels as store_channels
from p2pchat.store.database import Database
from tests.core.channels.writing import FEED, OTHER, OTHER_SEED, FeedWriter
from tests.support.asking import events_of
from tests.support.channel_worlds import Mirror, founded, mirrors, reads
from tests.support.world import World, WorldNode, run_world, until


def test_a_channel_is_founded_followed_written_and_read(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            sent = await alice.call("send", chat="news", text="hello", wait="stored", timeout=60)
            assert sent["state"] == "stored"
            bob, carol = await world.start("bob"), await world.start("carol")
            for node in (bob, carol):
                added = await node.call("add", invite=f"look: {link}")
                assert (added["name"], added["state"]) == ("news", "channel")
                await until(reads(node, "hello"), 60)
            await alice.call("send", chat="news", text="again")
            await until(reads(bob, "hello", "again"), 5)
            await until(reads(carol, "hello", "again"), 5)
            log = await bob.call("log", chat="news")
            assert [(one["from"], one["mine"], one["state"]) for one in log] == [("news", False, "received")] * 2
            assert [one["text"] for one in events_of(bob, "message")] == ["hello", "again"]
            listed = (await bob.call("chats"))[0]
            assert (listed["kind"], listed["state"], listed["unread"]) == ("channel", "channel", 2)
            await bob.call("read", chat="news")
            shown = await bob.call("channel", chat="news")
            assert (shown["posts"], shown["mine"], shown["problem"], shown["forked"]) == (2, False, "", False)
            assert shown["id"] == (await alice.call("channel", chat="news"))["id"]
            assert (await bob.call("add", invite=link))["id"] == shown["chat"], "the same link gives the same chat"
            with pytest.raises(NotNow, match="writers"):
                await bob.call("send", chat="news", text="me too")

    run_world(tmp_path, main)


def test_a_follower_who_was_away_reads_what_was_missed_from_the_relay_that_is_left(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await alice.call("send", chat="news", text="one")
            await until(reads(bob, "one"), 60)
            await bob.stop()
            for text in ("two", "three"):
                await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
            await until(lambda: _has(relays[1], 3), 60)
            await alice.stop()
            relays[0].vanish()
            bob = await world.start("bob")
            await until(reads(bob, "one", "two", "three"), 60)
            assert (await bob.call("channel", chat="news"))["problem"] == ""

    run_world(tmp_path, main)


async def _has(relay: Mirror, count: int) -> bool:
    posts: int = relay.at.store.posts
    return posts == count


def test_what_was_written_without_a_relay_is_put_when_one_is_there(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, _ = await founded(world, relays)
            relays[0].vanish()
            sent = await alice.call("send", chat="news", text="hello")
            assert sent["state"] == "saved"
            why = await alice.call("why", id=sent["id"])
            assert "No relay" in why["reason"]
            await alice.stop()
            alice = await world.start("alice")
            relays[0].come_back()
            await until(lambda: _has(relays[0], 1), 3600)

            async def stored() -> bool:
                return [one["state"] for one in await alice.call("log", chat="news")] == ["stored"]

            await until(stored, 60)

    run_world(tmp_path, main)


def test_relays_cannot_read_a_private_channel(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays, private=True)
            await alice.call("send", chat="news", text="only for you", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "only for you"), 60)
            for file in (tmp_path / "north").iterdir():
                assert b"only for you" not in file.read_bytes()
                assert b"news" not in file.read_bytes()

    run_world(tmp_path, main)


def test_a_new_follower_reads_the_last_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "FIRST_PAGE", 3)

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            for number in range(7):
                await alice.call("send", chat="news", text=f"{number}", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "4", "5", "6"), 60)
            assert (await bob.call("channel", chat="news"))["missing"] == 0

    run_world(tmp_path, main)


def test_a_relay_that_withholds_is_noticed(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "one"), 60)
            await bob.stop()
            for text in ("two", "three"):
                await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
            await alice.stop()
            db = relays[0].at.store._db
            db.execute("DELETE FROM posts WHERE seq = 2")
            db.execute("UPDATE feeds SET next = 2, last = x''")
            bob = await world.start("bob")
            await until(reads(bob, "one", "two"), 60)
            shown = await bob.call("channel", chat="news")
            assert shown["withheld"] == 1
            assert "do not hand out the newest post" in shown["problem"]

    run_world(tmp_path, main)


def test_posts_that_no_relay_has_any_more_are_counted_as_missing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            await alice.call("send", chat="news", text="0", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "0"), 60)
            await bob.stop()
            for number in range(1, 4):
                await alice.call("send", chat="news", text=f"{number}", wait="stored", timeout=60)
            db = relays[0].at.store._db
            db.execute("DELETE FROM posts WHERE seq < 2")
            db.execute("UPDATE feeds SET first = 2")
            bob = await world.start("bob")
            await until(reads(bob, "0", "2", "3"), 60)
            shown = await bob.call("channel", chat="news")
            assert (shown["missing"], shown["posts"]) == (1, 4)
            assert "1 post is missing" in shown["problem"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("comes_back", [True, False])
def test_what_one_relay_lacks_is_waited_for_while_another_is_away(tmp_path: Path, comes_back: bool) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            await alice.call("send", chat="news", text="0", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "0"), 60)
            await bob.stop()
            for number in range(1, 4):
                await alice.call("send", chat="news", text=f"{number}", wait="stored", timeout=60)
            for relay in relays:
                await until(partial(_has, relay, 4), 60)
            db = relays[0].at.store._db
            db.execute("DELETE FROM posts WHERE seq < 2")
            db.execute("UPDATE feeds SET first = 2")
            relays[1].vanish()
            bob = await world.start("bob")

            async def south_is_away() -> bool:
                mirrored = [*bob.engine.channels._channels.values()]
                return bool(mirrored and mirrored[0].lacking and mirrored[0].away)

            await until(south_is_away, 120)
            await trio.sleep(60)
            assert await bob.texts("news") == ["0"]
            if comes_back:
                relays[1].come_back()
            expected = ["0", "1", "2", "3"] if comes_back else ["0", "2", "3"]
            await until(reads(bob, *expected), 2 * sync.GIVE_UP_SECONDS)
            assert (await bob.call("channel", chat="news"))["missing"] == (0 if comes_back else 1)

    run_world(tmp_path, main)


@pytest.mark.parametrize("most", ["alice", "carol"])
def test_what_no_relay_has_is_missing_though_all_have_what_another_writer_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    keep = sync.ChannelSync._keep

    async def keep_in_turn(self: sync.ChannelSync, mirrored: Any, relay: Relay) -> None:
        if relay.peer != mirrored.row.relays[0].peer:
            await trio.sleep(5)
        await keep(self, mirrored, relay)

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            bob, carol = await world.start("bob"), await world.start("carol")
            for node in (bob, carol):
                await node.call("add", invite=link)
            await carol.call("add", invite=(await alice.call("channel_writers", chat="news", add="carol"))["link"])
            writer, other = (alice, carol) if most == "alice" else (carol, alice)

            async def may_write() -> bool:
                return bool((await carol.call("channel_writers", chat="news"))["writers"])

            await until(may_write, 60)
            await writer.call("send", chat="news", text="0", wait="stored", timeout=60)
            await until(reads(bob, "0"), 60)
            await bob.stop()
            await other.call("send", chat="news", text="other", wait="stored", timeout=60)
            for number in range(1, 4):
                await writer.call("send", chat="news", text=f"{number}", wait="stored", timeout=60)
            for relay in relays:

                async def has_all(relay: Mirror = relay) -> bool:
                    return await _has(relay, 5)

                await until(has_all, 60)
                db = relay.at.store._db
                db.execute("DELETE FROM posts WHERE seq < 2 AND feed = (SELECT id FROM feeds WHERE next = 4)")
                db.execute("UPDATE feeds SET first = 2 WHERE next = 4")
            monkeypatch.setattr(sync.ChannelSync, "_keep", keep_in_turn)
            bob = await world.start("bob")

            async def all_there() -> bool:
                return set(await bob.texts("news")) == {"0", "other", "2", "3"}

            await until(all_there, 60)
            assert (await bob.call("channel", chat="news"))["missing"] == 1

    run_world(tmp_path, main)


def test_a_profile_put_back_from_a_copy_forks_its_channel_which_freezes(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "one"), 60)
            copy = alice.copy()
            await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
            await until(reads(bob, "one", "two"), 60)
            await alice.stop()
            world.put_back(copy)
            for relay in relays:
                relay.vanish()
            alice = await world.start("alice")
            await alice.call("send", chat="news", text="another two")
            relays[0].come_back()

            async def frozen() -> bool:
                return bool((await alice.call("channel", chat="news"))["forked"])

            await until(frozen, 3600)
            with pytest.raises(NotNow, match="forked"):
                await alice.call("send", chat="news", text="three")

    run_world(tmp_path, main)


def test_a_profile_put_back_from_a_copy_takes_its_channel_up_where_the_relays_have_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, _ = await founded(world, relays)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            copy = alice.copy()
            await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
            await alice.stop()
            world.put_back(copy)
            alice = await world.start("alice")

            async def has_both() -> bool:
                return await alice.texts("news", mine=True) == ["one", "two"]

            await until(has_both, 60)
            await alice.call("send", chat="news", text="three", wait="stored", timeout=60)
            assert not (await alice.call("channel", chat="news"))["forked"]

    run_world(tmp_path, main)


def test_a_channel_that_a_relay_refuses_goes_on_at_the_other(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            report = await alice.call("channel_report", chat="news")
            assert report["id"] == (await alice.call("channel", chat="news"))["id"]
            assert sorted(report["relays"]) == sorted(relay.line for relay in relays)
            for_all = bytes.fromhex(report["id"])
            relays[0].at.refused.change(channel_id_of(for_all), "reported")
            relays[0].at.server.look_again()
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await until(reads(bob, "one"), 60)
            assert (await bob.call("channel", chat="news"))["problem"] == ""
            relays[1].at.refused.change(channel_id_of(for_all), "reported")
            relays[1].at.server.look_again()
            relays[1].vanish()
            relays[1].come_back()

            async def refused() -> bool:
                return "does not mirror" in (await bob.call("channel", chat="news"))["problem"]

            await until(refused, 3600)

    run_world(tmp_path, main)


def test_a_channel_is_forgotten_with_or_without_its_posts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "one"), 60)
            await bob.call("forget", contact="news")
            assert await bob.texts("news") == ["one"]
            with pytest.raises(UsageError, match="not a channel"):
                await bob.call("channel", chat="news")
            await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
            assert await bob.texts("news") == ["one"]
            await bob.call("forget", contact="news", history=True)
            assert await bob.call("chats") == []
            await bob.call("add", invite=link)
            await until(reads(bob, "one", "two"), 60)

    run_world(tmp_path, main)


def test_a_channel_needs_a_relay_and_a_name(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        with pytest.raises(NotNow, match="relay"):
            await alice.call("create_channel", name="news")
        for name in ("", "x" * 65, "\u202e"):
            with pytest.raises(UsageError, match="name"):
                await alice.call("create_channel", name=name)

    run_world(tmp_path, main)


def channel_id_of(raw: bytes) -> Any:
    return raw


def test_a_post_that_its_writer_deleted_here_stops_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            relays[0].vanish()
            sent = await alice.call("send", chat="news", text="not this")
            await alice.call("delete", id=sent["id"])
            await alice.call("send", chat="news", text="this")
            relays[0].come_back()
            await until(lambda: _has(relays[0], 2), 3600)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "this"), 60)
            assert (await bob.call("channel", chat="news"))["problem"] == ""

    run_world(tmp_path, main)


def test_another_writer_writes_beside_the_owner_until_removed(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            bob, carol = await world.start("bob"), await world.start("carol")
            for node in (bob, carol):
                await node.call("add", invite=link)
            named = await alice.call("channel_writers", chat="news", add="bob")
            await bob.call("add", invite=named["link"])

            async def may_write() -> bool:
                return [one["name"] for one in (await bob.call("channel_writers", chat="news"))["writers"]] == ["bob"]

            await until(may_write, 60)
            await bob.call("send", chat="news", text="from bob", wait="stored", timeout=60)
            await until(reads(carol, "from bob"), 60)
            await until(reads(alice, "from bob"), 60)
            await alice.call("send", chat="news", text="from alice")
            await until(reads(carol, "from bob", "from alice"), 60)
            left = await alice.call("channel_writers", chat="news", remove="bob")
            assert left["writers"][0]["removed"]

            async def is_removed() -> bool:
                return bool((await bob.call("channel_writers", chat="news"))["writers"][0]["removed"])

            await until(is_removed, 60)
            with pytest.raises(NotNow, match="any more"):
                await bob.call("send", chat="news", text="once more")
            log = await carol.call("log", chat="news")
            assert [(one["from"], one["text"]) for one in log] == [("bob", "from bob"), ("news", "from alice")]
            assert log[0]["member"]["name"] == "bob"
            listed = await carol.call("messages", limit=10)
            assert [one["from"] for one in listed] == ["bob", "news"]
            with pytest.raises(NotNow, match="not yours"):
                await carol.call("channel_writers", chat="news", add="carol")

    run_world(tmp_path, main)


def test_a_channel_that_says_too_much_is_read_on_later_and_the_node_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "DAILY_BYTES", 3_000)

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            for number in range(5):
                await alice.call("send", chat="news", text=f"{number}" * 1_000, wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)

            async def enough() -> bool:
                return "more than this node takes" in (await bob.call("channel", chat="news"))["problem"]

            await until(enough, 60)
            assert await bob.texts("news") == []

    run_world(tmp_path, main)


def test_what_one_relay_brings_costs_the_others_nothing_and_new_writers_give_no_more(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await until(reads(bob, "one"), 60)
            (before,) = bob.engine.channels._channels.values()
            large, small = [FeedWriter().write("x" * 40_000)], [FeedWriter().write("x")]
            for relay in relays:
                assert before.takes(relay.host.peer, None, large)
                while before.takes(relay.host.peer, None, large) or before.takes(relay.host.peer, None, small):
                    pass
            await alice.call("channel_writers", chat="news", add="carol")

            async def enough() -> bool:
                return "more than this node takes" in (await bob.call("channel", chat="news"))["problem"]

            await until(enough, 60)
            assert not bob.crashed

    run_world(tmp_path, main)


@pytest.mark.parametrize(("most", "read"), [(7, ["post 5", "post 6"]), (5, []), (0, [])])
def test_a_writer_who_was_removed_says_nothing_more_to_new_readers(tmp_path: Path, most: int, read: list[str]) -> None:
    async def main(world: World) -> None:
        bob, chat = await follower(world)
        own = FeedWriter().head(writers=(ChannelWriter(OTHER.writer, "carol", most),))
        await bob.engine.committer.submit(reading.take, chat, FEED, own, [])
        other = FeedWriter(OTHER_SEED, OTHER)
        other.write_many(10)
        for _ in range(2):
            await bob.engine.committer.submit(reading.take, chat, OTHER, other.head(), other.posts[5:])
        assert await bob.texts("news") == read

    run_world(tmp_path, main)


def test_a_relay_that_has_the_head_alone_keeps_nobody_from_reading_at_another(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        bob, chat = await follower(world)
        one, submit = FeedWriter(), bob.engine.committer.submit
        one.write_many(60)
        assert await submit(reading.take, chat, FEED, one.head(), []) == 0
        assert await bob.engine.committer.read(stored.next_wanted, chat, FEED) == frames.NEWEST
        assert await submit(reading.take, chat, FEED, one.head(), one.posts[58:]) == 60
        assert await bob.texts("news") == ["post 58", "post 59"]

    run_world(tmp_path, main)


async def follower(world: World) -> tuple[WorldNode, ChatId]:
    """A node that follows a channel which no relay mirrors."""
    bob = await world.start("bob")
    link = to_text(encode_link(ChannelLink(FEED.channel, None, (), "news")))
    return bob, ChatId(bytes.fromhex((await bob.call("add", invite=link))["id"]))


def test_a_full_disk_of_a_follower_loses_nothing_and_ends_nothing(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await until(reads(bob, "one"), 60)

            real = store_channels.add_post

            def fail(db: Database, chat: ChatId, post: Post, *, body: bool) -> None:
                if not body:  # a follower's
                    raise DiskFull
                real(db, chat, post, body=body)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(store_channels, "add_post", fail)
                await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
                await trio.sleep(60)
            await until(reads(bob, "one", "two"), 3600)

    run_world(tmp_path, main)


def test_a_relay_that_pushes_nothing_is_asked_within_the_hour(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await alice.call("send", chat="news", text="one", wait="stored", timeout=60)
            await until(reads(bob, "one"), 60)
            relays[0].at.server._watching.clear()
            relays[0].at.server._watched.clear()
            await alice.call("send", chat="news", text="two", wait="stored", timeout=60)
            await trio.sleep(60)
            assert await bob.texts("news") == ["one"]
            await until(reads(bob, "one", "two"), 3600)

    run_world(tmp_path, main)


def test_what_cannot_be_done_in_a_channel_is_said_and_the_rest_works(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            sent = await alice.call("send", chat="news", text="hello world", wait="stored", timeout=60)
            await until(reads(bob, "hello world"), 60)
            (theirs,) = await bob.call("log", chat="news")
            for node, id in ((alice, sent["id"]), (bob, theirs["id"])):
                for method, arguments in (
                    ("react", {"id": id, "emoji": "👍"}),
                    ("reply", {"id": id, "text": "and you?"}),
                    ("pin", {"id": id}),
                    ("timer", {"chat": "news", "seconds": 3600}),
                    ("send_file", {"chat": "news", "path": str(tmp_path / "alice" / "p2pchat.db")}),
                    ("group", {"chat": "news"}),
                ):
                    with pytest.raises(P2PChatError):
                        await node.call(method, **arguments)
                await node.call("typing", chat="news")
                await node.call("draft", chat="news", text="later")
                await node.call("pin_chat", chat="news")
                await node.call("mute", chat="news")
                await node.call("archive", chat="news")
                await node.call("files", chat="news")
                assert "wo" in str(await node.call("search", query="world"))
                assert (await node.call("why", id=id))["reason"]
                await node.call("clear", chat="news")
                assert await node.call("log", chat="news") == []
            await alice.call("send", chat="news", text="after", wait="stored", timeout=60)
            await until(reads(bob, "after"), 60)

    run_world(tmp_path, main)


def test_a_made_up_link_for_a_writer_stops_nobody_from_reading(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            made_up = replace(decode_link(from_text(link)), seed=bytes(32))
            await bob.call("add", invite=to_text(encode_link(made_up)))
            for text in ("one", "two"):
                await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
            await until(reads(bob, "one", "two"), 60)
            assert (await bob.call("channel", chat="news"))["problem"] == ""
            real = await alice.call("channel_writers", chat="news", add="bob")
            await bob.call("add", invite=real["link"])

            async def writes() -> bool:
                try:
                    await bob.call("send", chat="news", text="three", wait="stored", timeout=60)
                except NotNow:
                    return False
                return True

            await until(writes, 60)
            await until(reads(alice, "three"), 60)

    run_world(tmp_path, main)


def test_a_follower_reads_further_back_than_the_first_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "FIRST_PAGE", 3)

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north", "south") as relays:
            alice, link = await founded(world, relays)
            texts = [f"{number}" for number in range(9)]
            for text in texts:
                await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
            for relay in relays:
                await until(partial(_has, relay, 9), 60)
            db = relays[0].at.store._db  # this one has the newest alone
            db.execute("DELETE FROM posts WHERE seq < 6")
            db.execute("UPDATE feeds SET first = 6")
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "6", "7", "8"), 60)
            await until(lambda: _streams(bob, 2), 60)
            (first, *_) = await bob.call("log", chat="news")
            earlier = await bob.call("log", chat="news", before=first["id"], limit=2)
            assert [one["text"] for one in earlier] == ["4", "5"]
            assert (await bob.call("chats"))[0]["unread"] == 3, "what one scrolls up to is no news"
            assert [one["text"] for one in events_of(bob, "message")] == texts[6:]
            earlier = await bob.call("log", chat="news", before=earlier[0]["id"])
            assert [one["text"] for one in earlier] == texts[:4]
            saved = await bob.call("messages", position=0)  # what a bot reads on from
            assert [one["text"] for one in saved if one["route"] != "history"] == texts[6:]
            assert await bob.call("log", chat="news", before=earlier[0]["id"]) == []
            assert await bob.texts("news") == texts
            await alice.call("send", chat="news", text="new", wait="stored", timeout=60)
            await until(reads(bob, *texts, "new"), 60)
            await bob.stop()
            bob = await world.start("bob")
            await until(reads(bob, *texts, "new"), 60)
            assert (await bob.call("channel", chat="news"))["problem"] == ""

    run_world(tmp_path, main)


async def _streams(node: WorldNode, count: int) -> bool:
    """Whether a node has streams to so many relays of its only channel."""
    (mirrored,) = node.engine.channels._channels.values()
    return len(mirrored.streams) == count
