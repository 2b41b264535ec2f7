"""Chats as a face sees them: what is unread, what contacts are told of reading, drafts, pages, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.content import Content, decode_content
from p2pchat.core.contents import ContactProfile, Receipt, Text
from p2pchat.core.contents.receipt import READ
from p2pchat.core.ids import ChatId
from p2pchat.engine.contacts import contacts
from p2pchat.engine.delivery import outbound, read_receipts
from p2pchat.engine.receiving import inbound
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DatabaseDamaged, NoSuchContact, NoSuchMessage, UsageError
from p2pchat.store import chats as store_chats
from p2pchat.store import contacts as store_contacts
from p2pchat.store.database import Database
from tests.support.asking import events_of, linked
from tests.support.world import World, WorldNode, befriend, run_world, until

FIELDS = (
    "id",
    "name",
    "state",
    "verified",
    "route",
    "hidden",
    "profile_name",
    "note",
    "kind",
    "unread",
    "first_unread",
    "mentions",
    "requests",
    "frozen",
    "last",
    "draft",
    "archived",
    "pinned",
    "muted_until",
    "timer",
)


async def friends(world: World) -> tuple[WorldNode, WorldNode]:
    alice, bob = await world.start("alice"), await world.start("bob")
    await befriend(alice, bob)
    await trio.sleep(60)
    return alice, bob


async def write(node: WorldNode, to: str, *texts: str) -> list[str]:
    """Send, and wait until each is there; the ids."""
    return [(await node.call("send", chat=to, text=text, wait="delivered"))["id"] for text in texts]


async def chat(node: WorldNode, name: str) -> dict[str, Any]:
    return next(one for one in await node.call("chats") if one["name"] == name)


async def unread(node: WorldNode, name: str) -> tuple[int, str | None]:
    shown = await chat(node, name)
    return shown["unread"], shown["first_unread"]


async def states(node: WorldNode, name: str) -> list[str]:
    return [one["state"] for one in await node.call("log", chat=name)]


def test_ones_own_name_is_told_to_contacts(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        assert await alice.call("name") == {"name": "alice"}
        assert await alice.call("name", name=" Alice Liddell ") == {"name": "Alice Liddell"}
        await trio.sleep(60)
        assert [one["name"] for one in await bob.call("contacts")] == ["Alice Liddell"]
        for bad in ("", "me", "\u202e"):
            with pytest.raises(UsageError):
                await alice.call("name", name=bad)
        assert await alice.call("name") == {"name": "Alice Liddell"}

    run_world(tmp_path, main)


def test_white_space_alone_is_not_sent(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        for nothing in ("", " ", "\n\t\u2003"):
            with pytest.raises(UsageError, match="nothing to send"):
                await alice.call("send", chat="bob", text=nothing)
        assert await alice.call("log", chat="bob") == []

    run_world(tmp_path, main)


def overhear(node: WorldNode, monkeypatch: pytest.MonkeyPatch) -> list[Content]:
    """The contents that this node receives from now on."""
    found: list[Content] = []

    def decode(data: bytes) -> Content:
        content = decode_content(data)
        found.append(content)
        return content

    monkeypatch.setattr(inbound, "decode_content", decode)
    return found


def read_receipts_in(found: list[Content]) -> list[list[str]]:
    """The ids in each receipt that says read."""
    receipts = [one.payload for one in found if isinstance(one.payload, Receipt)]
    return [[id.hex() for id in receipt.ids] for receipt in receipts if receipt.event == READ]


# --- the list ------------------------------------------------------------------------------------------


def test_the_list_of_chats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_db: Database) -> list[ChatId]:
        raise DatabaseDamaged()

    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        assert [one["name"] for one in await alice.call("chats")] == ["carol", "bob"]
        await trio.sleep(1)
        first, _ = await write(bob, "alice", "one", "two")
        shown = await alice.call("chats")
        assert [one["name"] for one in shown] == ["bob", "carol"]
        assert [await alice.call("chats", limit=limit) for limit in (1, 2)] == [shown[:1], shown]
        assert shown[0].keys() == {*FIELDS}
        assert (shown[0]["unread"], shown[0]["first_unread"], shown[0]["state"]) == (2, first, "contact")
        assert shown[0]["last"] == (await alice.call("log", chat="bob"))[-1]
        assert (shown[1]["unread"], shown[1]["first_unread"], shown[1]["last"]) == (0, None, None)
        await trio.sleep(1)
        await write(alice, "carol", "hello")
        assert [one["name"] for one in await alice.call("chats")] == ["carol", "bob"]
        monkeypatch.setattr(store_chats, "in_order", damaged)
        assert [one["name"] for one in await alice.call("chats", limit=1)] == ["carol"]

    run_world(tmp_path, main)


def test_who_asks_has_no_chat_and_who_is_asked_has(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await bob.call("add", invite=(await alice.call("invite", ask=True))["invite"], name="alice")
        assert await alice.call("chats") == []
        assert [(one["name"], one["state"]) for one in await bob.call("chats")] == [("alice", "waiting")]

    run_world(tmp_path, main)


def test_a_chat_is_archived_and_muted_for_faces_alone(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        assert (await alice.call("archive", chat="bob"))["archived"] is True
        assert (await alice.call("mute", chat="bob", seconds=3600))["muted_until"].endswith("Z")
        await write(bob, "alice", "hello")
        shown = await chat(alice, "bob")
        assert (shown["archived"], shown["unread"], shown["muted_until"] is None) == (True, 1, False)
        assert [(one["archived"], one["muted_until"] is None) for one in events_of(alice, "chat")[:2]] == [
            (True, True),
            (True, False),
        ]
        await trio.sleep(3600)
        assert (await chat(alice, "bob"))["muted_until"] is None
        assert (await alice.call("mute", chat="bob"))["muted_until"] == "9999-12-31T23:59:59.999Z"
        assert (await alice.call("mute", chat="bob", seconds=0))["muted_until"] is None
        assert (await alice.call("archive", chat="bob", archived=False))["archived"] is False
        assert {one["archived"] for one in await bob.call("chats")} == {False}

    run_world(tmp_path, main)


# --- reading -------------------------------------------------------------------------------------------


def test_the_sender_sees_what_was_read(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        sent = await write(alice, "bob", "one", "two", "three")
        assert await unread(bob, "alice") == (3, sent[0])
        assert await bob.call("read", chat="alice", upto=sent[1]) == {"unread": 1, "first_unread": sent[2]}
        await trio.sleep(1)
        assert await states(alice, "bob") == ["read", "read", "delivered"]
        assert await states(bob, "alice") == ["received"] * 3
        assert [(one["id"], one["state"]) for one in events_of(alice, "state")][-2:] == [
            (sent[0], "read"),
            (sent[1], "read"),
        ]
        assert await bob.call("read", chat="alice") == {"unread": 0, "first_unread": None}
        await trio.sleep(1)
        assert await states(alice, "bob") == ["read"] * 3

    run_world(tmp_path, main)


def test_one_can_wait_until_it_is_read(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)

        async def there() -> bool:
            return (await unread(bob, "alice"))[0] > 0

        async def read_soon() -> None:
            await until(there)
            await bob.call("read", chat="alice")

        world.soon(read_soon)
        assert (await alice.call("send", chat="bob", text="hi", wait="read"))["state"] == "read"

    run_world(tmp_path, main)


def test_what_was_read_without_a_link_is_told_later(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await write(alice, "bob", "one")
        await alice.stop()
        await bob.call("read", chat="alice")
        await bob.crash()
        alice, bob = await world.start("alice"), await world.start("bob")

        async def told() -> bool:
            return await states(alice, "bob") == ["read"]

        await until(told)
        assert await unread(bob, "alice") == (0, None)

    run_world(tmp_path, main)


def test_receipts_are_grouped_and_each_is_sent_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        sent = await write(alice, "bob", *map(str, range(70)))
        heard = overhear(alice, monkeypatch)
        async with trio.open_nursery() as calls:  # in one transaction
            for one in (sent[2], sent[0], sent[69]):
                calls.start_soon(lambda one=one: bob.call("read", chat="alice", upto=one))
        await bob.call("read", chat="alice")
        await trio.sleep(60)
        found = read_receipts_in(heard)
        assert [len(ids) for ids in found] == [64, 6]
        assert [*found[0], *found[1]] == sent

    run_world(tmp_path, main)


def test_one_that_comes_late_is_unread_and_is_receipted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await write(alice, "bob", "one")

        def skip(tx: Transaction) -> None:  # as if a slower way carried number 2
            contact = tx.find("bob")
            outbound.queue(tx, contact, Text("three"), seq=3)

        def late(tx: Transaction) -> None:
            contact = tx.find("bob")
            outbound.queue(tx, contact, Text("two"), seq=2)

        await alice.engine.committer.submit(skip)
        await trio.sleep(1)
        await bob.call("read", chat="alice")
        heard = overhear(alice, monkeypatch)
        await trio.sleep(1)
        heard.clear()
        await alice.engine.committer.submit(late)
        await trio.sleep(1)
        assert await bob.texts("alice") == ["one", "two", "three"]
        two = (await bob.call("log", chat="alice"))[1]["id"]
        assert await unread(bob, "alice") == (1, two)
        await bob.call("read", chat="alice", upto=(await bob.call("log", chat="alice"))[2]["id"])
        await trio.sleep(1)
        assert read_receipts_in(heard) == [[two]]

    run_world(tmp_path, main)


def test_nobody_is_told_while_it_is_off_nor_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        assert await bob.call("settings", read_receipts=False) == {
            "keep_receiving": None,
            "read_receipts": False,
            "typing": True,
            "lan": "off",
            "port_mapping": False,
            "fetch_up_to": 25,
            "pictures": "verified",
        }
        await write(alice, "bob", "one")
        heard = overhear(alice, monkeypatch)
        assert await bob.call("read", chat="alice") == {"unread": 0, "first_unread": None}
        await trio.sleep(3600)
        assert await states(alice, "bob") == ["delivered"]
        await bob.call("settings", read_receipts=True)
        await bob.call("read", chat="alice")
        await trio.sleep(3600)
        assert read_receipts_in(heard) == []
        await write(alice, "bob", "two")
        await bob.call("read", chat="alice")
        await trio.sleep(1)
        assert await states(alice, "bob") == ["delivered", "read"]

    run_world(tmp_path, main)


def test_a_blocked_contact_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await write(alice, "bob", "one")
        await bob.call("block", contact="alice")
        assert await unread(bob, "alice") == (1, (await bob.call("log", chat="alice"))[0]["id"])
        await bob.call("read", chat="alice")
        assert await bob.engine.committer.read(_waiting) == 0
        await trio.sleep(3600)
        assert await states(alice, "bob") == ["delivered"]

    run_world(tmp_path, main)


def test_a_block_in_the_same_turn_comes_first(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await write(alice, "bob", "one")

        def read_and_block(tx: Transaction) -> None:
            read_receipts.read(tx, tx.find("alice"), None)
            contacts.block(tx, tx.find("alice"))

        await bob.engine.committer.submit(read_and_block)
        assert await bob.engine.committer.read(_waiting) == 0

    run_world(tmp_path, main)


def _waiting(db: Database) -> int:
    return int(db.query("SELECT count(*) FROM outbox")[0][0])


def test_reading_up_to_something_that_is_not_in_the_chat(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")
        await befriend(alice, carol)
        await write(bob, "alice", "one")
        other = (await write(carol, "alice", "two"))[0]
        for wrong in (other, "00" * 16, "nonsense"):
            with pytest.raises(NoSuchMessage):
                await alice.call("read", chat="bob", upto=wrong)
        with pytest.raises(NoSuchContact):
            await alice.call("read", chat="nobody")
        assert (await unread(alice, "bob"))[0] == 1
        assert (await unread(alice, "carol"))[0] == 1

    run_world(tmp_path, main)


def test_events_of_what_is_unread(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        bob_id = (await alice.id_of("bob")).hex()
        sent = await write(bob, "alice", "one", "two", "three")
        await write(alice, "bob", "my own is not unread")
        told = [(one["id"], one["unread"], one["first_unread"]) for one in events_of(alice, "chat")]
        assert told == [(bob_id, number, sent[0]) for number in (1, 2, 3)]
        await alice.call("delete", id=sent[0])
        await alice.call("read", chat="bob", upto=sent[1])
        await alice.call("read", chat="bob", upto=sent[1])  # nothing new
        await alice.call("read", chat="bob")
        await alice.call("delete", id=sent[1])  # was read
        left = [(one["unread"], one["first_unread"]) for one in events_of(alice, "chat")][3:]
        assert left == [(2, sent[1]), (1, sent[2]), (0, None)]
        assert [one["state"] for one in events_of(alice, "state") if one["id"] == sent[0]] == ["deleted"]

    run_world(tmp_path, main)


def test_a_turn_tells_once_of_all_that_came_in_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        await alice.stop()
        for number in range(50):
            await bob.call("send", chat="alice", text=str(number))
        alice = await world.start("alice")

        async def all_there() -> bool:
            return (await unread(alice, "bob"))[0] == 50

        await until(all_there)
        told = events_of(alice, "chat")
        assert len(told) < 50
        assert told[-1]["unread"] == 50

    run_world(tmp_path, main)


# --- drafts, pages ---------------------------------------------------------------------------------------


def test_drafts_outlive_the_node(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await friends(world)
        assert await alice.call("draft", chat="bob", text="one\ntwo") == {}
        await alice.crash()
        alice = await world.start("alice")
        assert (await chat(alice, "bob"))["draft"] == "one\ntwo"
        await trio.sleep(1)  # the link is there, and nothing else is written any more
        await alice.call("draft", chat="bob", text="")
        assert (await chat(alice, "bob"))["draft"] == ""
        log = alice.folder / "p2pchat.db-wal"
        assert log.read_bytes() == b""
        with pytest.raises(UsageError):
            await alice.call("draft", chat="bob", text="\ud800")
        with pytest.raises(NoSuchContact):
            await alice.call("draft", chat="nobody", text="x")
        assert (await alice.call("log", chat="bob")) == []
        assert events_of(alice, "message") == events_of(alice, "chat") == []

    run_world(tmp_path, main)


def test_pages_of_a_log(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        ids = await write(bob, "alice", *map(str, range(8)))

        async def page(**how: Any) -> str:
            return "".join(one["text"] for one in await alice.call("log", chat="bob", **how))

        assert await page(before=ids[3], limit=2) == "12"
        assert await page(after=ids[3], limit=2) == "45"
        assert await page(after=ids[7]) == ""
        assert await page(around=ids[3], limit=4) == "1234"
        assert await page(around=ids[7], limit=3) == "567"
        with pytest.raises(UsageError):
            await page(before=ids[0], after=ids[1])
        with pytest.raises(UsageError):
            await page(search="1", around=ids[1])
        carol = await world.start("carol")
        await befriend(alice, carol)
        (other,) = await write(carol, "alice", "x")
        for how in ("before", "after", "around"):
            with pytest.raises(NoSuchMessage):
                await page(**{how: other})

    run_world(tmp_path, main)


# --- settings ------------------------------------------------------------------------------------------


def test_the_settings_of_files_are_kept(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        await alice.call("settings", fetch_up_to=0, pictures="off")
        with pytest.raises(UsageError, match="No file has more than"):
            await alice.call("settings", fetch_up_to=65_537, pictures="contacts")
        await alice.crash()
        alice = await world.start("alice")
        now = await alice.call("settings")
        assert (now["fetch_up_to"], now["pictures"]) == (0, "off")

    run_world(tmp_path, main)


def test_settings_are_kept(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice = await world.start("alice")
        assert await alice.call("settings") == {
            "keep_receiving": None,
            "read_receipts": True,
            "typing": True,
            "lan": "off",
            "port_mapping": False,
            "fetch_up_to": 25,
            "pictures": "verified",
        }
        assert alice.engine.keep_receiving is None
        assert await alice.call("settings", keep_receiving=True) == {
            "keep_receiving": True,
            "read_receipts": True,
            "typing": True,
            "lan": "off",
            "port_mapping": False,
            "fetch_up_to": 25,
            "pictures": "verified",
        }
        assert alice.engine.keep_receiving is True
        await alice.crash()
        alice = await world.start("alice")
        assert alice.engine.keep_receiving is True
        assert await alice.call("settings", keep_receiving=False) == {
            "keep_receiving": False,
            "read_receipts": True,
            "typing": True,
            "lan": "off",
            "port_mapping": False,
            "fetch_up_to": 25,
            "pictures": "verified",
        }
        assert alice.engine.keep_receiving is False

    run_world(tmp_path, main)


def test_contacts_are_told_whether_they_will_see_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await friends(world)
        carol = await world.start("carol")

        async def told(node: WorldNode, name: str) -> bool:
            return (await node.engine.committer.read(store_contacts.find, name)).read_receipts

        assert await told(alice, "bob")
        await bob.call("settings", read_receipts=False)
        await trio.sleep(1)
        assert not await told(alice, "bob")
        await befriend(bob, carol)  # a new contact hears it with the first words
        await befriend(alice, carol)
        await trio.sleep(1)
        assert not await told(carol, "bob")
        heard = overhear(alice, monkeypatch)
        await bob.call("settings", read_receipts=False)
        await trio.sleep(60)
        assert [one for one in heard if isinstance(one.payload, ContactProfile)] == []
        await bob.call("settings", read_receipts=True)
        await trio.sleep(1)
        assert await told(alice, "bob")
        assert await bob.engine.committer.read(settings.read_receipts)

    run_world(tmp_path, main)


def test_who_was_asked_meanwhile_hears_the_newest(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await bob.call("add", invite=(await alice.call("invite", ask=True))["invite"], name="alice")
        await trio.sleep(1)  # which of two was said later, their times say
        await bob.call("settings", read_receipts=False)
        await alice.call("accept", contact="bob")

        async def told() -> bool:
            return not (await alice.engine.committer.read(store_contacts.find, "bob")).read_receipts

        await until(lambda: linked(alice, "bob"))
        await until(told, 60)

    run_world(tmp_path, main)
