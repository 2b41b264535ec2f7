"""Finding as a face sees it: queries with names and dates, hits with their context, jumps, parts of a chat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.errors import BadQuery, NoSuchContact, UsageError
from tests.engine.methods.test_chats import friends, write
from tests.support.world import World, WorldNode, befriend, run_world


async def texts(node: WorldNode, query: str, **asked: Any) -> list[str]:
    return [hit["text"] for hit in await node.call("search", query=query, **asked)]


def test_a_search_in_words_of_a_person(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        await write(bob, "alice", "snow at https://example.org", "and rain")
        await write(alice, "bob", "more snow")
        await write(carol, "alice", "snow here too")
        assert await texts(alice, "snow") == ["snow at https://example.org", "more snow", "snow here too"]
        assert await texts(alice, "snow", chat="bob") == ["snow at https://example.org", "more snow"]
        assert await texts(alice, "sn*", limit=1) == ["snow here too"]
        assert await texts(alice, "from:bob") == ["snow at https://example.org", "and rain"]
        assert await texts(alice, "from:ME snow") == ["more snow"]
        assert await texts(alice, "has:link") == ["snow at https://example.org"]
        assert await texts(alice, "sno", typing=True, chat="carol") == ["snow here too"]
        assert await texts(alice, "sno", chat="carol") == []
        for wrong in ("from:dave", "snow from:dave"):
            with pytest.raises(NoSuchContact):
                await alice.call("search", query=wrong)
        with pytest.raises(BadQuery):
            await alice.call("search", query="form:bob")
        with pytest.raises(UsageError):
            await alice.call("search", query="snow", before=1, after=1)

    run_world(tmp_path, main)


def test_a_hit_says_where_it_is_and_leads_to_the_next(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await write(bob, "alice", "one word", "two", "three words", "a word, four")
        (hit,) = await alice.call("search", query="word", limit=1)
        assert hit["snippet"] == [
            {"text": "a ", "hit": False},
            {"text": "word", "hit": True},
            {"text": ", four", "hit": False},
        ]
        assert (hit["chat_name"], hit["from"], hit["chat"]) == ("bob", "bob", (await alice.id_of("bob")).hex())
        (before,) = await alice.call("search", query="wor*", limit=1, before=hit["position"])
        assert before["text"] == "three words"
        (first,) = await alice.call("search", query="word", limit=1, after=0)
        assert first["text"] == "one word"
        assert await texts(alice, "word", after=hit["position"]) == []
        around = await alice.call("log", chat="bob", around=hit["id"], limit=2)
        assert [one["text"] for one in around] == ["three words", "a word, four"]

    run_world(tmp_path, main)


def test_dates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        ids = []
        for minute in range(5):
            ids += await write(bob, "alice", f"word of minute {minute}")
            await trio.sleep(60)
        await trio.sleep(30)

        async def part(**asked: Any) -> list[str]:
            return [one["text"][-1] for one in await alice.call("log", chat="bob", **asked)]

        assert [text[-1] for text in await texts(alice, "word after:3m")] == ["3", "4"]
        assert [text[-1] for text in await texts(alice, "word before:3m after:5m")] == ["1", "2"]
        assert await part(since="3m") == ["3", "4"]
        assert await part(until="3m") == ["0", "1", "2"]
        assert await part(until="3m", limit=1) == ["2"]
        assert await part(until="3m", limit=1, before=ids[2]) == ["1"]
        assert await part(since="5m", until="3m", after=ids[1]) == ["2"]
        assert await part(since="1s") == []
        assert (await alice.call("locate", chat="bob", to="3m"))["id"] == ids[3]
        assert (await alice.call("locate", chat="bob", to="1s"))["id"] is None
        await alice.call("read", chat="bob", upto=ids[2])
        assert (await alice.call("locate", chat="bob", to="unread"))["id"] == ids[3]
        assert await part(since="unread") == ["3", "4"]
        await alice.call("read", chat="bob")
        assert (await alice.call("locate", chat="bob", to="unread"))["id"] is None
        assert await part(since="unread") == []
        for wrong in (
            {"since": "soon"},
            {"until": "unread"},
            {"search": "x", "since": "3m"},
            {"around": "x", "before": "y"},
        ):
            with pytest.raises(UsageError):
                await part(**wrong)

    run_world(tmp_path, main)
