"""Forgetting a contact, with what was said or without, and emptying a chat."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from p2pchat.core.ids import ContactId, MessageId, direct_chat
from p2pchat.engine.contacts import forgetting
from p2pchat.engine.methods import chats
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NoSuchContact, NotNow
from p2pchat.store import clearing
from p2pchat.store import waiting as store_waiting
from p2pchat.store.database import Database
from tests.support.asking import events_of, has, names
from tests.support.mail_worlds import apart, own_queues, their_queues
from tests.support.world import World, WorldNode, run_world, until
from tests.world.test_delivery import friends


def left_of(db: Database, contact: ContactId) -> dict[str, int]:
    """How many rows of each table name a contact or its chat, where any do."""
    left = {}
    for (table,) in db.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%fts%'"):
        columns = [name for _, name, *_ in db.query(f"PRAGMA table_info({table})")]
        owned = [one for one in columns if one in ("id", "contact", "device", "chat", "recipient", "sender")]
        where = " OR ".join(f"{one} = ?1" for one in owned)
        ((count,),) = db.query(f"SELECT count(*) FROM {table} WHERE {where}", (contact,)) if owned else [(0,)]
        if count:
            left[table] = count
    return left


async def gone(node: WorldNode, contact: ContactId) -> bool:
    """Whether nothing names a contact but what keeps replays out."""
    return left_of(node.db, contact).keys() <= {"handshakes", "envelopes_seen"}


@pytest.mark.parametrize("history", [False, True])
def test_nothing_is_left_of_one_who_was_forgotten(tmp_path: Path, history: bool) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        bobs = await alice.id_of("bob")
        await bob.call("send", chat="alice", text="a secret of bob", wait="delivered")
        await bob.stop()
        sent = await alice.call("send", chat="bob", text="not delivered")
        await alice.call("pin", id=sent["id"])
        await alice.call("draft", chat="bob", text="begun")
        await alice.call("note", contact="bob", text="met in Lund")
        chat, missing = direct_chat(bobs), MessageId(bytes(16))
        await alice.engine.committer.submit(
            lambda tx: store_waiting.add(
                tx.db, chat, missing, bobs, 1, missing, b"said of it", 2**60, sender=bobs, latest_only=False
            )
        )
        kept = {"contacts", "devices", "sessions", "outbox", "chats", "messages", "waiting"}
        assert set(left_of(alice.db, bobs)) > kept
        assert (await alice.call("forget", contact="bob", history=history))["name"] == "bob"
        left = left_of(alice.db, bobs)
        remembered = {"handshakes", "envelopes_seen"}  # so that nothing comes in twice
        assert left.keys() - remembered == (set() if history else {"chats", "messages"})
        assert events_of(alice, "forgotten")[-1] == {"event": "forgotten", "id": bobs.hex(), "history": history}
        assert await names(alice) == {}
        with pytest.raises(NoSuchContact):
            await alice.call("rename", contact="bob", name="anybody")
        assert await alice.call("search", query="secret") == [] or not history

    run_world(tmp_path, main)


def test_the_link_with_one_who_was_forgotten_ends_at_once(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        bobs, alices = await alice.id_of("bob"), await bob.id_of("alice")

        async def linked() -> bool:
            return alice.engine.net.route(bobs) is not None and bob.engine.net.route(alices) is not None

        async def parted() -> bool:
            return alice.engine.net.route(bobs) is None and bob.engine.net.route(alices) is None

        await until(linked)
        await alice.call("forget", contact="bob")
        await until(parted, 5.0)

    run_world(tmp_path, main)


def test_a_chat_that_was_kept_can_be_read_and_not_written_in(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("send", chat="alice", text="keep this", wait="delivered")
        await bob.stop()
        await alice.call("send", chat="bob", text="too late")
        await alice.call("forget", contact="bob")
        await alice.stop()
        alice = await world.start("alice")
        (shown,) = await alice.call("chats")
        assert (shown["name"], shown["state"], shown["unread"], shown["kind"]) == ("bob", "forgotten", 0, "direct")
        said = await alice.call("log", chat="bob")
        assert [(one["text"], one["from"], one["state"]) for one in said] == [
            ("begin", "me", "delivered"),
            ("keep this", "bob", "received"),
            ("too late", "me", "failed"),
        ]
        (hit,) = await alice.call("search", query="keep")
        assert hit["chat_name"] == "bob"
        for method, asked in (("send", {"chat": "bob", "text": "hi"}), ("react", {"id": said[1]["id"], "emoji": "👍"})):
            with pytest.raises(NotNow, match="was forgotten"):
                await alice.call(method, **asked)
        assert "Nothing is sent" in (await alice.call("why", id=said[2]["id"]))["reason"]
        await alice.call("delete", id=said[0]["id"])
        await alice.call("forget", contact="bob", history=True)
        assert await alice.call("chats") == []

    run_world(tmp_path, main)


def test_much_that_was_said_goes_in_pieces_and_is_in_no_list_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "MAX_CLEARED_AT_ONCE", 1)

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        bobs = await alice.id_of("bob")
        for text in ("one", "two", "three"):
            await bob.call("send", chat="alice", text=text, wait="delivered")

        def begin(tx: Transaction) -> tuple[list[object], dict[str, int]]:
            forgetting.forget(tx, tx.partner("bob"), history=True)
            return [*chats._listed(tx.db)], left_of(tx.db, bobs)

        listed, left = await alice.engine.committer.submit(begin)
        assert (listed, left["messages"] > 1, left["chats"]) == ([], True, 1)
        await until(lambda: gone(alice, bobs))
        assert len(events_of(alice, "forgotten")) == 2

    run_world(tmp_path, main)


def test_one_who_was_forgotten_is_somebody_new(tmp_path: Path) -> None:
    """Their node goes on to write in a session that is not there any more; nothing of it does any harm."""

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.call("forget", contact="bob", history=True)
        lost = await bob.call("send", chat="alice", text="are you there?")
        await trio.sleep(6 * 3600)
        assert await names(alice) == {}
        assert await alice.call("requests") == []
        assert (await bob.call("log", chat="alice"))[-1]["state"] == "saved"
        invite = (await alice.call("invite", reusable=True))["invite"]
        await bob.call("add", invite=invite)
        (request,) = await alice.call("requests")
        assert (request["name"], request["known"]) == ("bob", False)
        await alice.call("accept", contact="bob")
        await until(lambda: has(alice, "bob", ["are you there?"]))
        await alice.call("send", chat="bob", text="now I am", wait="delivered", timeout=3600)
        assert lost["id"] == (await alice.call("log", chat="bob"))[0]["id"]

    run_world(tmp_path, main)


def test_what_lies_at_relays_for_one_who_was_forgotten_is_not_asked_for(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        bobs = await alice.id_of("bob")
        for relay in relays:
            relay.stop()
        await alice.call("send", chat="bob", text="never leaves")
        await alice.call("forget", contact="bob", history=True)
        for relay in relays:
            relay.start()
        await bob.call("send", chat="alice", text="by relay", wait="stored", timeout=6 * 3600)
        await trio.sleep(6 * 3600)
        assert not await own_queues(alice)
        assert not await their_queues(alice)
        assert left_of(alice.db, bobs).keys() <= {"handshakes", "envelopes_seen"}
        assert await bob.texts("alice") == []
        assert (await bob.call("log", chat="alice"))[-1]["state"] == "stored"

    run_world(tmp_path, main)


@pytest.mark.parametrize("online", [False, True])
def test_an_emptied_chat_goes_on(tmp_path: Path, online: bool) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await bob.call("send", chat="alice", text="one", wait="delivered")
        await alice.call("send", chat="bob", text="two", wait="delivered")
        if not online:
            await bob.stop()
        await alice.call("send", chat="bob", text="three")
        await alice.call("timer", chat="bob", seconds=86_400)
        await alice.call("draft", chat="bob", text="begun")
        await alice.call("clear", chat="bob")
        assert await alice.call("log", chat="bob") == []
        (shown,) = await alice.call("chats")
        assert (shown["unread"], shown["draft"], shown["last"], shown["timer"]) == (0, "", None, 86_400)
        assert await alice.call("search", query="one") == []
        assert events_of(alice, "cleared") == [{"event": "cleared", "chat": (await alice.id_of("bob")).hex()}]
        if not online:
            bob = await world.start("bob")
        await alice.call("send", chat="bob", text="four", wait="delivered", timeout=3600)
        assert (await bob.texts("alice"))[:2] == ["begin", "two"]
        assert ("three" in await bob.texts("alice")) is online
        assert (await bob.call("timer", chat="alice"))["timer"] == 86_400
        assert await alice.texts("bob", mine=True) == ["four"]

    run_world(tmp_path, main)


def test_who_only_asks_is_declined_not_forgotten(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await bob.call("add", invite=(await alice.call("invite", ask=True))["invite"], name="alice")
        with pytest.raises(NotNow, match="has only asked"):
            await alice.call("forget", contact="bob")
        with pytest.raises(NotNow, match="not a contact"):
            await alice.call("forget", contact="notes")

    run_world(tmp_path, main)
