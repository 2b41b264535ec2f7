"""Welcomes that are not what they should be: of groups that were made up, and of epochs that are over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.contents import KINDS, GroupJoin, GroupLost, GroupMember, GroupOffer, GroupRefusal, GroupWelcome
from p2pchat.core.contents.group_refusal import JoinRefusal
from p2pchat.core.groups import epochs, events, welcome
from p2pchat.core.groups import upkeep as core_upkeep
from p2pchat.core.groups.events import AddMembers, ChangeSetting, GroupEvent, Newcomer
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.welcome import Welcome
from p2pchat.core.ids import ChatId, ContactId, EpochId, GroupId, MemberId
from p2pchat.core.primitives import KEY_BYTES, sign_public, x25519_public
from p2pchat.engine.groups import adopting, joining
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.joins import JoinRow
from tests.core.groups.crowd import forge, seed_of
from tests.core.groups.crowd import found as founding
from tests.support.group_worlds import found, has_members, reads
from tests.support.world import World, befriend, run_world, until


def made_up(tx: Transaction, owner: str, apart: int) -> None:
    """Take a welcome of alice's to a group that does not exist, with so many events that do not know each other."""
    sign, leaf, secret = [tx.random(KEY_BYTES) for _ in range(3)]
    first = founding(owner)
    group = GroupId(first.id)
    me = Newcomer(sign_public(sign), x25519_public(leaf), None, Role.MEMBER, "me")
    core = events.encode_core(group, (first.id,), 1, first.author, AddMembers((me,)), EpochId(first.id))
    added = events.sign_event(core, epochs.confirmation(secret), None, seed_of(owner))
    log = [first, added, *(forge(group, owner, ChangeSetting("name", n), [added.id], 2) for n in range(apart))]
    contact = tx.find("alice")
    store_joins.add(tx.db, JoinRow(group, contact.id, sign, leaf, None, "made up", tx.now))
    raws = tuple(event.raw for event in log)
    for part in welcome.cut_welcome(Welcome(group, me.id, EpochId(added.id), secret, raws)):
        joining.welcomed(tx, contact, GroupWelcome(part))


@pytest.mark.parametrize(("apart", "joins"), [(3, True), (40, False)])
def test_a_group_that_was_made_up_to_keep_us_busy_is_not_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int, joins: bool
) -> None:
    monkeypatch.setattr(joining, "MAX_EFFORT", 1_000, raising=False)

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)

        await bob.engine.committer.submit(made_up, "olga", apart)
        assert [one["kind"] for one in await bob.call("chats")].count("group") == int(joins)

    run_world(tmp_path, main)


def test_one_contact_has_us_read_logs_for_a_while_each_day_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "MAX_EFFORT", 1_000)

    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)

        async def groups() -> int:
            return [one["kind"] for one in await bob.call("chats")].count("group")

        for number in range(30):
            await bob.engine.committer.submit(made_up, f"owner {number}", 3)
        joined = await groups()
        assert 2 <= joined < 30
        await bob.engine.committer.submit(made_up, "another owner", 3)
        assert await groups() == joined
        await world.sleep_days(1)
        await bob.engine.committer.submit(made_up, "an owner of tomorrow", 3)
        assert await groups() == joined + 1

    run_world(tmp_path, main)


def test_the_keys_of_an_epoch_that_is_over_and_deleted_are_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who kept the secret of an epoch could otherwise have others show again what has disappeared."""
    secrets: dict[EpochId, bytes] = {}
    adopt = adopting.adopt

    def keep(tx: Transaction, row: GroupRow, event: GroupEvent, secret: bytes, *more: Any) -> bool:
        secrets[EpochId(event.id)] = secret
        return adopt(tx, row, event, secret, *more)

    monkeypatch.setattr(adopting, "adopt", keep)

    async def main(world: World) -> None:
        alice, bob, _ = await found(world, "alice", "bob", "carol")
        await alice.call("remove_member", chat="hikers", member="carol")
        await has_members(bob, "hikers", 2)

        def act(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            old, now = store_epochs.of(tx.db, chat)[-2:]
            store_epochs.remove(tx.db, old.pk)
            log = tuple(event.event for event in store_events.all(tx.db, chat))
            told = Welcome(row.group_id, row.member, old.id, secrets[old.id], log)
            for part in welcome.cut_welcome(told):
                joining.welcomed(tx, tx.find("alice"), GroupWelcome(part))
            kept = store_epochs.of(tx.db, chat)
            assert old.id not in {epoch.id for epoch in kept}
            assert now.id in {epoch.id for epoch in kept}

        await bob.engine.committer.submit(act)

    run_world(tmp_path, main)


def test_of_a_welcome_to_a_member_only_what_is_new_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in a group can be sent its log again and again."""

    async def main(world: World) -> None:
        alice, bob = await found(world, "alice", "bob")
        for number in range(3):
            await alice.call("set_group", chat="hikers", key="topic", value=str(number))

        async def follows() -> bool:
            return bool((await bob.call("group", chat="hikers"))["topic"] == "2")

        await until(follows)
        await bob.stop()
        await alice.call("set_group", chat="hikers", key="topic", value="new")

        def told(tx: Transaction) -> tuple[tuple[bytes, ...], GroupId, EpochId]:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            assert row.epoch is not None
            return tuple(event.event for event in store_events.all(tx.db, chat)), row.group_id, row.epoch

        log, group, epoch = await alice.engine.committer.submit(told)
        world.cut(alice, bob)
        bob = await world.start("bob")
        verified, verify = list[GroupEvent](), events.verify_event

        def count(event: GroupEvent) -> None:
            verified.append(event)
            verify(event)

        monkeypatch.setattr(events, "verify_event", count)

        def act(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            for _ in range(3):
                for part in welcome.cut_welcome(Welcome(group, row.member, epoch, bytes(32), log)):
                    joining.welcomed(tx, tx.find("alice"), GroupWelcome(part))

        await bob.engine.committer.submit(act)
        assert len(verified) == 1
        assert (await bob.call("group", chat="hikers"))["topic"] == "new"

    run_world(tmp_path, main)


def test_no_key_of_a_group_has_a_repr() -> None:
    key = b"secret" * 6
    join = JoinRow(GroupId(bytes(32)), ContactId(bytes(8)), key, key, key, "hikers", 1)
    epoch = EpochRow(1, ChatId(bytes(8)), EpochId(bytes(32)), None, bytes(8), key, key, key, key, 1)
    assert "secret" not in repr((join, epoch))


def test_nobody_is_taken_for_a_member_without_a_proof_of_the_two(tmp_path: Path) -> None:
    """Bob says that he is carol's member, with a proof of his own keys for her."""

    async def main(world: World) -> None:
        alice, _, _ = await found(world, "alice", "bob", "carol")
        shown = {one["name"]: one for one in (await alice.call("group_members", chat="hikers"))["members"]}

        def claim(tx: Transaction) -> tuple[list[Any], list[Any]]:
            chat = next(iter(store_groups.chats(tx.db)))
            row = store_groups.get(tx.db, chat)
            assert row is not None
            carol = MemberId(bytes.fromhex(shown["carol"]["id"]))
            of = "SELECT contact FROM group_members WHERE id = ?"
            before = tx.db.query(of, (carol,))
            joining.introduced(tx, tx.find("bob"), GroupMember(row.group_id, carol, bytes(64)))
            return before, tx.db.query(of, (carol,))

        before, after = await alice.engine.committer.submit(claim)
        assert before == after
        assert shown["carol"]["contact"] == "carol"

    run_world(tmp_path, main)


def test_every_content_between_two_about_groups_is_taken_from_whoever_is_known_for_one() -> None:
    about = [known for known in KINDS.values() if known.KIND.name.startswith("group_") and not known.KIND.in_group]
    assert GroupLost in about
    assert all(known.KIND.deferred for known in about)


def test_more_than_one_event_may_add_are_added_by_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_upkeep, "MAX_ADDED", 2)

    async def main(world: World) -> None:
        alice, names = await world.start("alice"), ["bob", "carol", "dave"]
        for name in names:
            await befriend(alice, await world.start(name))
        answered, held = joining.answered, list[tuple[Contact, GroupJoin]]()
        with monkeypatch.context() as patched:
            patched.setattr(joining, "answered", lambda tx, joins: held.extend(joins))
            await alice.call("create_group", name="hikers", contacts=names)
            await trio.sleep(60)
        await alice.engine.committer.submit(lambda tx: answered(tx, held))
        for node in world.nodes.values():
            await has_members(node, "hikers", 4)
        assert [one["op"] for one in await alice.call("group_log", chat="hikers")] == ["found", "add", "add"]
        await world.nodes["bob"].call("send", chat="hikers", text="to all")
        await reads(world.nodes["dave"], "hikers", "to all")

    run_world(tmp_path, main)


def test_for_whom_there_is_no_room_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        alice, *_ = await found(world, "alice", "bob")
        monkeypatch.setattr(joining, "MAX_MEMBERS", 2)
        carol = await world.start("carol")
        await befriend(alice, carol)
        await alice.call("add_members", chat="hikers", contacts=["carol"])

        async def told() -> bool:
            return "You cannot join hikers: the group is full." in [event.get("warning") for event in carol.heard]

        await until(told)
        assert alice.db.query("SELECT count(*) FROM group_offers") == [(0,)]
        assert (await alice.call("group", chat="hikers"))["members"] == 2

    run_world(tmp_path, main)


@pytest.mark.parametrize("reason", [JoinRefusal.NOT_NOW, JoinRefusal.DECLINED])
def test_refusals_are_told_once_a_day_for_a_group_and_of_a_few_groups(tmp_path: Path, reason: JoinRefusal) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)

        def refuse(tx: Transaction, number: int) -> None:
            group = GroupId(number.to_bytes(32, "big"))
            joining.offered(tx, tx.find("alice"), GroupOffer(group, f"group {number}", Role.MEMBER, False, 2))
            joining.refused(tx, tx.find("alice"), GroupRefusal(group, reason))

        def told() -> list[str]:
            return [event["warning"] for event in bob.heard if "warning" in event]

        for _ in range(3):
            await bob.engine.committer.submit(refuse, 0)
        assert len(told()) == 1
        for number in range(20):
            await bob.engine.committer.submit(refuse, number)
        assert len(told()) == joining.MAX_REFUSALS_A_DAY
        await world.sleep_days(1)
        await bob.engine.committer.submit(refuse, 0)
        assert len(told()) == joining.MAX_REFUSALS_A_DAY + 1
        assert all(warning.startswith("You cannot join group ") for warning in told())

    run_world(tmp_path, main)


def test_a_contact_who_refuses_ends_nothing_that_another_lets_us_join(tmp_path: Path) -> None:
    """Mallory knows the group's id, offers it, and takes the offer back, while alice's welcome is on its way."""

    async def main(world: World) -> None:
        bob = await world.start("bob")
        for name in ("alice", "mallory"):
            await befriend(bob, await world.start(name))
        group = GroupId(bytes(range(32)))

        def both(tx: Transaction) -> list[bool]:
            for name in ("alice", "mallory"):
                joining.offered(tx, tx.find(name), GroupOffer(group, "hikers", Role.MEMBER, False, 2))
            joining.refused(tx, tx.find("mallory"), GroupRefusal(group, JoinRefusal.DECLINED))
            kept = [store_joins.get(tx.db, group, tx.find(name).id) for name in ("alice", "mallory")]
            return [row is not None for row in kept]

        assert await bob.engine.committer.submit(both) == [True, False]

    run_world(tmp_path, main)


def test_a_newcomer_makes_no_kem_key_for_a_large_group_and_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sealed to it there, and the log, which everybody who joins is sent, would be ten times as long."""

    async def main(world: World) -> None:
        alice, bob, *_ = await found(world, "alice", "bob", "carol")
        dave = await world.start("dave")
        await befriend(alice, dave)
        with monkeypatch.context() as patched:
            patched.setattr(epochs, "MAX_KEM_MEMBERS", 3)
            await alice.call("add_members", chat="hikers", contacts=["dave"])
            await has_members(dave, "hikers", 4)
        kept = [node.db.query("SELECT kem_seed IS NULL FROM groups")[0][0] for node in (alice, bob, dave)]
        assert kept == [0, 0, 1]
        await alice.call("remove_member", chat="hikers", member="carol")
        for node in (bob, dave):
            await has_members(node, "hikers", 3)
        await alice.call("send", chat="hikers", text="hello")
        await reads(dave, "hikers", "hello")

    run_world(tmp_path, main)


def test_a_log_is_read_once_by_who_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[int]()
    restore = MembershipLog.restore

    def counting(self: MembershipLog, stored: Iterable[bytes]) -> None:
        raws = list(stored)
        read.append(len(raws))
        restore(self, raws)

    monkeypatch.setattr(MembershipLog, "restore", counting)

    async def main(world: World) -> None:
        alice, bob = [await world.start(name) for name in ("alice", "bob")]
        await befriend(alice, bob)
        await alice.call("create_group", name="hikers", contacts=["bob"])
        await has_members(bob, "hikers", 2)
        assert sum(read) <= 1, "the founder's, of one event"

    run_world(tmp_path, main)
