"""Large groups, carried by logs at relays: who was away finds everything there, and what leads to the next epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core import mailbox
from p2pchat.core.contents import GroupItem, Payload
from p2pchat.core.groups import items as group_items
from p2pchat.core.groups.epochs import Leaf
from p2pchat.core.groups.events import RotateEpoch
from p2pchat.core.groups.log_relays import LOGS, MAX_LOG_RELAYS, LogRelay, make_log_relays
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import changes, history, log_carrier, log_duties, log_intake, logs, pairwise, receive
from p2pchat.engine.runtime.group_limits import RELAYS
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import Busy, DiskFull
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import logs as store_logs
from tests.support.group_worlds import has_members, reads, said
from tests.support.mailboxes import MailRelay
from tests.support.world import World, WorldNode, befriend, run_world, until

NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")


async def found(world: World, relays: int, names: Sequence[str] = NAMES) -> tuple[list[WorldNode], list[MailRelay]]:
    """A group of the first, who has relays and knows all others; they do not know each other."""
    towers = [world.mailbox(f"tower {number}") for number in range(relays)]
    founder, *others = [await world.start(name) for name in names]
    for tower in towers:
        await founder.call("relays", add=tower.address)
    for other in others:
        await befriend(founder, other)
    await founder.call("create_group", name="town", contacts=list(names[1:]))
    for node in (founder, *others):
        await has_members(node, "town", len(names))
    return [founder, *others], towers


async def has_stored(node: WorldNode, text: str) -> None:
    """Wait until a message of a node's is at a relay."""

    async def stored() -> bool:
        return [one["state"] for one in await node.call("log", chat="town") if one["text"] == text] == ["stored"]

    await until(stored)


async def _is(value: bool) -> bool:
    await trio.lowlevel.checkpoint()
    return value


def put_by(tower: MailRelay, node: WorldNode) -> list[bytes]:
    logs = tower.logs.keys()
    return [blob for who, log, blob in tower.given if who == node.name and log in logs]


def test_strangers_read_each_other_while_nobody_who_knows_both_is_there(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, *_), towers = await found(world, 3)
        await alice.stop()
        await bob.call("send", chat="town", text="hello, carol")
        await has_stored(bob, "hello, carol")
        await reads(carol, "town", "hello, carol")
        await carol.stop()
        await bob.call("send", chat="town", text="are you there?")
        await has_stored(bob, "are you there?")
        await bob.stop()
        carol = await world.start("carol")
        await reads(carol, "town", "hello, carol", "are you there?")
        assert all(len(put_by(tower, bob)) >= 2 for tower in towers), "each of them has it"

    run_world(tmp_path, main)


def test_nothing_is_lost_while_one_relay_has_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, *_), towers = await found(world, 3)
        await alice.stop()
        for tower in towers[:2]:
            tower.stop()
        await bob.call("send", chat="town", text="by the third")
        await reads(carol, "town", "by the third")
        towers[2].stop()
        await bob.call("send", chat="town", text="later")
        await trio.sleep(600)
        assert await said(carol, "town") == ["by the third"]
        for tower in towers[:2]:
            tower.start()
        await reads(carol, "town", "by the third", "later")
        assert len(put_by(towers[0], bob)) >= 2, "what it missed too"

    run_world(tmp_path, main)


def test_who_was_away_for_many_epochs_follows_from_log_to_log(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, dave, *_), _ = await found(world, 1, (*NAMES, "mallory", "niaj"))
        await carol.stop()
        for name in ("ivan", "judy"):
            await bob.call("send", chat="town", text=f"before {name} goes")
            await has_stored(bob, f"before {name} goes")
            await alice.call("remove_member", chat="town", member=name)
            await has_members(bob, "town", 11 if name == "ivan" else 10)
        await dave.call("send", chat="town", text="among ten")
        await reads(bob, "town", "among ten")
        await alice.stop()
        await dave.stop()
        carol = await world.start("carol")
        await reads(carol, "town", "before ivan goes", "before judy goes", "among ten")
        await has_members(carol, "town", 10)

    run_world(tmp_path, main)


def test_who_was_removed_reads_nothing_more_at_the_relays(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, *_), towers = await found(world, 1, (*NAMES, "mallory"))
        mallory = world.nodes["mallory"]
        await bob.call("send", chat="town", text="with mallory")
        await reads(mallory, "town", "with mallory")
        before = set(towers[0].logs)
        await alice.call("remove_member", chat="town", member="mallory")
        await has_members(bob, "town", 10)
        await bob.call("send", chat="town", text="among us")
        await reads(carol, "town", "with mallory", "among us")
        after = set(towers[0].logs) - before
        assert len(after) == 1, "a log of its own, whose keys mallory does not have"
        await trio.sleep(3600)
        assert await said(mallory, "town") == ["with mallory"]

    run_world(tmp_path, main)


def test_the_logs_of_an_earlier_epoch_are_read_on_where_the_clock_is_not_trusted_yet(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, *_), _ = await found(world, 1)
        begun = bob.engine.committer._clock_watch.latest
        await alice.call("remove_member", chat="town", member="carol")
        await has_members(bob, "town", len(NAMES) - 1)
        ends = [until for (until,) in bob.db.query("SELECT until FROM group_logs WHERE until IS NOT NULL")]
        assert max(ends) >= begun + logs.READ_ON_MS, "those of an epoch that ended as they all joined end before"

    run_world(tmp_path, main)


def test_what_somebody_wrote_who_was_away_when_the_keys_were_changed_comes_days_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    async def main(world: World) -> None:
        (alice, bob, carol, *_), (tower,) = await found(world, 1, NAMES[:4])
        tower.stop()
        world.cut(carol, alice)
        await carol.call("send", chat="town", text="from the train")
        await carol.stop()
        tower.start()
        await alice.call("remove_member", chat="town", member="dave")
        await has_members(bob, "town", 3)
        await trio.sleep(logs.READ_ON_MS / 1000 + 2 * 3600)
        assert not all(place.watched for place in bob.engine.log_carrier.places.values())
        await alice.stop()
        carol = await world.start("carol")
        await has_members(carol, "town", 3)
        await has_stored(carol, "from the train")
        await trio.sleep(3 * 3600)
        assert await said(bob, "town") == ["from the train"]

    run_world(tmp_path, main)


def test_a_relay_that_lies_changes_nothing(tmp_path: Path) -> None:
    """What one withholds, repeats or makes up: the others have it all, and an item shows once."""

    async def main(world: World) -> None:
        (alice, bob, carol, *_), towers = await found(world, 3)
        await alice.stop()
        towers[0].lies.withholds = True
        towers[1].lies.repeats = towers[1].lies.reorders = True
        towers[1].lies.invents = 2
        towers[2].lies.drops = True
        for number in range(12):
            await bob.call("send", chat="town", text=f"number {number}")
        await reads(carol, "town", *(f"number {number}" for number in range(12)))

    run_world(tmp_path, main)


def test_a_relay_that_hands_out_without_end_is_read_now_and_then_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)
    monkeypatch.setattr(log_intake, "AT_ONCE_BYTES", 200_000)
    monkeypatch.setattr(log_intake, "DAILY_BYTES", 24 * 200_000)

    async def main(world: World) -> None:
        (alice, bob, carol), towers = await found(world, 2, NAMES[:3])
        await alice.stop()
        towers[0].lies.invents = 200

        async def has_enough() -> bool:
            return bool((await carol.call("group", chat="town"))["problem"] == log_intake.MORE_THAN_A_DAY)

        await bob.call("send", chat="town", text="one")
        await until(has_enough)
        await bob.call("send", chat="town", text="two")
        await reads(carol, "town", "one", "two")
        towers[0].lies.invents = 0
        towers[1].stop()
        await bob.call("send", chat="town", text="three")
        await trio.sleep(600)
        assert await said(carol, "town") == ["one", "two"]
        await trio.sleep(3 * 3600)
        await reads(carol, "town", "one", "two", "three")
        assert not await has_enough()

    run_world(tmp_path, main)


def test_a_relay_that_shows_some_members_another_log_keeps_nobody_apart(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, dave, *_), towers = await found(world, 2)
        await alice.stop()
        towers[0].lies.forks = frozenset({"carol"})
        towers[1].lies.forks = frozenset({"dave"})
        texts = [f"number {number}" for number in range(12)]
        for text in texts:
            await bob.call("send", chat="town", text=text)
        for node in (carol, dave):
            await reads(node, "town", *texts)
            assert await said(node, "town") == texts

    run_world(tmp_path, main)


def test_a_log_that_is_full_for_members_takes_the_removal_of_who_filled_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, *_), (tower,) = await found(world, 1)
        await bob.call("send", chat="town", text="there is room")
        await reads(carol, "town", "there is room")
        log = next(held for held in tower.logs.values() if tower.given[-1][2] in held)
        tower.log_room = 40
        log += [world.entropy.random(1024) for _ in range(36 - len(log))]
        await alice.stop()
        await bob.call("send", chat="town", text="it is full")
        await trio.sleep(60)
        assert await said(carol, "town") == ["there is room"]
        alice = await world.start("alice")
        await alice.call("remove_member", chat="town", member="bob")
        await has_members(carol, "town", 9)
        await until(lambda: _is(len(log) > 36))
        assert set(log[36:]) <= set(put_by(tower, alice))

    run_world(tmp_path, main)


def test_a_small_group_is_known_to_no_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (_, bob, carol), (tower,) = await found(world, 1, NAMES[:3])
        await bob.call("send", chat="town", text="hello")
        await reads(carol, "town", "hello")
        await trio.sleep(60)
        assert not any(tower.logs.values())
        assert not any(world.nodes[name].engine.log_carrier.places for name in NAMES[:3]), "nor who reads it"

    run_world(tmp_path, main)


def test_a_group_that_has_become_small_leaves_its_logs_within_a_day(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, *_), (tower,) = await found(world, 1, NAMES[:9])
        await until(lambda: _is(follows(bob, tower)))
        await alice.call("remove_member", chat="town", member="ivan")
        await has_members(bob, "town", 8)
        assert not follows(bob, tower)
        assert bob.engine.log_carrier.places, "somebody may not know of it yet"
        await bob.call("send", chat="town", text="among eight")
        await reads(alice, "town", "among eight")
        await world.sleep_days(2)
        await trio.sleep(2 * 3700)
        assert not bob.engine.log_carrier.places

    run_world(tmp_path, main)


def test_a_group_has_members_go_to_few_relays_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever manages a group could hire their nodes to connect to others, as often as they like."""
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    async def main(world: World) -> None:
        (alice, bob), (tower,) = await found(world, 1, NAMES[:2])
        await until(lambda: _is(follows(bob, tower)))

        def name(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            known = LOGS.read(history.log_of(tx, chat).state.settings)
            assert known is not None
            relay = LogRelay(PeerKey(tx.random(32)), known.relays[0].address, b"")
            changes.change_setting(tx, row, LOGS.key, replace(known, relays=(relay,)).value())

        for _ in range(RELAYS.burst + 10):
            await alice.engine.committer.submit(name)
            await trio.sleep(30)
        (chat,) = store_groups.chats(bob.db)
        newest = LOGS.read(bob.engine.committer.memory.logs[chat].state.settings)
        assert newest is not None
        ((relays,),) = bob.db.query("SELECT seq FROM sqlite_sequence WHERE name = 'group_logs'")
        assert RELAYS.burst <= relays < RELAYS.burst + 5, "some are regained meanwhile"
        await world.sleep_days(1)
        await trio.sleep(2 * 3700)
        assert [log.at for log in store_logs.all(bob.db) if log.until is None] == [*newest.relays], "later it follows"

    run_world(tmp_path, main)


def test_of_logs_that_are_over_so_many_are_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a group that people join all day long, those of a day would be more than a relay lets anybody open."""
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)
    monkeypatch.setattr(logs, "MAX_READ_ON", 3)

    async def main(world: World) -> None:
        (alice, bob), (tower,) = await found(world, 1, NAMES[:2])
        for _ in range(6):
            await alice.engine.committer.submit(rotate)
            await trio.sleep(60)
        await until(lambda: _is(follows(bob, tower)))
        places = [*bob.engine.log_carrier.places.values()]
        assert len(places) == 4
        assert places[0].pk == max(place.pk for place in places), "what is in use is opened first"

    run_world(tmp_path, main)


def rotate(tx: Transaction) -> None:
    """Make new keys for the only group."""
    (chat,) = store_groups.chats(tx.db)
    row = store_groups.get(tx.db, chat)
    assert row is not None
    changes.make(tx, row, RotateEpoch())


def test_a_relay_that_refuses_for_a_while_gets_it_later(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, *_), (tower,) = await found(world, 1)
        await alice.stop()
        tower.answers = mailbox.TOO_FAST
        sent = await bob.call("send", chat="town", text="patience")
        await trio.sleep(120)
        assert await said(carol, "town") == []
        assert "No relay of the group has it yet" in (await bob.call("why", id=sent["id"]))["reason"]
        tower.answers = mailbox.DONE
        await reads(carol, "town", "patience")
        await has_stored(bob, "patience")
        assert "at a relay of the group" in (await bob.call("why", id=sent["id"]))["reason"]

    run_world(tmp_path, main)


@pytest.mark.parametrize("fails", ["outgoing", "done", "read_upto"])
def test_a_disk_that_fails_for_a_while_ends_nothing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, *_), _ = await found(world, 1)
        await alice.stop()

        def fail(*arguments: object) -> None:
            raise Busy

        with monkeypatch.context() as patched:
            patched.setattr(store_logs, fails, fail)
            await bob.call("send", chat="town", text="in spite of it")
            await trio.sleep(120)
            assert not bob.crashed
            assert not carol.crashed
        await reads(carol, "town", "in spite of it")

    run_world(tmp_path, main)


def test_what_could_not_be_saved_is_not_counted_as_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place up to which a log was read, and what was read, are saved in one transaction."""

    async def main(world: World) -> None:
        (alice, bob, carol, *_), _ = await found(world, 1)
        await alice.stop()
        take_all, cursors = receive.take_all, "SELECT cursor FROM group_logs ORDER BY pk"
        before, tried = carol.db.query(cursors), list[object]()

        def fail(tx: Transaction, *more: Any) -> None:
            if tx.db is carol.db:
                tried.append(tx)
                raise DiskFull
            take_all(tx, *more)

        with monkeypatch.context() as patched:
            patched.setattr(receive, "take_all", fail)
            await bob.call("send", chat="town", text="in spite of it")
            await until(lambda: _is(bool(tried)))
            assert carol.db.query(cursors) == before
        await reads(carol, "town", "in spite of it")
        assert carol.db.query(cursors) != before

    run_world(tmp_path, main)


def test_an_item_that_comes_again_costs_no_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another log, or after a contact has brought it. How far a log was read is saved all the same, later."""

    async def main(world: World) -> None:
        (alice, bob, carol, *_), _ = await found(world, 3)
        await trio.sleep(600)
        taken, came = list[tuple[object, bytes]](), log_duties.came

        def count(tx: Transaction, pk: int, sealed: Sequence[bytes], upto: int) -> None:
            if tx.db is not bob.db:  # who has written it has to know that it is there
                taken.extend((tx.db, item) for item in sealed)
            came(tx, pk, sealed, upto)

        monkeypatch.setattr(log_duties, "came", count)
        places = "SELECT relay, cursor FROM group_logs WHERE until IS NULL"
        before: dict[bytes, int] = dict(carol.db.query(places))
        await bob.call("send", chat="town", text="hello")
        for node in (alice, carol):
            await reads(node, "town", "hello")
        await trio.sleep(600)
        assert len(taken) == len(set(taken)), "nobody takes it twice"
        after: dict[bytes, int] = dict(carol.db.query(places))
        assert len(after) == 3
        assert all(after[relay] > place for relay, place in before.items())

    run_world(tmp_path, main)


def test_what_nobody_can_open_leaves_no_trace_with_those_who_read_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (_, bob, carol, *_), _ = await found(world, 1)
        await bob.call("send", chat="town", text="hello")
        await reads(carol, "town", "hello")

        def make_up(tx: Transaction) -> tuple[int, int]:
            log = store_logs.all(tx.db)[-1]
            epoch = store_epochs.by_pk(tx.db, log.epoch)
            assert epoch is not None
            made_up = [epoch.tag + world.entropy.random(1024 - len(epoch.tag)) for _ in range(50)]
            counts = []
            for items in ([], made_up):
                log_duties.came(tx, log.pk, items, 0)
                counts.append(tx.db.query("SELECT count(*) FROM group_items")[0][0])
            return counts[0], counts[1]

        before, after = await carol.engine.committer.submit(make_up)
        assert before == after

    run_world(tmp_path, main)


def test_members_of_a_large_group_share_its_logs_and_look_into_the_others_hourly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_carrier, "MAX_READ_ALL", 4)

    async def main(world: World) -> None:
        (alice, *others), towers = await found(world, 3)
        await alice.stop()
        for node in others:  # what they have heard by links would hide what they read
            for other in others:
                if node is not other:
                    world.cut(node, other)
        read = {node.name: {tower.name for tower in towers if follows(node, tower)} for node in others}
        assert all(len(names) == 1 for names in read.values()), "each follows one"
        assert len(set().union(*read.values())) > 1, "not all the same one"
        bob, *rest = others
        await bob.call("send", chat="town", text="to all")
        for node in rest:
            await reads(node, "town", "to all")
        for tower in towers[:2]:
            tower.lies.withholds = True
        await bob.call("send", chat="town", text="by one of three")
        await trio.sleep(2 * 3600)
        for node in rest:
            await reads(node, "town", "to all", "by one of three")

    run_world(tmp_path, main)


def test_a_relay_that_its_owner_uses_later_carries_a_group_that_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    async def main(world: World) -> None:
        tower = world.mailbox("tower")
        (alice, bob, carol), _ = await found(world, 0, NAMES[:3])
        await alice.call("relays", add=tower.address)
        await alice.stop()
        alice = await world.start("alice")
        await bob.call("send", chat="town", text="hello")
        await reads(carol, "town", "hello")
        await until(lambda: _is(all(follows(node, tower) for node in (bob, carol))))
        await alice.stop()
        await carol.call("send", chat="town", text="by the tower")
        await reads(bob, "town", "by the tower")
        assert put_by(tower, carol)

    run_world(tmp_path, main)


def test_where_the_owner_has_no_relay_an_admin_names_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    async def main(world: World) -> None:
        tower = world.mailbox("tower")
        (alice, bob, carol), _ = await found(world, 0, NAMES[:3])
        await bob.call("relays", add=tower.address)
        await alice.call("set_role", chat="town", member="bob", role="admin")
        await until(lambda: _is(all(follows(node, tower) for node in (alice, bob, carol))), 600)
        assert [one["by"] for one in await carol.call("group_log", chat="town") if one["op"] == "set"] == ["bob"]

    run_world(tmp_path, main)


def test_an_admin_who_names_other_relays_all_day_sends_the_members_to_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    def name_others(tx: Transaction, number: int) -> None:
        row = store_groups.get(tx.db, *store_groups.chats(tx.db))
        assert row is not None
        named = [LogRelay(PeerKey(bytes([number, one]) * 16), b"somewhere", b"") for one in range(MAX_LOG_RELAYS)]
        leaves = [Leaf(one.id, one.leaf) for one in history.log_of(tx, row.chat).state.members.values() if not one.role]
        changes.change_setting(tx, row, LOGS.key, make_log_relays(row.group_id, named, leaves, tx.random).value())

    async def named_last(node: WorldNode, number: int) -> bool:
        await trio.lowlevel.checkpoint()
        return any(place.relay.peer[0] == number for place in node.engine.log_carrier.places.values())

    async def main(world: World) -> None:
        (alice, bob, _), _ = await found(world, 1, NAMES[:3])
        for number in range(1, 9):
            await alice.engine.committer.submit(name_others, number)
            await until(partial(named_last, bob, number))
        peers = {place.relay.peer for place in bob.engine.log_carrier.places.values()}
        assert len(peers) == MAX_LOG_RELAYS + logs.MAX_LEFT_RELAYS
        assert {peer[0] for peer in peers} == {8, 7, 6}, "those that were left last"

    run_world(tmp_path, main)


def test_who_hides_from_a_member_goes_to_no_relay_of_the_group_without_a_circuit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay may be that member's. It stays so after a restart."""
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    def hidden(node: WorldNode) -> set[bool]:
        return {place.relay.hidden for place in node.engine.log_carrier._places.values()}

    async def main(world: World) -> None:
        tower = world.mailbox("tower")
        alice, bob, carol = [await world.start(name) for name in ("alice", "bob", "carol")]
        await alice.call("relays", add=tower.address)
        await befriend(alice, bob)
        await befriend(alice, carol)
        await alice.call("create_group", name="town", contacts=["bob", "carol"])
        for node in (alice, bob, carol):
            await has_members(node, "town", 3)
        await bob.call("hide", contact="alice")
        before = len(put_by(tower, bob))
        await carol.call("send", chat="town", text="hello")
        await has_stored(carol, "hello")
        assert (hidden(alice), hidden(bob), hidden(carol)) == ({False}, {True}, {False})
        await bob.stop()
        bob = await world.start("bob")
        assert hidden(bob) == {True}
        await bob.call("send", chat="town", text="it waits")
        await trio.sleep(600)
        assert len(put_by(tower, bob)) == before

    run_world(tmp_path, main)


def follows(node: WorldNode, tower: MailRelay) -> bool:
    """Whether a node reads the log of the epoch under which it writes at a relay. Where an older epoch has one, it may
    have been opened there later.
    """
    places = node.engine.log_carrier._places.values()
    watched = [place.pk for place in places if place.relay.peer == tower.peer and place.watched]
    present = (
        "SELECT group_logs.pk FROM group_logs JOIN group_epochs ON group_epochs.pk = group_logs.epoch"
        " JOIN groups ON groups.chat = group_epochs.chat AND groups.epoch = group_epochs.id"
    )
    return any(pk in watched for (pk,) in node.db.query(present))


@pytest.mark.parametrize("stopped", ["bob", "carol"])
def test_a_restart_in_between_loses_nothing_and_shows_nothing_twice(tmp_path: Path, stopped: str) -> None:
    async def main(world: World) -> None:
        (alice, bob, *_), (tower,) = await found(world, 1)
        await alice.stop()
        tower.stop()
        await bob.call("send", chat="town", text="first")
        await bob.call("send", chat="town", text="second")
        await world.nodes[stopped].stop()
        await world.start(stopped)
        tower.start()
        await reads(world.nodes["carol"], "town", "first", "second")
        await world.nodes[stopped].stop()
        await world.start(stopped)
        await trio.sleep(600)
        assert await said(world.nodes["carol"], "town") == ["first", "second"]

    run_world(tmp_path, main)


def test_a_block_holds_in_a_group_whoever_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "MAX_PAIRWISE", 1)

    async def main(world: World) -> None:
        (alice, bob, carol), _ = await found(world, 1, NAMES[:3])
        await alice.call("block", contact="bob")
        await bob.call("send", chat="town", text="you cannot stop me")
        await reads(carol, "town", "you cannot stop me")
        await carol.call("send", chat="town", text="stop whom?")
        await reads(alice, "town", "stop whom?")
        await alice.call("remove_member", chat="town", member="bob")
        await has_members(carol, "town", 2)

    run_world(tmp_path, main)


def carried_to(monkeypatch: pytest.MonkeyPatch) -> list[ContactId]:
    """Note from now on to which contacts items of a group are carried in sessions, by any node."""
    carried, queue = list[ContactId](), outbound.queue

    def noting(tx: Transaction, contact: Contact, payload: Payload, **more: Any) -> None:
        if isinstance(payload, GroupItem):
            carried.append(contact.id)
        queue(tx, contact, payload, **more)

    monkeypatch.setattr(outbound, "queue", noting)
    return carried


def test_new_keys_of_a_large_group_go_into_its_logs_and_not_to_each_contact_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(world: World) -> None:
        (alice, bob, carol, *_), _ = await found(world, 1)
        await carol.stop()
        monkeypatch.setattr(logs, "MAX_BOTH", 4)
        monkeypatch.setattr(group_items, "LARGEST_PLAIN", 4_000)  # so that new keys for ten take several items
        carried = carried_to(monkeypatch)
        await alice.call("remove_member", chat="town", member="judy")
        await has_members(bob, "town", 9)
        assert carried == []
        await alice.call("set_group", chat="town", key="topic", value="walks")
        assert carried, "who has a link hears at once of what is short"
        assert await alice.id_of("carol") not in carried
        carol = await world.start("carol")
        await has_members(carol, "town", 9)

    run_world(tmp_path, main)


def test_other_logs_are_told_to_those_too_who_have_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BOTH", 4)

    async def main(world: World) -> None:
        (alice, bob, *_), _ = await found(world, 1)
        await bob.stop()
        tower = world.mailbox("another")

        def name(tx: Transaction) -> None:
            (chat,) = store_groups.chats(tx.db)
            row = store_groups.get(tx.db, chat)
            assert row is not None
            known = LOGS.read(history.log_of(tx, chat).state.settings)
            assert known is not None
            relay = LogRelay(tower.peer, known.relays[0].address, b"")
            changes.change_setting(tx, row, LOGS.key, replace(known, relays=(relay,)).value())

        carried = carried_to(monkeypatch)
        await alice.engine.committer.submit(name)
        assert await alice.id_of("bob") in carried

    run_world(tmp_path, main)


def test_the_keys_of_logs_are_not_computed_again_when_one_is_added(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        (alice, bob, *_), _ = await found(world, 2)
        before = {pk: place.keys for pk, place in bob.engine.log_carrier.places.items()}
        await alice.call("remove_member", chat="town", member="judy")
        await has_members(bob, "town", 9)
        after = bob.engine.log_carrier.places
        assert len(after) > len(before)
        assert all(after[pk].keys is keys for pk, keys in before.items())

    run_world(tmp_path, main)


def test_who_was_away_hears_of_the_member_with_whom_the_group_has_logs(tmp_path: Path) -> None:
    """That is said in a session, since there was no log before; also to somebody whom only a third member knows."""

    async def main(world: World) -> None:
        (alice, bob, *_), _ = await found(world, 1, NAMES[:7])
        mia, nina = await world.start("mia"), await world.start("nina")
        await befriend(bob, mia)
        await befriend(alice, nina)
        await alice.call("set_group", chat="town", key="invites", value="members")
        await trio.sleep(60)
        await bob.call("add_members", chat="town", contacts=["mia"])
        for node in (mia, alice):
            await has_members(node, "town", 8)
        await trio.sleep(60)
        await mia.stop()
        await alice.call("add_members", chat="town", contacts=["nina"])
        for node in (nina, bob):
            await has_members(node, "town", 9)
        await trio.sleep(600)
        mia = await world.start("mia")
        await has_members(mia, "town", 9)
        await nina.call("send", chat="town", text="hello, all nine")
        await reads(mia, "town", "hello, all nine")

    run_world(tmp_path, main)
