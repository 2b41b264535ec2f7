"""The chat with oneself: everything works there, and nothing of it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.ids import NOTES
from p2pchat.errors import AmbiguousName, BadName, NoSuchContact
from p2pchat.store import contacts as store_contacts
from tests.support.asking import names
from tests.support.world import World, befriend, run_world


def test_notes_are_written_and_changed_like_messages(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        assert await alice.call("chats") == []
        sent = await alice.call("send", chat="notes", text="buy milk", wait="read")
        assert sent["state"] == "read"
        await alice.call("reply", id=sent["id"], text="and bread")
        await alice.call("edit", id=sent["id"], text="buy oat milk")
        await alice.call("react", id=sent["id"], emoji="🥛")
        await alice.call("pin", id=sent["id"])
        await alice.call("draft", chat="Notes to self", text="also")
        (shown,) = await alice.call("chats")
        assert {key: shown[key] for key in ("id", "name", "state", "kind", "unread", "draft")} == {
            "id": NOTES.hex(),
            "name": "Notes to self",
            "state": "notes",
            "kind": "notes",
            "unread": 0,
            "draft": "also",
        }
        await world.sleep_days(3)  # a note may be edited for as long as one likes
        await alice.call("edit", id=sent["id"], text="buy soy milk")
        first, second = await alice.call("log", chat="notes")
        assert (first["text"], first["pinned"], first["from"]) == ("buy soy milk", True, "me")
        assert [one["emoji"] for one in first["reactions"]] == ["🥛"]
        assert second["quote"]["text"] == "buy soy milk"
        assert [one["text"] for one in await alice.call("history", id=sent["id"])] == [
            "buy milk",
            "buy oat milk",
            "buy soy milk",
        ]
        (hit,) = await alice.call("search", query="soy from:me")
        assert hit["chat_name"] == "Notes to self"
        assert "for yourself" in (await alice.call("why", id=sent["id"]))["reason"]
        assert alice.db.query("SELECT count(*) FROM outbox") == [(0,)]
        assert await alice.call("read", chat="notes") == {"unread": 0, "first_unread": None}
        assert await alice.call("typing", chat="notes") == {"told": False}
        await alice.call("delete", id=second["id"], for_both=True)
        assert (await alice.call("log", chat="notes"))[1]["deleted"]
        await alice.call("delete", id=second["id"])
        await alice.call("clear", chat="notes")
        assert await alice.call("chats") == []

    run_world(tmp_path, main)


def test_notes_end_by_a_timer(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        await alice.call("timer", chat="notes", seconds=3600)
        await alice.call("send", chat="notes", text="the code is 7")
        await trio.sleep(1800)
        assert "the code is 7" in await alice.texts("notes", mine=True)
        await trio.sleep(1900)
        assert "the code is 7" not in await alice.texts("notes", mine=True)

    run_world(tmp_path, main)


def test_nobody_else_is_called_notes(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await bob.call("name", name="Notes")
        invite = (await alice.call("invite"))["invite"]
        await bob.call("add", invite=invite, wait="accepted")
        (name,) = await names(alice)
        assert name.startswith("Notes (")
        with pytest.raises(BadName, match="chat with yourself"):
            await alice.call("rename", contact=name, name="notes")
        await alice.call("send", chat="notes", text="mine alone")
        with pytest.raises(NoSuchContact):
            await alice.call("block", contact="notes")
        bobs = await alice.id_of(name)
        await alice.engine.committer.submit(
            lambda tx: store_contacts.update(tx.db, bobs, name="notes")
        )  # as an earlier build may
        with pytest.raises(AmbiguousName):
            await alice.call("log", chat="notes")

    run_world(tmp_path, main)


def test_a_name_of_ones_own_stands_above_theirs(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await alice.call("rename", contact="bob", name="Bob from work")
        assert (await alice.call("note", contact="Bob from work", text=" met in Lund "))["note"] == "met in Lund"
        await bob.call("name", name="Robert")
        await trio.sleep(60)
        (shown,) = await alice.call("contacts")
        assert (shown["name"], shown["profile_name"], shown["note"]) == ("Bob from work", "Robert", "met in Lund")
        assert (await alice.call("rename", contact="Bob from work"))["name"] == "Robert"
        await bob.call("name", name="Rob")
        await trio.sleep(60)
        assert [*await names(alice)] == ["Rob"]
        assert (await alice.call("note", contact="Rob"))["note"] == "met in Lund"
        assert (await alice.call("note", contact="Rob", text=""))["note"] == ""

    run_world(tmp_path, main)


def test_pinned_chats_stand_above_the_others(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        for name in ("bob", "carol", "dave"):
            await befriend(alice, await world.start(name))
            await trio.sleep(60)
        assert [one["name"] for one in await alice.call("chats")] == ["dave", "carol", "bob"]
        await alice.call("pin_chat", chat="bob")
        assert (await alice.call("pin_chat", chat="carol"))["pinned"] is True
        await alice.call("pin_chat", chat="bob")  # it keeps its place
        shown = await alice.call("chats")
        assert [await alice.call("chats", limit=limit) for limit in (0, 1, 2, 9)] == [[], shown[:1], shown[:2], shown]
        await alice.stop()
        alice = await world.start("alice")
        assert [(one["name"], one["pinned"]) for one in await alice.call("chats")] == [
            ("bob", True),
            ("carol", True),
            ("dave", False),
        ]
        assert (await alice.call("pin_chat", chat="bob", pinned=False))["pinned"] is False
        assert (await alice.call("chats"))[0]["name"] == "carol"

    run_world(tmp_path, main)
