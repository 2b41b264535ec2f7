"""What a message says that its author had seen: what ours name, and what is made of what those of others name."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.core.delivery import Route
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.messages import GroupMessage, SeenMessage
from p2pchat.core.ids import MemberId
from p2pchat.engine.groups import transcript
from p2pchat.engine.groups.item_batch import ItemBatch
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import gaps as store_gaps
from p2pchat.store.groups.epochs import EpochRow
from tests.engine.groups.test_gaps import Group, in_time


def message(group: Group, epoch: EpochRow, member: MemberId, number: int, *seen: SeenMessage) -> GroupMessage:
    return GroupMessage(group.row.group_id, epoch.id, member, number, (), seen, b"content", bytes(64))


def read(
    group: Group, member: MemberId, number: int, *seen: SeenMessage, epoch: EpochRow | None = None
) -> GroupMessage:
    """Take a message as one that was opened."""
    under = group.epoch if epoch is None else epoch
    made = message(group, under, member, number, *seen)
    with ItemBatch(group.tx, group.row, Route.MAILBOX) as batch:
        transcript.read(batch, group.row, under, made, b"body")
    return made


def newest(group: Group) -> list[tuple[int, MemberId, int]]:
    return [(one.back, one.member, one.number) for one in transcript.newest(group.tx, group.epoch)]


def test_the_newest_that_nobody_names_are_named_and_then_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        tx, bob, carol = group.tx, group.bob, group.carol
        tx.db.execute("DELETE FROM group_transcript")  # of how they found each other
        assert group.epoch.before is not None
        before = store_epochs.get(tx.db, group.chat, group.epoch.before)
        assert before is not None
        early = read(group, bob, 90, epoch=before)
        read(group, carol, 91)
        assert newest(group) == [(0, carol, 91), (1, bob, 90)]
        read(group, bob, 92, SeenMessage(1, bob, 90, early.transcript_head))
        assert newest(group) == [(0, bob, 92), (0, carol, 91), (1, bob, 90)], "of their own, it names nothing"
        read(group, carol, 93, SeenMessage(1, bob, 90, early.transcript_head))
        assert newest(group) == [(0, carol, 93), (0, bob, 92), (0, carol, 91)]
        for number in (94, 95):
            read(group, bob, number)
        assert newest(group) == [(0, bob, 95), (0, bob, 94), (0, carol, 93), (0, bob, 92)], "four"
        ours = message(group, group.epoch, group.row.member, 1, *transcript.newest(tx, group.epoch))
        transcript.wrote(tx, group.epoch, ours, b"body")
        assert newest(group) == [(0, carol, 91)], "and none of our own"
        read(group, carol, 96, epoch=before)
        assert newest(group) == [(1, carol, 96), (0, carol, 91)]
        ours = message(group, group.epoch, group.row.member, 2, *transcript.newest(tx, group.epoch))
        transcript.wrote(tx, group.epoch, ours, b"body")
        assert newest(group) == []
        assert not tx.memory.disputes

    in_time(tmp_path, monkeypatch, play)


def test_what_others_name_is_missing_only_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        tx, me, bob, carol = group.tx, group.row.member, group.bob, group.carol
        store_epochs.put_chain(tx.db, group.epoch.pk, bob, Chain(bytes(32), 90))
        for ignored in (SeenMessage(0, me, 999, bytes(8)), SeenMessage(0, carol, 999, bytes(8))):
            read(group, carol, 91, ignored)
        read(group, carol, 92, SeenMessage(1, bob, 95, bytes(8)), epoch=group.epoch._replace(before=None))
        assert group.rows("number") == [], "of ours, of their own, of an epoch that is not here"
        read(group, carol, 93, SeenMessage(0, bob, 95, bytes(8)))
        assert group.rows("number, named_by") == [(95, carol)]
        assert not tx.memory.disputes

    in_time(tmp_path, monkeypatch, play)


def test_another_message_in_its_place_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        tx, bob, carol = group.tx, group.bob, group.carol
        mine = read(group, bob, 90)
        read(group, carol, 91, SeenMessage(0, bob, 90, mine.transcript_head))
        assert not tx.memory.disputes
        for number in (92, 93):
            read(group, carol, number, SeenMessage(0, bob, 90, bytes(8)))
            assert tx.memory.disputes == {(group.epoch.pk, carol): {bob}}
        told = tx.db.query("SELECT text FROM messages WHERE text LIKE '%different things%'")
        assert told == [("bob has told you and carol different things, or carol says so and it is not true.",)]
        assert store_gaps.chats(tx.db) == []

    in_time(tmp_path, monkeypatch, play)


def test_what_another_one_named_before_it_came_need_not_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        bob, carol = group.bob, group.carol
        group.tx.db.execute("DELETE FROM group_transcript")
        group.miss(90, by=carol)
        group.miss(91)
        for number in (90, 91):
            read(group, bob, number)
        assert newest(group) == [(0, bob, 91)]
        assert group.rows("number") == []

    in_time(tmp_path, monkeypatch, play)


def test_what_is_named_and_comes_in_one_batch_is_missing_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(group: Group) -> None:
        tx, bob, carol = group.tx, group.bob, group.carol
        store_epochs.put_chain(tx.db, group.epoch.pk, bob, Chain(bytes(32), 90))
        with ItemBatch(tx, group.row, Route.MAILBOX) as batch:
            for made in (
                message(group, group.epoch, carol, 91),
                message(group, group.epoch, carol, 92, SeenMessage(0, bob, 95, bytes(8))),
                message(group, group.epoch, bob, 95),
            ):
                transcript.read(batch, group.row, group.epoch, made, b"body")
        assert group.rows("number") == []

    in_time(tmp_path, monkeypatch, play)


def test_so_much_that_one_member_disputes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(group: Group) -> None:
        tx, carol = group.tx, group.carol
        others = [MemberId(bytes([number]) * 8) for number in range(1, 11)]
        for other in others:
            read(group, other, 90)
            read(group, carol, 100 + other[0], SeenMessage(0, other, 90, bytes(8)))
        read(group, group.bob, 90, SeenMessage(0, others[-1], 90, bytes(8)))
        assert tx.memory.disputes == {
            (group.epoch.pk, carol): {*others[:8]},
            (group.epoch.pk, group.bob): {others[-1]},
        }
        sql = "SELECT count(*) FROM messages WHERE text LIKE '%different things%'"
        assert tx.db.query(sql) == [(9,)]

    in_time(tmp_path, monkeypatch, play)
