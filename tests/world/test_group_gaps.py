"""Messages of a group that somebody has not got: noticed, asked for, and given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import GroupItem, GroupWant, Payload
from p2pchat.core.contents.group_want import MessagePlace
from p2pchat.core.groups.chains import COPY_JUMP, Chain
from p2pchat.core.groups.messages import SeenMessage
from p2pchat.core.ids import ChatId, MemberId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import gaps, log_carrier, pairwise, transcript
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.epochs import EpochRow
from tests.support.group_worlds import has_members, reads, said
from tests.support.world import World, WorldNode, befriend, run_world, until
from tests.world.test_group_logs import found as found_town

CHAT = "hikers"
ASKED = "Members who are your contacts are asked for it."
ASKED_FOR_THEM = "Members who are your contacts are asked for them."
NOBODY = "nobody who was asked has them"
ALL_OF_BOB = "All messages of bob that were missing have arrived."


@contextmanager
def kept_from(patch: pytest.MonkeyPatch, *names: str) -> Iterator[None]:
    """Nothing that is said in the group reaches those whom the others call so."""
    queue = outbound.queue

    def drop(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
        if not (isinstance(payload, GroupItem) and contact.name in names):
            queue(tx, contact, payload, **more)

    with patch.context() as patched:
        patched.setattr(outbound, "queue", drop)
        yield


@contextmanager
def counted(patch: pytest.MonkeyPatch) -> Iterator[list[GroupWant]]:
    """What is asked for meanwhile, by anybody."""
    asked, queue = list[GroupWant](), outbound.queue

    def count(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
        if isinstance(payload, GroupWant):
            asked.append(payload)
        queue(tx, contact, payload, **more)

    with patch.context() as patched:
        patched.setattr(outbound, "queue", count)
        yield asked


async def three(world: World) -> list[WorldNode]:
    """alice has founded a group of bob and carol. All know each other, and have found out who is who."""
    alice, bob, carol = people = [await world.start(name) for name in ("alice", "bob", "carol")]
    for one, other in ((alice, bob), (alice, carol), (bob, carol)):
        await befriend(one, other)
    await alice.call("create_group", name=CHAT, contacts=["bob", "carol"])
    for node in people:
        await has_members(node, CHAT, 3)

        async def knows_all(node: WorldNode = node) -> bool:
            members = (await node.call("group_members", chat=CHAT))["members"]
            return all(one["me"] or one["contact"] for one in members)

        await until(knows_all)
    return people


async def lines(node: WorldNode) -> list[str]:
    """The lines about what is missing."""
    log = await node.call("log", chat=CHAT, limit=1000)
    return [one["text"] for one in log if one["kind"] == "group" and " message" in one["text"]]


async def shows(node: WorldNode, *wanted: str) -> None:
    async def there() -> bool:
        return await lines(node) == list(wanted)

    await until(there)


def in_group(node: WorldNode, do: Callable[[Transaction, ChatId, EpochRow], None]) -> Callable[[Transaction], None]:
    """A transaction that gets the chat of the node's group, and the epoch that it sends under."""

    def act(tx: Transaction) -> None:
        (chat,) = store_groups.chats(tx.db)
        row = store_groups.get(tx.db, chat)
        assert row is not None
        assert row.epoch is not None
        epoch = store_epochs.get(tx.db, chat, row.epoch)
        assert epoch is not None
        do(tx, chat, epoch)

    return act


def member_called(tx: Transaction, chat: ChatId, name: str) -> MemberId:
    return next(
        one.id for one in store_members.all(tx.db, chat) if store_members.shown_name(tx.db, chat, one.id) == name
    )


def test_what_is_missing_before_a_message_is_asked_for_and_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        with kept_from(monkeypatch, "carol"):
            for text in ("one", "two"):
                await bob.call("send", chat=CHAT, text=text)
            await reads(alice, CHAT, "one", "two")
        await bob.call("send", chat=CHAT, text="three")
        await reads(carol, CHAT, "three")
        await bob.stop()  # so alice has to give them to her
        with counted(monkeypatch) as asked:
            await reads(carol, CHAT, "one", "two", "three")
        assert {len(want.places) for want in asked} == {2}
        assert await said(carol, CHAT) == ["one", "two", "three"]
        assert await lines(carol) == [], "they came before a person would have been told"
        assert carol.db.query("SELECT 1 FROM group_gaps") == []

    run_world(tmp_path, main)


def test_a_message_that_only_a_member_names_is_missed_shown_and_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        with kept_from(monkeypatch, "carol"):
            await bob.call("send", chat=CHAT, text="only alice reads this")
            await reads(alice, CHAT, "only alice reads this")
        await bob.stop()
        await alice.call("send", chat=CHAT, text="I read that")
        await reads(carol, CHAT, "I read that")
        with kept_from(monkeypatch, "carol"):
            await shows(carol, f"1 message of bob, which alice has seen, has not arrived. {ASKED}")
        await reads(carol, CHAT, "I read that", "only alice reads this")
        await shows(carol, ALL_OF_BOB)

    run_world(tmp_path, main)


def test_what_does_not_exist_is_asked_for_a_few_times_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """carol names messages of bob that he never wrote, more than a member may have others ask for."""

    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        newest, number = transcript.newest, 0

        def invent(tx: Transaction, epoch: EpochRow) -> tuple[SeenMessage, ...]:
            nonlocal number
            if tx.db is not carol.db:
                return newest(tx, epoch)
            number += 4
            bob_there = member_called(tx, epoch.chat, "bob")
            return tuple(SeenMessage(0, bob_there, number + place, bytes(8)) for place in range(4))

        with counted(monkeypatch) as asked, monkeypatch.context() as patched:
            patched.setattr(transcript, "newest", invent)
            for text in ("one", "two", "three", "four"):
                await carol.call("send", chat=CHAT, text=text)
            await reads(alice, CHAT, "one", "two", "three", "four")
            await shows(
                alice, f"{gaps.MAX_NAMED} messages of bob, which carol has seen, have not arrived. {ASKED_FOR_THEM}"
            )
            await trio.sleep(3 * 3600)
            await world.sleep_days(1)
            lost = f"{gaps.MAX_NAMED} messages of bob, which carol has seen, did not arrive, and {NOBODY}."
            await shows(alice, lost)
            questions = len(asked)
            assert 2 <= questions <= 16, "of two members"
            await carol.call("send", chat=CHAT, text="five")
            await reads(alice, CHAT, "one", "two", "three", "four", "five")
            await world.sleep_days(1)
            assert len(asked) == questions
            await shows(alice, lost)
        assert alice.db.query("SELECT count(*) FROM group_gaps") == [(gaps.MAX_NAMED,)]
        await bob.call("send", chat=CHAT, text="a true one")
        await reads(alice, CHAT, "one", "two", "three", "four", "five", "a true one")

    run_world(tmp_path, main)


def test_what_was_given_up_may_still_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        with kept_from(monkeypatch, "carol"):
            await bob.call("send", chat=CHAT, text="late")
            await reads(alice, CHAT, "late")
        await bob.call("send", chat=CHAT, text="later")
        await reads(carol, CHAT, "later")
        with kept_from(monkeypatch, "carol"):
            await trio.sleep(3 * 3600)
            await world.sleep_days(1)
            await shows(carol, "1 message of bob did not arrive, and nobody who was asked has it.")

        def give(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
            row = store_groups.get(tx.db, chat)
            assert row is not None
            ((number,),) = carol.db.query("SELECT number FROM group_gaps")
            place = MessagePlace(epoch.id, member_called(tx, chat, "bob"), number)
            gaps.wanted(tx, tx.find("carol"), GroupWant(row.group_id, (place,)))

        await alice.engine.committer.submit(in_group(alice, give))
        await reads(carol, CHAT, "late", "later")
        await shows(carol, ALL_OF_BOB)
        assert carol.db.query("SELECT 1 FROM group_gaps") == []

    run_world(tmp_path, main)


def test_only_members_are_given_what_they_ask_for_and_only_so_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await three(world)
        dave = await world.start("dave")
        await befriend(alice, dave)
        await bob.call("send", chat=CHAT, text="x" * 3_000)
        await reads(alice, CHAT, "x" * 3_000)
        sent, queue = list[str](), outbound.queue

        def record(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
            if isinstance(payload, GroupItem):
                sent.append(contact.name)
            queue(tx, contact, payload, **more)

        def ask(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
            row = store_groups.get(tx.db, chat)
            assert row is not None
            bob_there = member_called(tx, chat, "bob")
            sql = "SELECT max(number) FROM group_transcript WHERE member = ?"
            ((number,),) = tx.db.query(sql, (bob_there,))
            place = MessagePlace(epoch.id, bob_there, number)
            other = place._replace(number=number + 1)
            for name, places in (
                ("dave", (place,)),
                ("carol", (place,) * 20),
                ("carol", (other,)),
                ("carol", (place,)),
            ):
                gaps.wanted(tx, tx.find(name), GroupWant(row.group_id, places))

        monkeypatch.setattr(outbound, "queue", record)
        await alice.engine.committer.submit(in_group(alice, ask))
        assert sent == ["carol", "carol"]
        monkeypatch.setattr(gaps, "MAX_ANSWERED_BYTES", 9_000)
        await alice.engine.committer.submit(in_group(alice, ask))
        assert sent == ["carol", "carol"], "this hour she had two of them"
        await trio.sleep(3600)
        await alice.engine.committer.submit(in_group(alice, ask))
        assert sent == ["carol"] * 4
        await alice.call("remove_member", chat=CHAT, member="carol")
        del sent[:]
        await trio.sleep(3600)
        await alice.engine.committer.submit(in_group(alice, ask))
        assert sent == []

    run_world(tmp_path, main)


def test_what_is_answered_is_counted_as_it_is_sent_and_tells_nobody_who_our_contacts_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of short messages the items are most of what is sent. dave is no contact of alice, the others are."""

    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        dave = await world.start("dave")
        await befriend(bob, dave)
        await alice.call("set_role", chat=CHAT, member="bob", role="admin")

        async def is_admin() -> bool:
            return bool((await bob.call("group", chat=CHAT))["role"] == "admin")

        await until(is_admin)
        await bob.call("add_members", chat=CHAT, contacts=["dave"])
        for node in (alice, carol, dave):
            await has_members(node, CHAT, 4)
        for number in range(12):
            await bob.call("send", chat=CHAT, text=f"{number}")
        await reads(alice, CHAT, *map(str, range(12)))
        answers, queue = list[GroupItem](), outbound.queue

        def record(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
            if isinstance(payload, GroupItem):
                answers.append(payload)
            queue(tx, contact, payload, **more)

        def ask(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
            row = store_groups.get(tx.db, chat)
            assert row is not None
            bob_there = member_called(tx, chat, "bob")
            sql = "SELECT number FROM group_transcript WHERE member = ? AND epoch = ? ORDER BY number"
            places = [MessagePlace(epoch.id, bob_there, n) for (n,) in tx.db.query(sql, (bob_there, epoch.pk))]
            gaps.wanted(tx, tx.find("carol"), GroupWant(row.group_id, tuple(places)))
            members = tuple(member.id for member in store_members.all(tx.db, chat))
            assert {answer.known for answer in answers} == {members}

        monkeypatch.setattr(outbound, "queue", record)
        monkeypatch.setattr(gaps, "MAX_ANSWERED_BYTES", 8 * 1024)
        await alice.engine.committer.submit(in_group(alice, ask))
        assert len(answers) == 8

    run_world(tmp_path, main)


def test_more_messages_than_are_asked_for_one_by_one_are_counted(tmp_path: Path) -> None:
    """As many as a node leaves out that was started from a copy, without those that it had sent after that was made: it
    is said that this may be why.
    """
    left = COPY_JUMP - 1

    async def main(world: World) -> None:
        alice, bob, _ = await three(world)
        copy = bob.copy()
        await bob.call("send", chat=CHAT, text="before")
        await reads(alice, CHAT, "before")
        await bob.stop()
        world.put_back(copy)
        bob = await world.start("bob")
        await bob.call("send", chat=CHAT, text="after")
        await reads(alice, CHAT, "before", "after")
        assert alice.db.query("SELECT count(*), sum(messages) FROM group_gaps") == [(gaps.MAX_OF_AUTHOR, left)]
        copied = "unless bob's node was started from a copy and left them out"
        await shows(alice, f"{left} messages of bob have not arrived, {copied}. {ASKED_FOR_THEM}")
        await trio.sleep(3 * 3600)
        await world.sleep_days(1)
        await shows(alice, f"{left} messages of bob did not arrive, and {NOBODY}, {copied}.")

    run_world(tmp_path, main)


def test_who_tells_members_different_things_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        kept = list[tuple[int, MemberId, Chain]]()

        def keep(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
            row = store_groups.get(tx.db, chat)
            assert row is not None
            chain = store_epochs.chain(tx.db, epoch.pk, row.member)
            assert chain is not None
            kept.append((epoch.pk, row.member, chain))

        def use_again(tx: Transaction) -> None:
            store_epochs.put_chain(tx.db, *kept[0])

        await bob.engine.committer.submit(in_group(bob, keep))
        with kept_from(monkeypatch, "carol"):
            await bob.call("send", chat=CHAT, text="yes")
            await reads(alice, CHAT, "yes")
        await bob.engine.committer.submit(use_again)
        with kept_from(monkeypatch, "alice"):
            await bob.call("send", chat=CHAT, text="no")
            await reads(carol, CHAT, "no")
        for text in ("I read yes", "really"):
            await alice.call("send", chat=CHAT, text=text)
            await reads(carol, CHAT, "no", *["I read yes", "really"][: 1 + (text == "really")])
        log = [one["text"] for one in await carol.call("log", chat=CHAT, limit=1000) if one["kind"] == "group"]
        assert log[-1] == "bob has told you and alice different things, or alice says so and it is not true."
        assert sum("different things" in line for line in log) == 1

    run_world(tmp_path, main)


def test_what_was_noticed_by_a_clock_that_was_ahead_is_asked_for_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        with kept_from(monkeypatch, "carol"):
            await bob.call("send", chat=CHAT, text="one")
            await reads(alice, CHAT, "one")
            await bob.call("send", chat=CHAT, text="two")
            await reads(alice, CHAT, "one", "two")
        await bob.call("send", chat=CHAT, text="three")
        await reads(carol, CHAT, "three")

        def ahead(tx: Transaction) -> None:
            year = 365 * DAY_MS
            tx.db.execute("UPDATE group_gaps SET since = since + ?1, ask_at = ask_at + ?1", (year,))

        await carol.engine.committer.submit(ahead)
        await reads(carol, CHAT, "one", "two", "three")

    run_world(tmp_path, main)


def test_nobody_hides_the_disputes_of_others_behind_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """carol and bob each say that they have other messages of everybody than there are."""
    monkeypatch.setattr(transcript, "MAX_DISPUTES", 1)

    async def main(world: World) -> None:
        alice, bob, carol = await three(world)
        for node, text in ((alice, "one"), (bob, "two"), (carol, "three")):
            await node.call("send", chat=CHAT, text=text)
        for node, texts in ((alice, ("two", "three")), (bob, ("one", "three")), (carol, ("one", "two"))):
            await reads(node, CHAT, *texts)

        def invent(tx: Transaction, epoch: EpochRow) -> tuple[SeenMessage, ...]:
            sql = "SELECT member, max(number) FROM group_transcript WHERE epoch = ? GROUP BY member"
            return tuple(
                SeenMessage(0, MemberId(member), last, bytes(8)) for member, last in tx.db.query(sql, (epoch.pk,))
            )

        monkeypatch.setattr(transcript, "newest", invent)
        await carol.call("send", chat=CHAT, text="four")
        await reads(alice, CHAT, "two", "three", "four")
        await bob.call("send", chat=CHAT, text="five")
        await reads(alice, CHAT, "two", "three", "four", "five")
        log = [one["text"] for one in await alice.call("log", chat=CHAT, limit=1000) if one["kind"] == "group"]
        assert [line.partition(" different")[0] for line in log if "different things" in line] == [
            "bob has told you and carol",
            "carol has told you and bob",
        ]

    run_world(tmp_path, main)


def test_all_logs_are_read_while_a_message_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member of a large group reads one of its relays; that one has lost what another has."""
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)
    monkeypatch.setattr(log_carrier, "MAX_READ_ALL", 2)

    async def main(world: World) -> None:
        (_, _, carol), _ = await found_town(world, 2, ("alice", "bob", "carol"))
        places = await carol.engine.committer.read(log_carrier.read, {}, 0)
        assert sorted(place.watched for place in places) == [False, True]

        def miss(tx: Transaction, chat: ChatId, epoch: EpochRow) -> None:
            gaps._note(tx, chat, epoch.pk, member_called(tx, chat, "alice"), 7, None)

        await carol.engine.committer.submit(in_group(carol, miss))
        places = await carol.engine.committer.read(log_carrier.read, {}, 0)
        assert [place.watched for place in places] == [True, True]

    run_world(tmp_path, main)
