"""Items in any order, several times, and damaged: what a member has in the end is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import Text
from p2pchat.core.delivery import Route
from p2pchat.core.groups import chains, events, messages
from p2pchat.core.groups import items as core_items
from p2pchat.core.groups.items import EventItem, MessageItem
from p2pchat.core.ids import EventId, MessageId
from p2pchat.core.primitives import KemKey, sign_public
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.groups import carriage, pairwise, receive
from p2pchat.engine.runtime.group_limits import ERRORS, KEYS, UPDATES
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.members import MemberRow
from tests.support.group_worlds import found, has_members, reads, said, talk
from tests.support.sampling import sampled
from tests.support.world import World, WorldNode, run_world, until

CHAT = "hikers"


async def deliver(node: WorldNode, sealed: bytes) -> None:
    """Hand an item to a node as if a contact had brought it."""

    def act(tx: Transaction) -> None:
        for chat in store_groups.chats(tx.db):
            row = store_groups.get(tx.db, chat)
            assert row is not None
            receive.take(tx, row, sealed, Route.DIRECT, frozenset())

    await node.engine.committer.submit(act)


async def deliver_together(node: WorldNode, sealed: Sequence[bytes]) -> None:
    """Hand items to a node as if they had come in one answer of a log."""

    def act(tx: Transaction) -> None:
        for chat in store_groups.chats(tx.db):
            row = store_groups.get(tx.db, chat)
            assert row is not None
            receive.take_all(tx, row, sealed, Route.MAILBOX)

    await node.engine.committer.submit(act)


async def written(world: World, patch: pytest.MonkeyPatch) -> tuple[WorldNode, WorldNode, list[bytes]]:
    """A group in which alice wrote and changed much while bob was away; her items for him."""
    alice, bob, _ = await found(world, "alice", "bob", "carol")
    await bob.stop()
    items: list[bytes] = []

    def keep(tx: Transaction, row: GroupRow, epoch: EpochRow, sealed: bytes, *more: object, **rest: object) -> None:
        items.append(sealed)

    with patch.context() as patched:
        patched.setattr(pairwise, "carry", keep)
        for number in range(3):
            await alice.call("send", chat=CHAT, text=f"first {number}")
        await alice.call("set_group", chat=CHAT, key="topic", value="up")
        await alice.call("set_role", chat=CHAT, member="bob", role="moderator")
        sent = await alice.call("send", chat=CHAT, text="second")
        await alice.call("remove_member", chat=CHAT, member="carol")
        await alice.call("edit", id=sent["id"], text="second, edited")
        for number in range(3):
            await alice.call("send", chat=CHAT, text=f"third {number}")
        await alice.call("pin", id=sent["id"])
        await alice.call("send", chat=CHAT, text="x" * 20_000)  # in parts
    world.cut(alice, bob)
    return alice, await world.start("bob"), items


@pytest.mark.parametrize("seed", sampled(list(range(40)), 3, "orders"))
def test_any_order_of_items_gives_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    async def main(world: World) -> None:
        alice, bob, items = await written(world, monkeypatch)
        assert len(items) > 11
        random = Random(seed)
        shuffled = random.sample(items, len(items)) + random.sample(items, len(items) // 2)
        for sealed in shuffled:
            await deliver(bob, sealed)
            assert not bob.crashed
        texts = ["first 0", "first 1", "first 2", "second, edited", "third 0", "third 1", "third 2", "x" * 20_000]
        assert await said(bob, CHAT) == texts
        shown = await bob.call("group", chat=CHAT)
        assert (shown["members"], shown["role"], shown["topic"]) == (2, "moderator", "up")
        assert [one["text"] for one in await talk(bob, CHAT) if one["pinned"]] == ["second, edited"]
        assert shown["epoch"]
        assert bob.db.query("SELECT count(*) FROM group_waiting") == [(0,)]
        assert bob.db.query("SELECT count(*) FROM group_parts") == [(0,)]
        ours, theirs = (store_groups.get(node.db, next(iter(store_groups.chats(node.db)))) for node in (alice, bob))
        assert ours is not None
        assert theirs is not None
        assert (ours.heads, ours.epoch) == (theirs.heads, theirs.epoch)

    run_world(tmp_path, main)


_KEPT = {
    "group_items": "id",
    "group_members": "id, name, role, gone, contact, head",
    "group_skipped": "epoch, member, number, key",
    "group_transcript": "epoch, member, number, head, body, named",
    "group_gaps": "epoch, member, number, named_by",
    "group_waiting": "id, epoch, item",
    "group_epochs": "pk, id, before, tag",
    "messages WHERE kind = 0": "id, sender, seq, text, place, version, deleted_at",
}


def kept(node: WorldNode) -> dict[str, list[Any]]:
    """What a node has of its group from others, without times."""
    rows = {table: sorted(node.db.query(f"SELECT {columns} FROM {table}")) for table, columns in _KEPT.items()}
    theirs = "WHERE group_members.id <> (SELECT member FROM groups)"
    others = node.db.query(f"SELECT pk, group_members.id FROM group_epochs, group_members {theirs}")
    rows["chains"] = [(pk, id, store_epochs.chain(node.db, pk, id)) for pk, id in sorted(others)]
    return rows


@pytest.mark.parametrize("seed", sampled(list(range(40)), 3, "batches"))
def test_items_that_come_together_do_what_they_do_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Their chains, what they have seen and what was noted of their authors too, whatever is between them."""

    async def main(world: World) -> None:
        _, bob, items = await written(world, monkeypatch)
        random = Random(seed)
        if seed % 2:
            random.shuffle(items)
        items += random.sample(items, len(items) // 2)  # again, and among them those that came just before
        copy = bob.copy()
        for sealed in items:
            await deliver_together(bob, [sealed])
        expected = kept(bob)
        await bob.stop()
        world.put_back(copy)
        bob = await world.start("bob")
        while items:
            count = random.choice((1, 2, 5, len(items)))
            await deliver_together(bob, items[:count])
            items = items[count:]
        assert kept(bob) == expected
        assert len(await said(bob, CHAT)) == 8

    run_world(tmp_path, main)


def test_parts_that_come_together_are_joined_without_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        _, bob, items = await written(world, monkeypatch)
        kept = list[object]()
        monkeypatch.setattr(store_items, "keep_part", lambda *part: kept.append(part))
        await deliver_together(bob, items)
        assert (await said(bob, CHAT))[-1] == "x" * 20_000
        assert kept == []

    run_world(tmp_path, main)


def test_an_item_and_its_receipt_ask_the_store_for_nothing_that_cannot_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For no join where we are members, and for no message of a group where an ack names none."""

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        joins, stored = list[object](), list[list[MessageId]]()
        get, note = store_joins.get, store_groups.stored

        def get_join(*args: Any) -> Any:
            joins.append(args)
            return get(*args)

        def note_stored(db: Database, ids: Iterable[MessageId], *more: Any) -> Any:
            stored.append(list(ids))
            return note(db, stored[-1], *more)

        monkeypatch.setattr(store_joins, "get", get_join)
        monkeypatch.setattr(store_groups, "stored", note_stored)
        await alice.call("send", chat=CHAT, text="hello")
        await reads(bob, CHAT, "hello")
        await trio.sleep(1)  # until the ack of the receipt is saved
        assert joins == []
        assert stored
        assert [] not in stored

    run_world(tmp_path, main)


class Statements:
    """Counts the statements of a database; many of one kind that are run together count once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("execute", "executemany", "query", "query_one"):
            monkeypatch.setattr(Database, name, self._counted(getattr(Database, name)))

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.count += 1
            return method(*args)

        return counted


async def many(world: World, patch: pytest.MonkeyPatch, count: int) -> tuple[WorldNode, list[bytes]]:
    """A member who was away, and so many messages for them."""
    alice, bob, _ = await found(world, "alice", "bob", "carol")
    await bob.stop()
    sealed: list[bytes] = []
    with patch.context() as patched:
        patched.setattr(pairwise, "carry", lambda tx, row, epoch, item, *more, **rest: sealed.append(item))
        for number in range(count):
            await alice.call("send", chat=CHAT, text=f"{number}")
    world.cut(alice, bob)
    return await world.start("bob"), sealed


def test_messages_that_come_together_cost_as_many_statements_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes back to thousands of messages waits for them."""

    async def main(world: World) -> None:
        bob, items = await many(world, monkeypatch, 48)
        await deliver(bob, items[0])
        took = []
        for some in (items[1:8], items[8:48]):
            with monkeypatch.context() as patched:
                counted = Statements(patched)
                await deliver_together(bob, some)
                took.append(counted.count)
        assert took[1] - took[0] <= 3
        assert len(await said(bob, CHAT)) == 48

    run_world(tmp_path, main)


def test_what_was_taken_before_one_that_fails_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that raises one of our errors has its transaction go on: what it wrote until then has to be whole."""

    async def main(world: World) -> None:
        bob, items = await many(world, monkeypatch, 6)
        may_post = group_rules.may_post

        def fail(tx: Transaction, row: GroupRow, member: MemberRow, content: Content) -> bool:
            if content.payload.text() == "3":
                raise UsageError("it fails")
            return may_post(tx, row, member, content)

        with monkeypatch.context() as patched:
            patched.setattr(group_rules, "may_post", fail)
            with pytest.raises(UsageError):
                await deliver_together(bob, items)
        assert await said(bob, CHAT) == ["0", "1", "2"]
        numbers = bob.db.query("SELECT number FROM group_chains ORDER BY number DESC LIMIT 1")
        assert numbers == [(4,)], "no key by which something was opened is kept"
        await deliver_together(bob, items)
        assert await said(bob, CHAT) == ["0", "1", "2", "4", "5"]

    run_world(tmp_path, main)


def test_a_change_that_comes_first_without_its_keys_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever merges two epochs sends what was done beside each without rekeys; and anybody can."""

    async def main(world: World) -> None:
        alice, bob, whole = await written(world, monkeypatch)
        for sealed in await alice.engine.committer.submit(without_rekeys):
            await deliver(bob, sealed)
        assert (await bob.call("group", chat=CHAT))["members"] == 2
        for sealed in whole:
            await deliver(bob, sealed)
        assert len(await said(bob, CHAT)) == 8
        assert (await bob.call("group", chat=CHAT))["epoch"] == "The keys are new."

    run_world(tmp_path, main)


def without_rekeys(tx: Transaction) -> list[bytes]:
    """The events as they are kept, sealed under the epoch from which the last one goes on."""
    (chat,) = store_groups.chats(tx.db)
    raws = [row.event for row in store_events.all(tx.db, chat)]
    last = [event.prev_epoch for event in map(events.decode_verified, raws) if event.prev_epoch is not None][-1]
    epoch = store_epochs.get(tx.db, chat, last)
    assert epoch is not None
    secrets, size = carriage.secrets_of(epoch), core_items.SIZES[0]
    sealed = [core_items.seal_items(EventItem(raw), last, secrets, size, tx.random) for raw in raws]
    return [item for parts in sealed for item in parts]


def test_what_is_damaged_or_foreign_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        _, bob, items = await written(world, monkeypatch)
        random = Random(1)
        for sealed in (b"", bytes(1024), random.randbytes(4096), items[0][:-1], items[0] + b"x"):
            await deliver(bob, sealed)
        for sealed in items:
            broken = bytearray(sealed)
            broken[random.randrange(8, len(broken))] ^= 1
            await deliver(bob, bytes(broken))
        assert await said(bob, CHAT) == []
        for sealed in items:
            await deliver(bob, sealed)
        assert len(await said(bob, CHAT)) == 8

    run_world(tmp_path, main)


def test_what_cannot_be_opened_waits_in_bounded_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        _, bob, items = await written(world, monkeypatch)
        random = Random(1)
        for _ in range(300):
            await deliver(bob, random.randbytes(1024))
        assert bob.db.query("SELECT count(*) FROM group_waiting") == [(256,)]
        for sealed in items:
            await deliver(bob, sealed)
        assert len(await said(bob, CHAT)) == 8
        await world.sleep_days(31)
        await trio.sleep(3 * 3600)
        assert bob.db.query("SELECT count(*) FROM group_waiting") == [(0,)]

    run_world(tmp_path, main)


def test_what_waits_is_bounded_in_bytes_too(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")

        def act(tx: Transaction) -> list[int]:
            (chat,) = store_groups.chats(tx.db)
            for number in range(12):
                store_items.wait(tx.db, chat, bytes([number]), bytes(1_000_000), tx.now, store_items.NOBODY)
            return [waiting.id[0] for waiting in store_items.waiting(tx.db, chat)]

        assert await alice.engine.committer.submit(act) == [*range(4, 12)]

    run_world(tmp_path, main)


def test_what_we_wrote_ourselves_is_nobody_elses_though_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a log, to somebody whose profile was put back from a copy and does not know that it was sent."""

    async def main(world: World) -> None:
        alice, _ = await found(world, "alice", "bob")
        carried: list[bytes] = []
        carry = pairwise.carry

        def keep(tx: Transaction, row: GroupRow, epoch: EpochRow, sealed: bytes, *more: Any, **rest: Any) -> None:
            carried.append(sealed)
            carry(tx, row, epoch, sealed, *more, **rest)

        chains = alice.db.query("SELECT number, key, epoch, member FROM group_chains")
        with monkeypatch.context() as patched:
            patched.setattr(pairwise, "carry", keep)
            await alice.call("send", chat=CHAT, text="mine")
        assert len(carried) == 1

        def put_back(tx: Transaction) -> None:
            tx.db.execute("DELETE FROM group_items")
            tx.db.execute("DELETE FROM messages WHERE text = 'mine'")
            tx.db.executemany("UPDATE group_chains SET number = ?, key = ? WHERE epoch = ? AND member = ?", chains)

        await alice.engine.committer.submit(put_back)
        await deliver(alice, carried[0])
        assert await talk(alice, CHAT) == []

    run_world(tmp_path, main)


def test_nobody_writes_in_the_name_of_another_member(tmp_path: Path) -> None:
    """Whoever has the keys of an epoch can compute the keys of every chain; the signature alone says who wrote."""

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        (of_carol,) = [store_groups.get(carol.db, chat) for chat in store_groups.chats(carol.db)]
        assert of_carol is not None

        def forge(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            assert row.epoch is not None
            epoch = store_epochs.get(tx.db, chat, row.epoch)
            assert epoch is not None
            content = Content(Text("I resign"), tx.new_message_id(), 1, tx.now)
            for author in (of_carol.member, row.member):
                chain = store_epochs.chain(tx.db, epoch.pk, author)
                assert chain is not None
                raw = encode_content(content)
                made = messages.write(row.group_id, epoch.id, author, row.sign_seed, chain, (), (), raw, tx.random)
                carriage.send(tx, row, epoch, MessageItem(author, made.message.number, made.body))
                content = Content(Text("I am bob"), tx.new_message_id(), 2, tx.now)

        await bob.engine.committer.submit(forge)

        async def heard() -> bool:
            return "I am bob" in await said(alice, CHAT)

        await until(heard)
        assert [(one["from"], one["text"]) for one in await talk(alice, CHAT)] == [("bob", "I am bob")]
        await carol.call("send", chat=CHAT, text="I do not")

        async def reads_on() -> bool:
            return "I do not" in await said(alice, CHAT)

        await until(reads_on)

    run_world(tmp_path, main)


def in_group(node: WorldNode) -> tuple[GroupRow, EpochRow]:
    """The group of a node, and the epoch that it sends under."""
    (chat,) = store_groups.chats(node.db)
    row = store_groups.get(node.db, chat)
    assert row is not None
    assert row.epoch is not None
    epoch = store_epochs.get(node.db, chat, row.epoch)
    assert epoch is not None
    return row, epoch


def sealed_by(node: WorldNode, item: MessageItem | EventItem, seed: int = 0) -> bytes:
    """An item that a member's node makes up, under the epoch that all send under. seed: another item for each."""
    _, epoch = in_group(node)
    random = Random(seed).randbytes
    (sealed,) = core_items.seal_items(item, epoch.id, carriage.secrets_of(epoch), core_items.SIZES[0], random)
    return sealed


def signed_by(node: WorldNode, action: events.Action, seq: int) -> events.GroupEvent:
    """An event of a member, whatever the log says to it."""
    row, _ = in_group(node)
    heads = tuple(EventId(row.heads[start : start + 32]) for start in range(0, len(row.heads), 32))
    core = events.encode_core(row.group_id, heads, seq, sign_public(row.sign_seed), action)
    return events.decode_event(events.signed_bytes(core, None, None, row.sign_seed))


def test_events_without_the_right_are_judged_in_bounded_numbers_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        verified, verify = list[events.GroupEvent](), events.verify_event

        def count(event: events.GroupEvent) -> None:
            verified.append(event)
            verify(event)

        monkeypatch.setattr(events, "verify_event", count)
        of_bob, _ = in_group(bob)
        made = [signed_by(bob, events.ChangeSetting("topic", str(number)), 0) for number in range(100)]
        verified.clear()
        for event in made:
            await deliver(alice, sealed_by(bob, EventItem(event.raw)))
        assert len(verified) == ERRORS.burst
        action = events.ChangeSetting("topic", "mine")
        core = events.encode_core(of_bob.group_id, made[0].parents, 0, sign_public(bytes(32)), action)
        stranger = events.signed_bytes(core, None, None, bytes(32))
        await deliver(alice, sealed_by(bob, EventItem(stranger)))
        assert len(verified) == ERRORS.burst, "nothing of a stranger is verified"
        await carol.call("send", chat=CHAT, text="I go on")
        await reads(alice, CHAT, "I go on")
        await alice.call("remove_member", chat=CHAT, member="bob")
        await has_members(carol, CHAT, 2)

    run_world(tmp_path, main)


def test_an_event_beyond_the_bound_that_is_right_is_taken_later(tmp_path: Path) -> None:
    """Others may have taken it, and go on from it."""

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat=CHAT, member="bob", role="moderator")
        await until(lambda: is_role(bob, "moderator"))
        limits = alice.engine.committer.memory.group_limits
        (of_alice, _), (of_bob, _), (of_carol, _) = map(in_group, (alice, bob, carol))
        for _ in range(ERRORS.burst):
            limits.erred(of_alice.chat, of_bob.member, alice.engine.clock())
        mute = signed_by(bob, events.MuteMember(of_carol.member, alice.engine.clock() + 3 * DAY_MS), 0)
        await deliver(alice, sealed_by(bob, EventItem(mute.raw)))
        assert not store_events.get(alice.db, of_alice.chat, mute.id)
        await world.sleep_days(1)
        await trio.sleep(3700)
        assert store_events.get(alice.db, of_alice.chat, mute.id)

    run_world(tmp_path, main)


def test_who_leaves_without_end_is_told_of_once(tmp_path: Path) -> None:
    """Each event that says so takes the place of the one before it, also after they were removed."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        leaves = [signed_by(bob, events.LeaveGroup(), number) for number in range(2 * ERRORS.burst)]
        sealed = [
            sealed_by(bob, EventItem(leave.raw)) for leave in sorted(leaves, key=lambda one: one.id, reverse=True)
        ]
        for item in sealed:
            await deliver(alice, item)
        log = [one["text"] for one in await alice.call("log", chat=CHAT)]
        assert log.count("bob left.") == 1
        kept = [leave for leave in leaves if store_events.get(alice.db, in_group(alice)[0].chat, leave.id)]
        assert kept == [sorted(leaves, key=lambda one: one.id, reverse=True)[ERRORS.burst]]

    run_world(tmp_path, main)


def test_a_mute_that_never_ends_is_kept_and_the_group_goes_on(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat=CHAT, member="bob", role="moderator")
        await until(lambda: is_role(bob, "moderator"))
        mute = signed_by(bob, events.MuteMember(in_group(carol)[0].member, 2**64 - 1), 0)
        for node in (alice, carol):
            await deliver(node, sealed_by(bob, EventItem(mute.raw)))
        told = (await alice.call("log", chat=CHAT))[-1]["text"]
        assert "muted carol until" in told
        assert "9999" in told
        with pytest.raises(NotNow, match="muted"):
            await carol.call("send", chat=CHAT, text="hello?")
        await alice.call("set_group", chat=CHAT, key="topic", value="up")
        await until(lambda: has_topic(carol, "up"))

    run_world(tmp_path, main)


async def has_topic(node: WorldNode, topic: str) -> bool:
    return bool((await node.call("group", chat=CHAT))["topic"] == topic)


async def is_role(node: WorldNode, role: str) -> bool:
    return bool((await node.call("group", chat=CHAT))["role"] == role)


def test_a_member_who_changes_keys_without_end_is_followed_a_few_times_a_day(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        (of_alice, _), (of_bob, _) = in_group(alice), in_group(bob)
        assert of_bob.kem_seed is not None
        kem = KemKey(of_bob.kem_seed).public
        for seq in range(20):
            update = signed_by(bob, events.UpdateMember(bytes([seq]) * 32, kem, f"bob {seq}"), seq)
            await deliver(alice, sealed_by(bob, EventItem(update.raw)))
        member = store_members.get(alice.db, of_alice.chat, of_bob.member)
        assert member is not None
        assert member.name == f"bob {UPDATES.burst - 1}"
        await world.sleep_days(1)
        update = signed_by(bob, events.UpdateMember(bytes(32), kem, "bob again"), 20)
        await deliver(alice, sealed_by(bob, EventItem(update.raw)))
        member = store_members.get(alice.db, of_alice.chat, of_bob.member)
        assert member is not None
        assert member.name == "bob again"

    run_world(tmp_path, main)


def test_messages_that_were_made_up_cost_few_keys_and_their_author_writes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says that thousands before it were lost, and opens with none of the keys that are derived for it."""

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        derived, advance = list[int](), chains.advance_chain

        def count(chain: chains.Chain) -> tuple[bytes, chains.Chain]:
            derived.append(chain.next)
            return advance(chain)

        monkeypatch.setattr(chains, "advance_chain", count)
        of_carol, _ = in_group(carol)
        for number in range(20):
            made_up = MessageItem(of_carol.member, chains.MAX_JUMP, bytes(100 + number))
            await deliver(alice, sealed_by(bob, made_up))
        assert len(derived) <= KEYS.burst + 20
        await carol.call("send", chat=CHAT, text="I am still heard")
        await reads(alice, CHAT, "I am still heard")

    run_world(tmp_path, main)


def test_an_event_that_is_here_costs_little_however_often_it_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        row, epoch = in_group(alice)
        known = store_events.all(alice.db, row.chat)[-1].event

        def leave_one(tx: Transaction) -> None:
            waits = EventItem(b"junk")
            store_items.wait(tx.db, row.chat, bytes(32), waits.encode(), tx.now, store_items.NOBODY, epoch.pk)

        await alice.engine.committer.submit(leave_one)
        tried = list[bytes]()
        monkeypatch.setattr(receive, "take_waiting", lambda tx, chat, route: tried.append(chat))
        verified = list[events.GroupEvent]()
        monkeypatch.setattr(events, "verify_event", verified.append)
        for seed in range(3):
            await deliver(alice, sealed_by(bob, EventItem(known), seed))
        assert (tried, verified) == ([], [])

    run_world(tmp_path, main)
