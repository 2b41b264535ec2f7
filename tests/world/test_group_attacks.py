"""What members, those who were removed, and whoever seizes a device get out of a group."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import GroupItem, GroupMember, Text
from p2pchat.core.groups import epochs, events, items, messages, welcome
from p2pchat.core.groups.epochs import Leaf
from p2pchat.core.groups.items import EventItem, MessageItem, PartItem
from p2pchat.core.groups.roles import member_id
from p2pchat.core.ids import GroupId, MemberId
from p2pchat.core.primitives import sign_public, x25519_public
from p2pchat.core.session import standing_root
from p2pchat.engine.delivery import group_rules, outbound
from p2pchat.engine.groups import adopting, carriage, pairwise
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.items import MAX_WAITING
from tests.support.databases import KEY
from tests.support.group_parts import PartsOfWholes
from tests.support.group_worlds import found, has_members, reads, said
from tests.support.world import World, WorldNode, befriend, run_world, until

CHAT = "hikers"


def recorded(patch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that is carried from now on, as an adversary records it."""
    kept: list[bytes] = []
    carry = pairwise.carry

    def record(tx: Transaction, row: GroupRow, epoch: EpochRow, sealed: bytes, *more: object, **rest: object) -> None:
        kept.append(sealed)
        carry(tx, row, epoch, sealed, *more, **rest)  # type: ignore[arg-type]

    patch.setattr(pairwise, "carry", record)
    return kept


def opened(db: Database, sealed: bytes) -> bool:
    """Whether all that is in a profile opens a recorded message."""
    for (chat,) in db.query("SELECT chat FROM groups"):
        for epoch in store_epochs.with_tag(db, chat, items.tag_of(sealed)):
            item = items.open_item(sealed, epoch.id, carriage.secrets_of(epoch))
            if isinstance(item, MessageItem):
                chain = store_epochs.chain(db, epoch.pk, item.member)
                if chain is not None and item.number >= chain.next:
                    return True
                if store_epochs.skipped(db, epoch.pk, item.member, item.number) is not None:
                    return True
    return False


def test_a_seized_profile_opens_nothing_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        kept = recorded(monkeypatch)
        await alice.call("send", chat=CHAT, text="before the removal")
        await reads(bob, CHAT, "before the removal")
        await alice.call("remove_member", chat=CHAT, member="carol")
        await has_members(bob, CHAT, 2)
        await alice.call("send", chat=CHAT, text="after it")
        await reads(bob, CHAT, "before the removal", "after it")
        messages = [sealed for sealed in kept if len(sealed) == items.SIZES[0]]
        assert len(messages) >= 2
        for moment in ("at once", "in two days", "in a month"):
            shutil.copytree(bob.folder, tmp_path / moment)
            db = Database.open(tmp_path / moment / "p2pchat.db", KEY)
            assert not any(opened(db, sealed) for sealed in messages)
            exporters = db.query("SELECT exporter IS NULL, join_key IS NULL FROM group_epochs ORDER BY pk")
            if moment == "in two days":  # so recorded rekeys lead nowhere either
                assert set(exporters[:-1]) == {(1, 1)}
            db.close()
            await world.sleep_days(2 if moment == "at once" else 31)
            await trio.sleep(3700)

    (tmp_path / "world").mkdir()
    run_world(tmp_path / "world", main)


def test_who_was_removed_cannot_write_and_opens_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        kept = recorded(monkeypatch)
        copy = carol.copy()
        await alice.call("remove_member", chat=CHAT, member="carol")
        await has_members(bob, CHAT, 2)
        await carol.stop()
        world.cut(alice, carol)
        world.put_back(copy)  # their node of before, which has its keys and knows of no removal
        carol = await world.start("carol")
        await carol.call("send", chat=CHAT, text="still here")
        await alice.call("send", chat=CHAT, text="among us")
        await reads(bob, CHAT, "among us")
        assert not opened(carol.db, kept[-1])
        world.mend(alice, carol)
        await trio.sleep(600)
        for node in (alice, bob):
            assert "still here" not in await said(node, CHAT)

    run_world(tmp_path, main)


def test_a_member_who_floods_is_stopped_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        for node in (alice, carol):
            limits = node.engine.committer.storage_limits
            limits.limits = replace(limits.limits, daily=4 * 2**20)
        for number in range(60):
            await bob.call("send", chat=CHAT, text=f"{number} " + "x" * 40_000)
        await trio.sleep(600)
        assert 10 < len(await said(alice, CHAT)) < 30
        assert len(await said(carol, CHAT)) <= len(await said(alice, CHAT))
        await carol.call("send", chat=CHAT, text="too much, bob")
        await heard(alice, "too much, bob")
        await alice.call("send", chat=CHAT, text="indeed")
        await heard(carol, "indeed")

    run_world(tmp_path, main)


def test_an_event_that_only_one_member_is_told_of_reaches_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author says that all have it. Those whom it is kept from could not read that one member any more."""

    async def main(world: World) -> None:
        nodes = [await world.start(name) for name in ("mallory", "alice", "carol", "dave")]
        mallory, alice, carol, _ = nodes
        for node, other in itertools.combinations(nodes, 2):
            await befriend(node, other)
        await mallory.call("create_group", name=CHAT, contacts=["alice", "carol", "dave"])
        for node in nodes:
            await has_members(node, CHAT, 4)
        carry = pairwise.carry

        def tell(tx: Transaction, row: GroupRow, epoch: EpochRow, sealed: bytes, *more: Any, **rest: Any) -> None:
            if tx.db is not mallory.db:
                carry(tx, row, epoch, sealed, *more, **rest)
                return
            known = tuple(store_members.first(tx.db, row.chat, 8))
            outbound.queue(tx, tx.find("carol"), GroupItem(row.group_id, sealed, known))

        with monkeypatch.context() as patched:
            patched.setattr(pairwise, "carry", tell)
            await mallory.call("remove_member", chat=CHAT, member="dave")
            await has_members(carol, CHAT, 3)
        await mallory.stop()
        await has_members(alice, CHAT, 3)
        await carol.call("send", chat=CHAT, text="among us")
        await reads(alice, CHAT, "among us")

    run_world(tmp_path, main)


def test_a_recorded_rekey_is_of_no_use_to_who_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have the epoch before it with its exporter, their own leaf, and everything that was sent."""

    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        kept = recorded(monkeypatch)
        (row,) = [store_groups.get(carol.db, chat) for chat in store_groups.chats(carol.db)]
        assert row is not None
        assert row.epoch is not None
        epoch = store_epochs.get(carol.db, row.chat, row.epoch)
        assert epoch is not None
        assert epoch.exporter is not None
        everybody = store_members.all(carol.db, row.chat)
        await alice.call("remove_member", chat=CHAT, member="carol")
        await has_members(bob, CHAT, 2)
        waiting, found_rekeys = PartsOfWholes(), 0
        for sealed in kept:
            item = items.open_item(sealed, epoch.id, carriage.secrets_of(epoch))
            if isinstance(item, PartItem):
                whole = waiting.add(item.part)
                item = item if whole is None else items.open_whole(whole)
            if not isinstance(item, EventItem):
                continue
            event = events.decode_event(item.event)
            assert event.rekey is not None
            found_rekeys += 1
            all_leaves = [Leaf(member.id, member.leaf, member.kem) for member in everybody]
            for leaves in (all_leaves, [leaf for leaf in all_leaves if leaf.member != row.member]):
                for leaf in leaves:
                    mine = replace(adopting.own_leaf(row), member=leaf.member)
                    with pytest.raises(CannotOpen):
                        epochs.open_rekey(
                            event.rekey, row.group_id, events.core_hash(event.core), epoch.exporter, leaves, mine
                        )
        assert found_rekeys

    run_world(tmp_path, main)


async def heard(node: WorldNode, text: str) -> None:
    """Wait until a text has come."""

    async def there() -> bool:
        return text in await said(node, CHAT)

    await until(there)


def test_an_observer_whose_node_lies_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")
        await alice.call("set_role", chat=CHAT, member="bob", role="observer")
        for node in (bob, carol):

            async def told(node: WorldNode = node) -> bool:
                page = await node.call("group_members", chat=CHAT)
                return [one["role"] for one in page["members"]].count("observer") == 1

            await until(told)
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)
        await bob.call("send", chat=CHAT, text="I post all the same")
        await carol.call("send", chat=CHAT, text="hello")
        await heard(bob, "hello")
        await trio.sleep(300)
        assert await said(alice, CHAT) == ["hello"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("rule", ["muted", "locked"])
def test_who_may_not_write_is_refused_here_and_by_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    async def main(world: World) -> None:
        alice, bob, carol = await found(world, "alice", "bob", "carol")

        async def forbid(forbidden: bool) -> None:
            if rule == "muted":
                await alice.call("mute_member", chat=CHAT, member="bob", seconds=86_400 if forbidden else 0)
            else:
                await alice.call("set_group", chat=CHAT, key="locked", value="yes" if forbidden else "no")
            await alice.call("send", chat=CHAT, text=f"now {forbidden}")
            for node in (bob, carol):
                await heard(node, f"now {forbidden}")

        await forbid(True)
        with pytest.raises(NotNow, match=rule):
            await bob.call("send", chat=CHAT, text="refused here")
        with monkeypatch.context() as lying:
            lying.setattr(group_rules, "check_post", lambda *_: None)
            await bob.call("send", chat=CHAT, text="refused by readers")
        await trio.sleep(300)
        await forbid(False)
        await bob.call("send", chat=CHAT, text="let again")
        for node in (alice, carol):
            await heard(node, "let again")
            assert not {"refused here", "refused by readers"} & set(await said(node, CHAT))

    run_world(tmp_path, main)


def test_a_pin_of_somebody_who_may_not_pin_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        sent = await alice.call("send", chat=CHAT, text="not to be pinned")
        await heard(bob, "not to be pinned")
        monkeypatch.setattr(group_rules, "check_post", lambda *_: None)
        await bob.call("pin", id=sent["id"])
        await bob.call("react", id=sent["id"], emoji="👍")

        async def reacted() -> bool:
            return any(one["reactions"] for one in await alice.call("log", chat=CHAT))

        await until(reacted)
        await trio.sleep(300)
        assert not any(one["pinned"] for one in await alice.call("log", chat=CHAT))

    run_world(tmp_path, main)


async def pretend(node: WorldNode, contact: str, group: GroupId, items: Sequence[bytes]) -> None:
    """Send a contact what seem to be items of a group."""

    def act(tx: Transaction) -> None:
        for sealed in items:
            outbound.queue(tx, tx.find(contact), GroupItem(group, sealed))
        outbound.nudge(tx, tx.find(contact))

    await node.engine.committer.submit(act)


def test_a_contact_who_is_no_member_pushes_out_nothing_that_waits(tmp_path: Path) -> None:
    """What waits for its epoch came of members, perhaps of one who does not send it again."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        mallory = await world.start("mallory")
        await befriend(bob, mallory)
        (row,) = [store_groups.get(bob.db, chat) for chat in store_groups.chats(bob.db)]
        assert row is not None
        waits = bytes([1]) * items.SIZES[0]
        await pretend(alice, "bob", row.group_id, [waits])
        junk = [number.to_bytes(2, "big") * (items.SIZES[0] // 2) for number in range(1_000, 1_000 + MAX_WAITING + 50)]
        await pretend(mallory, "bob", row.group_id, junk)
        await mallory.call("send", chat="bob", text="that was all", wait="delivered", timeout=3000)
        assert [one.item for one in store_items.waiting(bob.db, row.chat)] == [waits]
        assert bob.db.query("SELECT count(*) FROM group_parts") == [(MAX_WAITING,)]

    run_world(tmp_path, main)


def test_what_overtakes_the_proof_of_a_member_is_kept_until_that_is_here(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        ours, theirs = [
            store_groups.get(node.db, chat) for node in (bob, alice) for chat in store_groups.chats(node.db)
        ]
        assert ours is not None
        assert theirs is not None

        def forget(tx: Transaction) -> None:
            store_members.is_contact(tx.db, ours.chat, theirs.member, None)

        await bob.engine.committer.submit(forget)
        early = bytes([1]) * items.SIZES[0]
        await pretend(alice, "bob", ours.group_id, [early])
        await alice.call("send", chat="bob", text="it came", wait="delivered")
        assert store_items.waiting(bob.db, ours.chat) == []

        def prove(tx: Transaction) -> None:
            contact = tx.find("bob")
            assert contact.identity is not None
            assert contact.device is not None
            pair = standing_root(tx.me, contact.identity, contact.device)
            proof = welcome.prove_member(theirs.group_id, theirs.sign_seed, pair)
            outbound.queue(tx, contact, GroupMember(theirs.group_id, theirs.member, proof))

        await alice.engine.committer.submit(prove)
        await alice.call("send", chat="bob", text="so did that", wait="delivered")
        assert [one.item for one in store_items.waiting(bob.db, ours.chat)] == [early]
        assert bob.db.query("SELECT count(*) FROM group_parts") == [(0,)]

    run_world(tmp_path, main)


def test_an_admin_whose_node_gives_the_keys_to_a_ghost_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rekey has an entry for each of the members whom everybody sees, and none for anybody else."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        make, ghost = epochs.make_rekey, Leaf(MemberId(b"\xff" * 8), x25519_public(b"g" * 32))

        def with_ghost(group: GroupId, core: bytes, exporter: bytes, leaves: list[Leaf], *more: Any) -> epochs.Rekeyed:
            return make(group, core, exporter, [*leaves, ghost], *more)

        with monkeypatch.context() as lying:
            lying.setattr(epochs, "make_rekey", with_ghost)
            await alice.call("remove_member", chat=CHAT, member="carol")
        await has_members(bob, CHAT, 2)
        await alice.call("send", chat=CHAT, text="between us, and somebody else")
        await trio.sleep(60)
        assert await said(bob, CHAT) == []
        assert (await bob.call("group", chat=CHAT))["problem"] == adopting.CANNOT_FOLLOW
        await bob.call("send", chat=CHAT, text="who is there?")
        assert bob.db.query("SELECT count(*) FROM group_unsent") == [(1,)]

    run_world(tmp_path, main)


def test_a_ghost_who_was_given_the_keys_cannot_write(tmp_path: Path) -> None:
    """Whoever is a member can pass on what they can read; but nobody speaks whom the log does not name."""

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")

        def write(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            assert row.epoch is not None
            epoch = store_epochs.get(tx.db, chat, row.epoch)
            chain = None if epoch is None else store_epochs.chain(tx.db, epoch.pk, row.member)
            assert epoch is not None
            assert chain is not None
            ghost = member_id(sign_public(b"g" * 32))
            content = encode_content(Content(Text("boo"), tx.new_message_id(), 1, tx.now))
            made = messages.write(row.group_id, epoch.id, ghost, b"g" * 32, chain, (), (), content, tx.random)
            carriage.send(tx, row, epoch, MessageItem(ghost, made.message.number, made.body))

        await bob.engine.committer.submit(write)
        await bob.call("send", chat=CHAT, text="did you hear that?")
        await heard(alice, "did you hear that?")
        assert await said(alice, CHAT) == ["did you hear that?"]

    run_world(tmp_path, main)
