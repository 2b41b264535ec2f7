"""Authors of a group's messages count who has read them, as far as readers tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupSeen, Payload
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import receipts
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from tests.support.group_worlds import found, has_members, reads
from tests.support.world import World, WorldNode, run_world, until

CHAT = "hikers"


async def seen(node: WorldNode) -> list[tuple[str, int | None]]:
    """A node's own texts, each with how many have read it."""
    log = await node.call("log", chat=CHAT, limit=1000)
    return [(one["text"], one["seen"]) for one in log if one["mine"] and one["kind"] == "text"]


async def sees(node: WorldNode, *wanted: tuple[str, int | None]) -> None:
    async def there() -> bool:
        return await seen(node) == list(wanted)

    await until(there)


def sent(patch: pytest.MonkeyPatch) -> list[str]:
    """To whom a member tells what they have read, from now on."""
    names, queue = list[str](), outbound.queue

    def record(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
        if isinstance(payload, GroupSeen):
            names.append(contact.name)
        queue(tx, contact, payload, **more)

    patch.setattr(outbound, "queue", record)
    return names


def test_an_author_counts_those_who_tell_and_nobody_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = sent(monkeypatch)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("send", chat=CHAT, text="one")
        for node in (bob, carol):
            await reads(node, CHAT, "one")
            await node.call("read", chat=CHAT)
        await trio.sleep(300)
        assert told == [], "it is off at first"
        for node in (bob, carol):
            assert not (await node.call("group", chat=CHAT))["receipts"]
            assert (await node.call("group_receipts", chat=CHAT))["receipts"]
        await alice.call("send", chat=CHAT, text="two")
        await bob.call("send", chat=CHAT, text="from bob")
        await reads(bob, CHAT, "one", "two")
        await bob.call("read", chat=CHAT)
        await sees(alice, ("one", None), ("two", 1))
        await reads(carol, CHAT, "one", "two", "from bob")
        await carol.call("read", chat=CHAT)
        await sees(alice, ("one", None), ("two", 2))
        assert set(told) == {"alice"}, "carol does not know bob"
        assert await seen(bob) == [("from bob", None)]
        (two,) = [one for one in await alice.call("log", chat=CHAT) if one["text"] == "two"]
        assert "2 members say that they have read it." in (await alice.call("why", id=two["id"]))["reason"]
        await bob.call("group_receipts", chat=CHAT, wanted=False)
        await alice.call("send", chat=CHAT, text="three")
        for node in (bob, carol):
            await reads(node, CHAT, "one", "two", "three", *(["from bob"] if node is carol else []))
            await node.call("read", chat=CHAT)
        await sees(alice, ("one", None), ("two", 2), ("three", 1))

    run_world(tmp_path, main)


def test_who_is_known_for_the_group_alone_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = sent(monkeypatch)

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        carol = await world.start("carol")
        await carol.call("add", invite=(await alice.call("group_invite", chat=CHAT))["text"])
        await has_members(carol, CHAT, 3)
        for node in (bob, carol):
            await node.call("group_receipts", chat=CHAT)
        await alice.call("send", chat=CHAT, text="one")
        await reads(carol, CHAT, "one")
        await carol.call("read", chat=CHAT)
        await trio.sleep(300)
        assert told == [], "alice is no contact of hers"
        await reads(bob, CHAT, "one")
        await bob.call("read", chat=CHAT)
        await sees(alice, ("one", 1))

    run_world(tmp_path, main)


def test_who_is_gone_is_told_nothing_though_a_contact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = sent(monkeypatch)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("group_receipts", chat=CHAT)
        for node, text in ((bob, "one"), (carol, "two")):
            await node.call("send", chat=CHAT, text=text)
        await reads(alice, CHAT, "one", "two")
        await alice.call("remove_member", chat=CHAT, member="carol")
        await alice.call("read", chat=CHAT)
        await trio.sleep(300)
        assert told == ["bob"]

    run_world(tmp_path, main)


def test_many_messages_that_are_read_one_by_one_are_told_at_once_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = sent(monkeypatch)

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await bob.call("group_receipts", chat=CHAT)
        texts = [str(number) for number in range(20)]
        for number, text in enumerate(texts):
            await alice.call("send", chat=CHAT, text=text)
            await reads(bob, CHAT, *texts[: number + 1])
            await bob.call("read", chat=CHAT)
        await bob.stop()
        await world.start("bob")
        await sees(alice, *((text, 1) for text in texts))
        assert len(told) <= 2

    run_world(tmp_path, main)


def test_a_member_counts_once_and_for_nothing_that_was_not_written(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        for text in ("one", "two"):
            await alice.call("send", chat=CHAT, text=text)
        await reads(bob, CHAT, "one", "two")

        def lie(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            for first, last in ((2, 2**53), (2, 2**53), (1, 1)):
                receipts.seen(tx, tx.find("bob"), GroupSeen(row.group_id, first, last))

        await alice.engine.committer.submit(lie)
        assert await seen(alice) == [("one", None), ("two", 1)]
        await alice.call("send", chat=CHAT, text="three")
        assert await seen(alice) == [("one", None), ("two", 1), ("three", None)]
        await bob.call("leave_group", chat=CHAT)

    run_world(tmp_path, main)


def test_what_could_not_be_told_for_a_full_disk_is_told_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        await bob.call("group_receipts", chat=CHAT)
        await alice.call("send", chat=CHAT, text="one")
        await reads(bob, CHAT, "one")
        told, tell = list[Transaction](), receipts.tell_all

        def full(tx: Transaction) -> None:
            tell(tx)
            if tx.db is bob.db:
                told.append(tx)
                raise DiskFull

        with monkeypatch.context() as patched:
            patched.setattr(receipts, "tell_all", full)
            await bob.call("read", chat=CHAT)

            async def was_due() -> bool:
                return bool(told)

            await until(was_due)
        await sees(alice, ("one", 1))

    run_world(tmp_path, main)
