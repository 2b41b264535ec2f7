"""The store of file boxes: what it keeps, what a power cut or a full disk leaves, and what is on a seized disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from p2pchat.core.envelope import envelope_id
from p2pchat.core.mailbox import DONE, QUEUE_FULL, RELAY_FULL
from p2pchat.errors import DatabaseDamaged, DatabaseNewer, DiskFull
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import blob_slots, box_store
from p2pchat.relay.blob_slots import GROWTH_SLOTS
from p2pchat.relay.box_store import BoxDeposit, BoxQuota, BoxStore
from p2pchat.relay.store import MailboxStore, Quota, wanted_free
from tests.support.boxes import NOW, blob

SIZE = 65_536
HOUR = NOW // HOUR_MS
BOX, OTHER = b"\1" * 32, b"\2" * 32
BLOBS = [blob(number, SIZE) for number in range(40)]


LARGE = BoxQuota(1 << 30, 1 << 30)


def opened(folder: Path, quota: BoxQuota = LARGE, **options: Any) -> BoxStore:
    return BoxStore.open(folder / "files.db", quota, NOW, **options)


def put(store: BoxStore, *blobs: bytes, qid: bytes = BOX, hours: int = 9, source: Sequence[bytes] = ()) -> list[int]:
    deposits = [BoxDeposit(qid, one, HOUR + hours, source=tuple(source)) for one in blobs]
    return [result.code for result in store.change(deposits, [], NOW)]


def forget(store: BoxStore, *blobs: bytes) -> None:
    store.change([], [(BOX, [envelope_id(one) for one in blobs])], NOW)


def held(store: BoxStore, *blobs: bytes, qid: bytes = BOX) -> list[bool]:
    return [store.get(qid, envelope_id(one)) == one for one in blobs]


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert put(store, *BLOBS[:5]) == [DONE] * 5
    put(store, BLOBS[0], qid=OTHER)
    forget(store, BLOBS[1])
    store.close()
    store = opened(tmp_path)
    assert (store.blobs, store.size, store.boxes) == (5, 5 * SIZE, 2)
    assert held(store, *BLOBS[:6]) == [True, False, True, True, True, False]
    assert held(store, *BLOBS[:2], qid=OTHER) == [True, False]
    store.close()


def test_a_seized_disk_has_box_name_hour_and_blob_and_nothing_of_what_was_deleted(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, *BLOBS)
    forget(store, *BLOBS[:30])
    store.tidy()
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert not content["files.db-wal"]
    slots_read = [content["files.blobs"][at * SIZE : (at + 1) * SIZE] for at in range(GROWTH_SLOTS)]
    used = [at for at, slot in enumerate(slots_read) if slot.strip(b"\0")]
    everything = b"".join([content["files.db"], content["files.db-shm"], *(slots_read[at] for at in used)])
    for one in BLOBS[:30]:
        assert not any(part in everything for part in (one[:64], bytes(envelope_id(one))))
    with closing(sqlite3.connect(tmp_path / "files.db")) as reader:
        tables = {name for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = [row[1] for row in reader.execute("PRAGMA table_info(boxed)")]
        slots = [slot for (slot,) in reader.execute("SELECT slot FROM boxed")]
        assert reader.execute("SELECT count(*) FROM loose WHERE slot IN (SELECT slot FROM boxed)").fetchone() == (0,)
    assert tables == {"boxed", "loose"}
    assert columns == ["qid", "name", "expires", "slot"]
    assert used == sorted(slots), "nothing else is in the file"
    store.close()


def test_slots_do_not_tell_the_order_of_arrival(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for one in BLOBS:
        put(store, one)
    with closing(sqlite3.connect(tmp_path / "files.db")) as reader:
        slot_of = dict(reader.execute("SELECT name, slot FROM boxed"))
    order = [slot_of[envelope_id(one)] for one in BLOBS]
    assert order not in (sorted(order), sorted(order, reverse=True))
    assert max(order) - min(order) > GROWTH_SLOTS // 4
    store.close()


def test_slots_are_taken_anywhere_in_the_file(tmp_path: Path) -> None:
    slots = blob_slots.BlobSlots(tmp_path / "blobs")
    slots.grow()
    slots.grow()
    taken = slots.take(GROWTH_SLOTS)
    assert len(set(taken)) == slots.empty == GROWTH_SLOTS
    assert GROWTH_SLOTS // 4 < sum(slot < GROWTH_SLOTS for slot in taken) < GROWTH_SLOTS * 3 // 4
    slots.close()


def test_the_name_of_a_new_file_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[set[str]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        if os.path.samestat(os.fstat(descriptor), tmp_path.stat()):
            synced.append({path.name for path in tmp_path.iterdir()})

    monkeypatch.setattr(os, "fsync", watched)
    store = opened(tmp_path)
    assert any("files.blobs" in names for names in synced), "or a power cut takes the file, and its blobs"
    store.close()


@pytest.mark.parametrize("when", ["written", "committed", "deleted"])
def test_a_power_cut_leaves_no_name_without_its_blob_and_no_blob_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    class PowerCut(BaseException):
        pass

    def cut(*_: object) -> None:
        shutil.copytree(tmp_path / "disk", tmp_path / "later")
        raise PowerCut

    (tmp_path / "disk").mkdir()
    store = opened(tmp_path / "disk")
    put(store, *BLOBS[:2])
    if when == "written":  # and not committed
        monkeypatch.setattr(store._slots, "sync", cut)
        with pytest.raises(PowerCut):
            put(store, BLOBS[2])
    elif when == "committed":
        put(store, BLOBS[2])
        shutil.copytree(tmp_path / "disk", tmp_path / "later")
    else:  # and not overwritten
        put(store, BLOBS[2])
        forget(store, BLOBS[2])
        shutil.copytree(tmp_path / "disk", tmp_path / "later")
    assert BLOBS[2] in (tmp_path / "later" / "files.blobs").read_bytes()
    store = opened(tmp_path / "later")
    assert held(store, *BLOBS[:3]) == [True, True, when == "committed"]
    store.tidy()
    assert (BLOBS[2] in (tmp_path / "later" / "files.blobs").read_bytes()) == (when == "committed")
    assert put(store, *BLOBS[2:10]) == [DONE] * 8
    assert held(store, *BLOBS[:10]) == [True] * 10
    store.close()


def test_a_failing_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path)
    put(store, *BLOBS[:3], source=[b"net", b"place"])

    def full(*_: object) -> None:
        raise DiskFull("full")

    with monkeypatch.context() as patch:
        patch.setattr(store._slots, "sync", full)
        with pytest.raises(DiskFull):
            store.change([BoxDeposit(BOX, BLOBS[3], HOUR + 1)], [(BOX, [envelope_id(BLOBS[0])])], NOW)
    assert (store.blobs, store.size) == (3, 3 * SIZE)
    assert held(store, *BLOBS[:4]) == [True, True, True, False]
    store.tidy()
    assert BLOBS[3] not in (tmp_path / "files.blobs").read_bytes()
    assert put(store, BLOBS[3], BLOBS[4]) == [DONE, DONE]
    assert held(store, *BLOBS[:5]) == [True] * 5
    store.close()


def test_space_that_others_need_is_left_free(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    store = opened(tmp_path, spare=lambda: disk.f_bavail * disk.f_frsize)
    assert put(store, BLOBS[0]) == [RELAY_FULL]
    assert not (tmp_path / "files.blobs").stat().st_size
    store.close()


def test_quotas_of_a_box_and_of_all(tmp_path: Path) -> None:
    store = opened(tmp_path, BoxQuota(8 * SIZE, 3 * SIZE))
    assert put(store, *BLOBS[:4], BLOBS[0]) == [DONE, DONE, DONE, QUEUE_FULL, DONE]
    store.limit(BoxQuota(8 * SIZE, 6 * SIZE))
    assert put(store, *BLOBS[4:7]) == [DONE] * 3
    store.close()


def test_those_who_hold_most_give_way(tmp_path: Path) -> None:
    store = opened(tmp_path, BoxQuota(16 * SIZE, 16 * SIZE))
    put(store, *BLOBS[:16], source=[b"flood", b"a place"])
    assert put(store, *BLOBS[20:24], qid=OTHER, source=[b"home", b"another"]) == [DONE] * 4
    assert (store.blobs, sum(held(store, *BLOBS[:16]))) == (16, 12)
    assert held(store, *BLOBS[20:24], qid=OTHER) == [True] * 4
    assert put(store, BLOBS[30], source=[b"flood", b"a place"]) == [RELAY_FULL]
    assert store.blobs == 16
    store.close()


def test_what_the_disk_has_changed_is_not_given_out(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, BLOBS[0])
    path = tmp_path / "files.blobs"
    data = bytearray(path.read_bytes())
    data[data.index(BLOBS[0][:64])] ^= 1
    path.write_bytes(data)
    assert store.get(BOX, envelope_id(BLOBS[0])) is None
    assert store.have(BOX, [envelope_id(BLOBS[0])]) == [False], "so that it is put again"
    assert put(store, BLOBS[0], BLOBS[1]) == [DONE, DONE]
    assert held(store, *BLOBS[:2]) == [True, True]
    os.truncate(path, 0)
    assert held(store, *BLOBS[:2]) == [False, False]
    store.close()


def test_a_file_of_blobs_that_is_gone_costs_only_its_blobs(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, *BLOBS[:3])
    store.close()
    (tmp_path / "files.blobs").unlink()
    store = opened(tmp_path)
    assert not store.blobs
    assert held(store, *BLOBS[:3]) == store.have(BOX, [envelope_id(one) for one in BLOBS[:3]]) == [False] * 3
    for at in range(9):
        assert put(store, BLOBS[at]) == [DONE]
        store.tidy()
    assert held(store, *BLOBS[:9]) == [True] * 9
    store.close()


def test_blobs_expire_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_store, "MAX_EXPIRED_AT_ONCE", 8)
    store = opened(tmp_path)
    put(store, *BLOBS[:12], hours=2)
    put(store, *BLOBS[12:15], hours=5)
    later = NOW + 3 * HOUR_MS
    assert [store.expire(later), store.expire(later), store.expire(later)] == [8, 4, 0]
    assert held(store, *BLOBS[:15]) == [False] * 12 + [True] * 3
    store.close()


def test_slots_are_used_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for start in range(0, 40, 10):
        put(store, *BLOBS[start : start + 10])
        forget(store, *BLOBS[start : start + 10])
        if start % 20:
            store.tidy()
    assert (tmp_path / "files.blobs").stat().st_size == GROWTH_SLOTS * SIZE
    assert blob_slots.BlobSlots(tmp_path / "files.blobs").slots == GROWTH_SLOTS
    store.close()


def test_a_large_file_with_nothing_left_gives_its_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (blob_slots, box_store):
        monkeypatch.setattr(module, "GROWTH_SLOTS", 8)
    store, path = opened(tmp_path), tmp_path / "files.blobs"
    put(store, *BLOBS[:20])
    forget(store, *BLOBS[:19])
    store.tidy()
    assert path.stat().st_size >= 20 * SIZE
    forget(store, BLOBS[19])
    store.tidy()
    assert not path.stat().st_size
    assert put(store, *BLOBS[:5]) == [DONE] * 5
    assert held(store, *BLOBS[:5]) == [True] * 5
    store.close()
    store = opened(tmp_path)
    assert held(store, *BLOBS[:5]) == [True] * 5
    store.close()


def test_what_was_deleted_is_overwritten_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_store, "MAX_OVERWRITTEN_AT_ONCE", 8)
    store = opened(tmp_path)
    put(store, *BLOBS[:20])
    forget(store, *BLOBS[:20])
    assert [store.tidy(), store.tidy(), store.tidy()] == [True, True, False]
    assert not (tmp_path / "files.blobs").read_bytes().strip(b"\0")
    put(store, *BLOBS[:20])
    forget(store, *BLOBS[:20])
    store.close()
    assert not (tmp_path / "files.blobs").read_bytes().strip(b"\0")


def test_a_damaged_or_a_newer_index_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, *BLOBS[:3])
    store.close()
    with closing(sqlite3.connect(tmp_path / "files.db")) as writer:
        writer.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseNewer):
        opened(tmp_path)
    path = tmp_path / "files.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xee" * (path.stat().st_size - 4096))
    with pytest.raises((DatabaseDamaged, DatabaseNewer)):
        opened(tmp_path)


def test_without_room_for_files_nothing_of_them_is_left(tmp_path: Path) -> None:
    path = tmp_path / "files.db"
    store = BoxStore.open_or_none(path, LARGE, NOW, lambda: 0)
    assert store is not None
    put(store, BLOBS[0])
    store.close()
    assert BoxStore.open_or_none(path, BoxQuota(0, 0), NOW, lambda: 0) is None
    assert not list(tmp_path.iterdir())


def test_a_relay_goes_on_without_a_store_that_cannot_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "files.db"
    path.write_bytes(b"nonsense" * 1000)
    assert BoxStore.open_or_none(path, LARGE, NOW, lambda: 0) is None
    assert "no file boxes" in caplog.text
    assert str(tmp_path) not in caplog.text


def test_messages_are_left_the_space_that_they_may_still_need(tmp_path: Path) -> None:
    messages = MailboxStore.open(tmp_path / "blobs.db", Quota(total_bytes=1 << 40, least_free=1 << 20), NOW)
    free = wanted_free(messages)
    assert 1.19 * (1 << 40) < free < 1.21 * (1 << 40) + (1 << 20)
    store = opened(tmp_path, spare=lambda: wanted_free(messages))
    assert put(store, BLOBS[0]) == [RELAY_FULL]
    messages.limit(Quota(total_bytes=1 << 20, least_free=1 << 20))
    assert wanted_free(messages) < 3 << 20
    assert put(store, BLOBS[0]) == [DONE]
    store.close()
    messages.close()
