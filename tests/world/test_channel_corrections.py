"""A writer edits posts and withdraws them, and readers see it, whenever they come."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.channels import bodies, posts
from p2pchat.core.contents import Delete, Edit
from p2pchat.core.ids import MessageId
from p2pchat.engine.channels import correcting, reading, sync
from p2pchat.errors import UsageError
from tests.core.channels.writing import FEED, NOW, OTHER, OTHER_SEED, SEED, FeedWriter
from tests.support.asking import events_of
from tests.support.channel_worlds import founded, mirrors, reads
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_channels import follower


async def _is_deleted(node: WorldNode, place: int) -> bool:
    return bool((await node.call("log", chat="news"))[place]["deleted"])


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
def test_a_post_is_edited_and_another_withdrawn(tmp_path: Path, private: bool) -> None:
    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays, private=private)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            ids = []
            for text in ("one", "two", "three"):
                sent = await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
                ids.append(sent["id"])
            await until(reads(bob, "one", "two", "three"), 60)
            for changed in ("first", "in the beginning"):
                await alice.call("edit", id=ids[0], text=changed)
            await until(reads(bob, "in the beginning", "two", "three"), 60)
            said = await bob.call("history", id=ids[0])
            assert [one["text"] for one in said] == ["one", "first", "in the beginning"]
            assert (await bob.call("log", chat="news"))[0]["edited_at"] is not None
            await alice.call("delete", id=ids[1], for_both=True)
            await until(partial(_is_deleted, bob, 1), 60)
            for node in (alice, bob):
                assert await node.texts("news", mine=node is alice) == ["in the beginning", "", "three"]
                assert b"two" not in _bodies(node)
            assert {one["what"] for one in events_of(bob, "changed")} == {"edit", "deleted"}
            for method, more in (("edit", {"text": "x"}), ("delete", {"for_both": True})):
                with pytest.raises(UsageError):
                    await bob.call(method, id=ids[2], **more)
                with pytest.raises(UsageError, match="deleted"):
                    await alice.call(method, id=ids[1], **more)
            carol = await world.start("carol")
            await carol.call("add", invite=link)
            await until(reads(carol, "in the beginning", "", "three"), 60)

    run_world(tmp_path, main)


def _bodies(node: WorldNode) -> bytes:
    db = node.engine.committer._db
    return b"".join(body for (body,) in db.query("SELECT body FROM channel_posts WHERE body IS NOT NULL"))


def test_what_was_said_of_earlier_posts_holds_when_somebody_scrolls_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "FIRST_PAGE", 4)

    async def main(world: World) -> None:
        async with mirrors(world, tmp_path, "north") as relays:
            alice, link = await founded(world, relays)
            ids = []
            for text in ("one", "two", "three"):
                sent = await alice.call("send", chat="news", text=text, wait="stored", timeout=60)
                ids.append(sent["id"])
            await alice.call("edit", id=ids[0], text="first")
            await alice.call("delete", id=ids[1], for_both=True)
            await alice.call("send", chat="news", text="four", wait="stored", timeout=60)
            bob = await world.start("bob")
            await bob.call("add", invite=link)
            await until(reads(bob, "three", "four"), 60)
            (first, _) = await bob.call("log", chat="news")
            earlier = await bob.call("log", chat="news", before=first["id"])
            assert [(one["text"], one["deleted"]) for one in earlier] == [("first", False), ("", True)]

    run_world(tmp_path, main)


def test_only_a_writer_changes_what_they_wrote_and_only_what_came_before(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        bob, chat = await follower(world)
        submit = bob.engine.committer.submit
        one, other = FeedWriter(), FeedWriter(OTHER_SEED, OTHER)
        post = one.write("one")
        await submit(reading.take, chat, FEED, one.head(), [post])
        id = bodies.message_id(post)
        row = bob.engine.committer._db.query_one("SELECT 1 FROM messages")
        assert row is not None
        for payload in (Edit(id, "forged"), Delete(id, 1)):
            theirs = _said(other, payload)
            await submit(reading.take, chat, OTHER, other.head(), [theirs])
            await submit(_take, chat, theirs, payload)
        assert await bob.texts("news") == ["one"]
        await submit(reading.take, chat, FEED, None, [_said(one, Edit(id, "other"))])
        assert await bob.texts("news") == ["other"]

    run_world(tmp_path, main)


def _take(tx: object, chat: object, post: posts.Post, payload: Edit | Delete) -> None:
    """What would be said by a writer whom the head names."""
    from p2pchat.store import channels as store_channels

    row = store_channels.get(tx.db, chat)  # type: ignore[attr-defined, arg-type]
    assert row is not None
    correcting.take(tx, row, post, payload, store_channels.sender_of(post.header.writer))  # type: ignore[arg-type]


def test_so_much_waits_for_posts_that_never_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correcting, "MAX_WAITING", 3)

    async def main(world: World) -> None:
        bob, chat = await follower(world)
        one = FeedWriter()
        said = [_said(one, Edit(MessageId(bytes([number]) * 16), "x")) for number in range(9)]
        said.append(_said(one, Delete(MessageId(bytes(16)), 1)))
        said.append(_said(one, Edit(MessageId(bytes(16)), "not taken back")))
        await bob.engine.committer.submit(reading.take, chat, FEED, one.head(), said)
        db = bob.engine.committer._db
        kept = db.query("SELECT number, body FROM channel_remarks ORDER BY number")
        assert [(number, body) for number, body in kept] == [(1, "x"), (2, "x"), (9, None)]

    run_world(tmp_path, main)


def _said(writer: FeedWriter, payload: Edit | Delete) -> posts.Post:
    """The next post of a feed, which says this."""
    seq = len(writer.posts)
    prev = writer.posts[-1].header.hash if writer.posts else posts.NOTHING
    seed = SEED if writer.feed == FEED else OTHER_SEED
    assert prim.sign_public(seed) == writer.feed.writer
    post = posts.make_post(seed, writer.feed, seq, prev, NOW, bodies.encode_body(payload))
    writer.posts.append(post)
    return post
