"""The relay's store: what it keeps, what it refuses, and what is on its disk."""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.envelope import BUCKETS, envelope_id
from p2pchat.core.ids import QueueId
from p2pchat.core.mailbox import BAD_STAMP, DONE, QUEUE_FULL, RELAY_FULL
from p2pchat.errors import DatabaseDamaged, DatabaseNewer, DiskFull, P2PChatError, ProfileError
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import disk
from p2pchat.relay import store as module
from p2pchat.relay.batches import Batch, apply
from p2pchat.relay.clock import ClockRecord
from p2pchat.relay.store import DepositResult, MailboxStore, NewBlob, Quota
from tests.support.boxes import NOW, blob
from tests.support.examples import examples

HOUR = NOW // HOUR_MS
ONE, TWO = QueueId(b"\1" * 32), QueueId(b"\2" * 32)
ROOMY = Quota(least_free=0)


@contextmanager
def opened(folder: Path, quota: Quota = ROOMY, now: int = NOW) -> Iterator[MailboxStore]:
    store = MailboxStore.open(folder / "blobs.db", quota, now)
    try:
        yield store
    finally:
        store.close()


def deposit(number: int | str, qid: QueueId = ONE, hours: int = 24, size: int = 4096, box: bool = False) -> NewBlob:
    return NewBlob(qid, blob(number, size), HOUR + hours, box)


def put(store: MailboxStore, *deposits: NewBlob, now: int = NOW) -> list[DepositResult]:
    return store.change(deposits, {}, now)


def everything(store: MailboxStore, qid: QueueId = ONE, after: int = 0) -> list[tuple[int, bytes]]:
    return store.fetch(qid, after, 10**6, 1 << 40)


# --- keeping -----------------------------------------------------------------------------------------------------


def test_what_was_kept_is_there_in_order_and_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept = put(store, *(deposit(number) for number in range(5)), deposit("x", TWO))
        assert [one.code for one in kept] == [DONE] * 6
        assert all(one.new for one in kept)
        places = [one.place for one in kept[:5]]
        assert places == sorted(set(places))
    with opened(tmp_path) as store:
        assert [one for _, one in everything(store)] == [blob(number) for number in range(5)]
        assert (store.blobs, store.queues, store.size) == (6, 2, 6 * 4096)
        assert everything(store, ONE, places[2]) == [(places[3], blob(3)), (places[4], blob(4))]
        assert store.holds_behind(ONE, places[3])
        assert not store.holds_behind(ONE, places[4])
        assert not store.holds_behind(b"\3" * 32, 0)


def test_the_same_blob_is_kept_once_a_queue(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first, again, other = put(store, deposit(1), deposit(1), deposit(1, TWO))
        assert again == DepositResult(DONE, first.place, new=False)
        assert other.new
        assert put(store, deposit(1)) == [again]
        assert (store.blobs, store.size) == (2, 8192)


def test_a_fetch_has_both_limits_and_gives_one_at_least(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, *(deposit(number, size=BUCKETS[-1]) for number in range(3)))
        assert len(store.fetch(ONE, 0, 2, 1 << 30)) == 2
        assert len(store.fetch(ONE, 0, 9, 2 * BUCKETS[-1])) == 2
        assert len(store.fetch(ONE, 0, 9, 1)) == 1
        assert store.fetch(ONE, 0, 0, 1) == []


def test_places_beyond_what_the_disk_can_count_are_no_error(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, deposit(1), deposit(2))
        assert everything(store, ONE, (1 << 64) - 1) == []
        assert not store.holds_behind(ONE, (1 << 64) - 1)
        store.change([], {ONE: (1 << 64) - 1}, NOW)
        assert store.blobs == 0


def test_deletes_reach_up_to_a_place_of_one_queue(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept = put(store, deposit(1), deposit(2), deposit(3), deposit(1, TWO))
        store.change([deposit(4)], {ONE: kept[1].place}, NOW)
        assert [one for _, one in everything(store)] == [blob(3), blob(4)]
        assert len(everything(store, TWO)) == 1
        assert (store.blobs, store.size) == (3, 3 * 4096)


# --- quotas ------------------------------------------------------------------------------------------------------


def test_a_queue_has_a_quota_of_blobs_and_of_bytes(tmp_path: Path) -> None:
    with opened(tmp_path, replace(ROOMY, queue_blobs=2)) as store:
        codes = [one.code for one in put(store, *(deposit(number) for number in range(3)), deposit(9, TWO))]
        assert codes == [DONE, DONE, QUEUE_FULL, DONE]
        assert put(store, deposit(1))[0].code == DONE  # it is there
        store.change([], {ONE: 1 << 62}, NOW)
        assert put(store, deposit(3))[0].code == DONE
    with opened(tmp_path, replace(ROOMY, queue_bytes=20_000)) as store:
        assert put(store, deposit(7, size=16_384))[0].code == QUEUE_FULL
        assert put(store, deposit(8))[0].code == DONE


def test_a_box_holds_what_its_writer_put_there_last(tmp_path: Path) -> None:
    with opened(tmp_path, replace(ROOMY, queue_bytes=BUCKETS[-1])) as store:
        first, large, again = (
            put(store, one)[0]
            for one in (deposit(1, box=True), deposit(2, box=True, size=BUCKETS[-1]), deposit(1, box=True))
        )
        assert first.place < large.place < again.place
        assert everything(store) == [(again.place, blob(1))]
        assert put(store, deposit(1, box=True)) == [DepositResult(DONE, again.place)]
        assert (store.blobs, store.size) == (1, 4096)


def test_a_repeated_deposit_prolongs_and_never_shortens(tmp_path: Path) -> None:
    with opened(tmp_path, replace(ROOMY, queue_blobs=1)) as store:
        put(store, deposit(1, hours=5))
        assert [put(store, deposit(1, hours=hours))[0].code for hours in (9, 2)] == [DONE, DONE]  # in a full queue too
        store.expire(NOW + 8 * HOUR_MS)
        assert store.blobs == 1
        store.expire(NOW + 9 * HOUR_MS)
        assert store.blobs == 0


def test_a_used_stamp_gets_nothing_kept_but_what_is_there_is_there(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        (first,) = put(store, deposit(1))
        again = deposit(1)._replace(spent=True)
        assert put(store, again) == [DepositResult(DONE, first.place)]
        store.change([], {ONE: first.place}, NOW)
        assert put(store, again) == [DepositResult(BAD_STAMP)]
        assert store.blobs == 0


# --- time --------------------------------------------------------------------------------------------------------


def test_what_is_past_its_time_goes_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXPIRED_AT_ONCE", 3)
    with opened(tmp_path) as store:
        put(store, *(deposit(number, hours=2) for number in range(4)), deposit("late", hours=3))
        assert store.expire(NOW + HOUR_MS) == 0
        assert store.expire(NOW + 2 * HOUR_MS) == 3
        assert store.expire(NOW + 2 * HOUR_MS) == 1
        assert [one for _, one in everything(store)] == [blob("late")]
        assert (store.blobs, store.size) == (1, 4096)


def test_places_tell_the_hour_and_nothing_about_other_queues(tmp_path: Path) -> None:
    """Neither the minute, nor what came for somebody else in between."""
    with opened(tmp_path) as store:
        put(store, deposit("first"))
        places = []
        for minute in range(0, 180, 7):
            now = NOW + HOUR_MS + minute * 60_000
            others = [deposit(f"{minute} {number}", QueueId(bytes([number]) * 32)) for number in range(10, 40)]
            put(store, *others, now=now)
            places.append((now // HOUR_MS, put(store, deposit(minute), now=now)[0].place))
    epochs = {hour: {place >> module._COUNT_BITS for at, place in places if at == hour} for hour, _ in places}
    assert all(len(found) == 1 for found in epochs.values())
    for hour in epochs:
        counts = [place % (1 << module._COUNT_BITS) for at, place in places if at == hour]
        assert all(later - one <= module._STEP for one, later in pairwise(counts))
        assert counts[0] <= module._STEP


def test_places_grow_when_there_are_too_many_queues_to_count_and_when_a_count_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_COUNTED", 3)
    monkeypatch.setattr(module, "_COUNT_BITS", 6)
    with opened(tmp_path) as store:
        last: dict[int, int] = {}
        for number in range(200):
            queue = number % 7 if number < 100 else 0
            (kept,) = put(store, deposit(number, QueueId(bytes([queue]) * 32)))
            assert kept.place > last.get(queue, 0)
            last[queue] = kept.place


@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize("step", [0, 1, 60_000, -3_600_000])
def test_places_grow_over_restarts_whatever_the_clock_does(tmp_path: Path, emptied: bool, step: int) -> None:
    last, now = 0, NOW
    for number in range(5):
        with opened(tmp_path, now=now) as store:
            for more in range(3):
                (kept,) = put(store, deposit(f"{number} {more}"), now=now)
                assert kept.place > last
                last = kept.place
            if emptied:
                store.change([], {ONE: last}, now)
        now += step


def test_places_grow_over_a_kill(tmp_path: Path) -> None:
    """A copy taken while it runs is what a killed process leaves."""
    with opened(tmp_path) as store:
        (kept,) = put(store, deposit(1))
        store.change([], {ONE: kept.place}, NOW)
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in tmp_path.glob("blobs.db*"):
            shutil.copy(file, copy)
    with opened(copy, now=NOW - HOUR_MS) as store:
        assert put(store, deposit(2), now=NOW - HOUR_MS)[0].place > kept.place


def test_places_of_a_restored_copy_go_on_above_those_given_out_later(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, deposit(1))
    shutil.copytree(tmp_path, tmp_path / "old")
    later = NOW + 5 * 60_000
    with opened(tmp_path, now=later) as store:
        last = put(store, *(deposit(number) for number in range(2, 2000)), now=later)[-1].place
    restored = later + 60_000
    with opened(tmp_path / "old", now=restored) as store:
        assert [one for _, one in everything(store)] == [blob(1)]
        assert put(store, deposit("new"), now=restored)[0].place > last


# --- what is on the disk -----------------------------------------------------------------------------------------


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.glob("blobs.db*")))


@pytest.mark.parametrize("size", BUCKETS)
def test_what_was_deleted_is_in_no_file_after_the_checkpoint(tmp_path: Path, size: int) -> None:
    secret = blob("secret", size)
    piece = secret[size // 2 : size // 2 + 64]
    with opened(tmp_path) as store:
        put(store, *(deposit(number, TWO, size=size) for number in range(20)), NewBlob(ONE, secret, HOUR + 5))
        assert piece in on_disk(tmp_path)
        store.change([], {ONE: 1 << 62}, NOW)
        store.checkpoint()
        left = on_disk(tmp_path)
        assert piece not in left
        assert secret[:64] not in left
        assert secret[-64:] not in left
        assert bytes(ONE) not in left
        assert blob(3, size)[-64:] in left


def agreement(order: list[int]) -> float:
    """1 where the numbers stand in order, -1 in the reverse, about 0 in none (Spearman's coefficient)."""
    count = len(order)
    return 1 - 6 * sum((at - number) ** 2 for at, number in enumerate(order)) / (count * (count**2 - 1))


@pytest.mark.parametrize("churned", [False, True])
def test_the_order_in_which_blobs_came_is_not_on_the_disk(tmp_path: Path, churned: bool) -> None:
    """Else queues that are filled one after the other, over and over, would belong to one person."""
    with opened(tmp_path) as store:
        if churned:
            for number in range(300):
                (kept,) = put(store, deposit(f"earlier {number}", TWO))
                store.change([], {TWO: kept.place - 200}, NOW)
            store.change([], {TWO: 1 << 62}, NOW)
        for number in range(300):
            put(store, deposit(number, QueueId(blob(f"queue {number}")[:32])))
        store.checkpoint()
        assert (tmp_path / "blobs.db-wal").stat().st_size == 0
        raw = (tmp_path / "blobs.db").read_bytes()
        where = [raw.index(blob(number)[-64:]) for number in range(300)]
        rows = store._connection.execute("SELECT blob FROM blobs NOT INDEXED").fetchall()
        names = {blob(number): number for number in range(300)}
        for order in (sorted(range(300), key=where.__getitem__), [names[one] for (one,) in rows]):
            assert abs(agreement(order)) < 0.3  # by chance beyond 0.3: once in five million times
        with pytest.raises(sqlite3.OperationalError, match="rowid"):
            store._connection.execute("SELECT rowid FROM blobs")


def test_a_blob_past_its_time_is_in_no_file_after_the_checkpoint(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, deposit("secret", hours=1))
        store.expire(NOW + HOUR_MS)
        store.checkpoint()
        assert blob("secret")[:64] not in on_disk(tmp_path)
        assert bytes(ONE) not in on_disk(tmp_path)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, deposit(1))
        for file in tmp_path.glob("blobs.db*"):
            assert file.stat().st_mode & 0o777 == 0o600, file


# --- disks that are full or broken -------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Every file of this process ends there, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_turns_deposits_away_and_keeps_what_is_there(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, *(deposit(number) for number in range(50)))
        before = (store.blobs, store.size, store.queues)
        log = (tmp_path / "blobs.db-wal").stat().st_size
        with files_of_at_most(log + 30_000):
            for number in range(3):
                with pytest.raises(DiskFull):
                    put(store, *(deposit(f"{number} {more}", TWO) for more in range(50)))
                assert (store.blobs, store.size, store.queues) == before
                assert [one for _, one in everything(store)] == [blob(one) for one in range(50)]
        assert put(store, deposit("room again"))[0].code == DONE
    with opened(tmp_path) as store:
        assert len(everything(store)) == 51
        assert everything(store, TWO) == []


def test_a_full_database_turns_deposits_away_and_lets_deletes_through(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        kept = put(store, *(deposit(number) for number in range(50)))
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        with pytest.raises(DiskFull):
            put(store, *(deposit(f"more {number}") for number in range(module._GROWTH_PAGES)))
        assert len(everything(store)) == 50
        store.change([], {ONE: kept[29].place}, NOW)
        assert len(everything(store)) == 20
        assert put(store, deposit("room again"))[0].code == DONE


def test_nothing_is_kept_where_the_disk_is_nearly_full(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, deposit(1))
    with opened(tmp_path, Quota(least_free=1 << 60)) as store:
        assert [one.code for one in put(store, deposit(2), deposit(1))] == [RELAY_FULL, DONE]
        assert len(everything(store)) == 1


def test_on_a_full_disk_deletes_get_the_room_that_was_kept_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up = disk.Reserve.give_up

    def freed(reserve: disk.Reserve) -> bool:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        return give_up(reserve)

    monkeypatch.setattr(disk.Reserve, "give_up", freed)
    with opened(tmp_path, replace(ROOMY, reserve=1 << 20)) as store:
        put(store, *(deposit(number) for number in range(50)))
        reserve = tmp_path / "reserve"
        assert reserve.stat().st_size == 1 << 20
        batch = Batch()
        batch.upto[ONE] = 1 << 62
        batch.deletes.append((cast(Any, None), 1))
        with files_of_at_most((tmp_path / "blobs.db-wal").stat().st_size):
            assert apply(store, batch, NOW, bytes).deleted
        assert store.blobs == 0
        assert not reserve.exists()
        assert apply(store, Batch(tidy=True), NOW, bytes).failure is None
        assert reserve.exists()


def test_a_damaged_file_is_refused_and_not_touched(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, *(deposit(number) for number in range(200)))
    path = tmp_path / "blobs.db"
    whole = path.read_bytes()
    for damaged in (b"\xff" * 4096 + whole[4096:], b"no database" * 1000):
        path.write_bytes(damaged)
        with pytest.raises(DatabaseDamaged):
            MailboxStore.open(path, ROOMY, NOW)
        assert path.read_bytes() == damaged


def test_after_an_end_that_was_none_it_is_read_whole_and_damage_is_found(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, *(deposit(number) for number in range(200)))
        assert not store.unchecked
    path = tmp_path / "blobs.db"
    whole = path.read_bytes()
    at = whole.index(ONE) // 4096 * 4096
    path.write_bytes(whole[:at] + b"\xff" * 4096 + whole[at + 4096 :])
    (tmp_path / "blobs.db-in-use").touch()
    with opened(tmp_path) as store:
        assert store.unchecked
        with pytest.raises(DatabaseDamaged):
            store.check()
        with pytest.raises(DatabaseDamaged):
            put(store, deposit("new", TWO))
    with opened(tmp_path) as store:
        assert store.unchecked  # it is checked until it is whole
    path.write_bytes(whole)
    with opened(tmp_path) as store:
        store.check()
    with opened(tmp_path) as store:
        assert not store.unchecked


def test_to_open_it_reads_little_of_what_it_holds(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, *(deposit(number, size=BUCKETS[-1]) for number in range(60)))
    read: list[str] = []
    connect = sqlite3.connect

    def counted(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(read.append)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", counted)
        with opened(tmp_path) as store:
            assert store.blobs == 60
    assert not any("_check" in statement for statement in read)
    (count,) = [statement for statement in read if "count(*)" in statement]
    plan = connect(tmp_path / "blobs.db").execute(f"EXPLAIN QUERY PLAN {count}").fetchall()
    assert all("COVERING INDEX" in step[-1] for step in plan)


_OLD_TABLES = {
    "released": disk._BLOBS + "INSERT INTO places VALUES (0);"
    "CREATE TABLE spare (number INTEGER PRIMARY KEY, page BLOB NOT NULL) STRICT;",
    "draft": """
        CREATE TABLE blobs (pk INTEGER PRIMARY KEY, qid BLOB NOT NULL, place INTEGER NOT NULL, name BLOB NOT NULL,
            expires INTEGER NOT NULL, size INTEGER NOT NULL, blob BLOB NOT NULL) STRICT;
        CREATE INDEX blobs_by_place ON blobs (qid, place, size);
        CREATE UNIQUE INDEX blobs_by_name ON blobs (qid, name);
        CREATE INDEX blobs_by_expiry ON blobs (expires);
        CREATE TABLE places (above INTEGER NOT NULL) STRICT;
        INSERT INTO places VALUES (123456789012345);
    """,
    "unknown": "CREATE TABLE blobs (something TEXT); CREATE TABLE places (else TEXT);",
}


@pytest.mark.parametrize("build", _OLD_TABLES)
def test_the_store_of_an_older_build_is_taken_over_or_named(tmp_path: Path, build: str) -> None:
    path = tmp_path / "blobs.db"
    old = sqlite3.connect(path)
    old.executescript(_OLD_TABLES[build].replace("else TEXT", "other TEXT") + "PRAGMA user_version = 1;")
    if build == "unknown":
        old.close()
        with pytest.raises(ProfileError, match="older") as refused:
            MailboxStore.open(path, ROOMY, NOW)
        assert not isinstance(refused.value, DatabaseDamaged)
        return
    names = "(qid, place, name, expires, size, blob)"
    for number in range(3):
        row = (ONE, 123456789012000 + number, envelope_id(blob(number)), HOUR + 5, 4096, blob(number))
        old.execute(f"INSERT INTO blobs {names} VALUES (?, ?, ?, ?, ?, ?)", row)
    old.commit()
    old.close()
    for _ in range(2):
        with opened(tmp_path) as store:
            assert [one for _, one in everything(store)] == [blob(number) for number in range(3)]
            assert store.seen is None
            assert put(store, deposit(2))[0] == DepositResult(DONE, 123456789012002)
    with opened(tmp_path) as store:
        assert put(store, deposit(9))[0].place > 123456789012345


def test_what_the_clock_says_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.note(ClockRecord(HOUR, 0, None))
        store.expire(NOW, ClockRecord(HOUR + 1, 3, 0))
    with opened(tmp_path) as store:
        assert store.seen == ClockRecord(HOUR + 1, 3, 0)


def test_other_errors_of_the_database_are_no_damage(tmp_path: Path) -> None:
    for name, code in (("SQLITE_ERROR", 1), ("SQLITE_READONLY", 8), ("SQLITE_CANTOPEN", 14), ("SQLITE_FULL", 13)):
        error = sqlite3.OperationalError(name)
        error.sqlite_errorcode = code
        with pytest.raises(P2PChatError) as caught, disk.translated():
            raise error
        assert not isinstance(caught.value, DatabaseDamaged), name


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store._connection.execute(f"PRAGMA user_version = {disk.SCHEMA + 1}")
    with pytest.raises(DatabaseNewer):
        MailboxStore.open(tmp_path / "blobs.db", ROOMY, NOW)


def test_damage_that_shows_later_is_an_error_of_ours(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, deposit(1))
        store._connection.execute("DROP TABLE places")
        store._used = 0
        with pytest.raises(P2PChatError):
            put(store, deposit(2))
        assert (store.blobs, store.size) == (1, 4096)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProfileError):
        MailboxStore.open(tmp_path / "file" / "blobs.db", ROOMY, NOW)


def test_a_second_writer_is_turned_away(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, deposit(1))
        other = sqlite3.connect(tmp_path / "blobs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(P2PChatError, match="cannot be used"):
            put(store, deposit(2))
        other.close()
        assert put(store, deposit(2))[0].code == DONE


# --- any sequence ------------------------------------------------------------------------------------------------

_numbers = st.integers(0, 9)
_deeds = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete", "expire", "fail", "again"]), st.integers(0, 2), _numbers, st.integers(1, 5)
    ),
    max_size=25,
)


@settings(max_examples=examples(40))
@given(_deeds)
def test_what_it_counts_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple[str, int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    quota = replace(ROOMY, queue_blobs=4, total_bytes=9 * 4096)
    store, now = MailboxStore.open(folder / "blobs.db", quota, NOW), NOW
    last: dict[int, int] = {}
    try:
        for deed, queue, number, hours in deeds:
            qid = bytes([queue]) * 32
            match deed:
                case "put":
                    (kept,) = put(store, NewBlob(qid, blob(number), now // HOUR_MS + hours), now=now)
                    assert not kept.new or kept.place > last.get(queue, 0)
                    last[queue] = max(last.get(queue, 0), kept.place)
                case "delete":
                    rows = everything(store, QueueId(qid))
                    store.change([], {qid: rows[min(number, len(rows) - 1)][0] if rows else 0}, now)
                case "expire":
                    now += hours * HOUR_MS
                    store.expire(now)
                case "fail":
                    with pytest.raises(AttributeError):
                        store.change([NewBlob(qid, blob(number), now // HOUR_MS + 9), None], {}, now)  # type: ignore[list-item]
                case _:
                    store.close()
                    store = MailboxStore.open(folder / "blobs.db", quota, now)
            there = store._connection.execute("SELECT qid, size FROM blobs").fetchall()
            assert (store.blobs, store.size) == (len(there), sum(size for _, size in there))
            assert store.queues == len({qid for qid, _ in there})
            assert store.size <= quota.total_bytes
    finally:
        store.close()
