"""Authors of a group's messages count who has read them, as far as readers tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupSeen, Payload
from p2pchat.core.ids import GroupId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import receipts
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from tests.support.asking import events_of
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


async def claim(author: WorldNode, *ranges: tuple[int, int], group: bytes | None = None) -> None:
    """bob says to an author that he has read these numbers of theirs."""

    def take(tx: Transaction) -> None:
        (chat,) = store_groups.chats(tx.db)
        row = store_groups.get(tx.db, chat)
        assert row is not None
        for first, last in ranges:
            receipts.seen(tx, tx.find("bob"), GroupSeen(row.group_id if group is None else GroupId(group), first, last))

    await author.engine.committer.submit(take)


def shown_as_seen(node: WorldNode) -> list[tuple[str, int]]:
    """The messages of which faces were told since the last time that one more has read them, each with how many."""
    told = [(one["text"], one["seen"]) for one in events_of(node, "changed") if one["what"] == "seen"]
    node.heard.clear()
    return told


def test_faces_hear_once_of_each_message_that_one_more_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        for text in ("one", "two", "three", "four"):
            await alice.call("send", chat=CHAT, text=text)
        shown_as_seen(alice)
        await claim(alice, (1, 1), group=bytes(32))  # of a group that is not here
        await claim(alice, (5, 9))
        assert shown_as_seen(alice) == [], "of numbers that were not written"
        await claim(alice, (2, 2), (2, 2))
        assert shown_as_seen(alice) == [("two", 1)]
        await claim(alice, (1, 3), (3, 3))
        assert shown_as_seen(alice) == [("three", 1)], "what is below was told before, or is not told"
        await alice.call("send", chat=CHAT, text="five")
        await claim(alice, (5, 5))
        assert shown_as_seen(alice) == [("five", 1)], "and no earlier one that he did not say"
        monkeypatch.setattr(receipts, "MAX_SHOWN", 2)
        for text in ("six", "seven", "eight"):
            await alice.call("send", chat=CHAT, text=text)
        await claim(alice, (5, 8))
        assert sorted(shown_as_seen(alice)) == [("eight", 1), ("seven", 1)]

    run_world(tmp_path, main)


def test_each_author_is_told_what_is_new_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = sent(monkeypatch)

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("group_receipts", chat=CHAT)

        async def is_told(*names: str) -> None:
            async def check() -> bool:
                return told == list(names)

            await until(check)

        for node, texts, names in (
            (bob, ["one"], ["bob"]),
            (carol, ["one", "two"], ["bob", "carol"]),
            (bob, ["one", "two", "three"], ["bob", "carol", "bob"]),
        ):
            await node.call("send", chat=CHAT, text=texts[-1])
            await reads(alice, CHAT, *texts)
            await alice.call("read", chat=CHAT)
            await is_told(*names)

    run_world(tmp_path, main)


def test_what_was_read_before_it_was_switched_on_again_is_not_told(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        for text, wanted in (("one", True), ("two", False), ("three", True)):
            bob.heard.clear()
            await bob.call("group_receipts", chat=CHAT, wanted=wanted)
            assert events_of(bob, "group")
            bob.heard.clear()
            await bob.call("group_receipts", chat=CHAT, wanted=wanted)
            assert not events_of(bob, "group"), "nothing has changed"
            await alice.call("send", chat=CHAT, text=text)
            await reads(bob, CHAT, *("one", "two", "three")[: ("one", "two", "three").index(text) + 1])
            await bob.call("read", chat=CHAT)
        await sees(alice, ("one", None), ("two", None), ("three", 1))

    run_world(tmp_path, main)


def test_nobody_is_told_who_is_blocked_or_after_one_has_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = sent(monkeypatch)

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        for author, reader, act in ((bob, alice, "block"), (alice, bob, "leave_group")):
            await reader.call("group_receipts", chat=CHAT)
            await author.call("send", chat=CHAT, text="read me")
            await reads(reader, CHAT, "read me")
            await reader.call("read", chat=CHAT)
            await reader.call(act, **({"contact": "bob"} if act == "block" else {"chat": CHAT}))
            await reader.engine.committer.submit(receipts.tell_all)
            assert told == []
            if act == "block":
                await reader.call("unblock", contact="bob")

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
