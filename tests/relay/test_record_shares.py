"""A relay with as many presence records as it keeps: whoever brought most gives way, and nobody owns the room."""

from __future__ import annotations

from pathlib import Path

from p2pchat.core.mailbox import DONE, NOT_ALLOWED, RELAY_FULL
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.net.multiaddrs import neighbourhood
from p2pchat.relay.limits import Origins
from p2pchat.relay.record_shares import RecordShares
from p2pchat.relay.records import record_id
from p2pchat.relay.store import BYTES_A_RECORD, MailboxStore, NewBlob, Quota
from tests.relay.test_records import record
from tests.support.boxes import NOW, blob

ROOM = 64
QUOTA = Quota(total_bytes=ROOM * BYTES_A_RECORD, least_free=0)
ORIGINS = Origins(bytes)
HOUR = NOW // HOUR_MS


def new(name: int, ip: str, number: int = 1, hours: int = 24) -> NewBlob:
    made = record(name, number)
    source = ORIGINS.of(neighbourhood(ip)).names
    return NewBlob(record_id(made.public), made.raw, HOUR + hours, box=True, source=source, record=made)


def put(store: MailboxStore, *deposits: NewBlob) -> list[int]:
    return [result.code for result in store.change(deposits, {}, NOW)]


def opened(folder: Path) -> MailboxStore:
    return MailboxStore.open(folder / "blobs.db", QUOTA, NOW)


def test_no_flood_from_rented_networks_keeps_out_who_comes_later(tmp_path: Path) -> None:
    """Records are first come, first served no more."""
    store = opened(tmp_path)
    early = [new(900 + number, f"40.{number}.0.1") for number in range(3)]
    assert put(store, *early) == [DONE] * 3
    for number in range(400):
        put(store, new(number, f"20.{number % 8}.0.{number % 100}"))
    assert store.records == ROOM
    late = [new(800 + number, f"30.{number}.0.1") for number in range(10)]
    assert put(store, *late) == [DONE] * 10
    for number in range(400, 800):
        put(store, new(number, f"20.{number % 8}.0.{number % 100}"))
    assert store.records == ROOM
    assert all(store.holds(each.qid) for each in (*early, *late))
    many = [new(2000 + number, f"50.{number}.0.1") for number in range(200)]
    assert RELAY_FULL in put(store, *many)  # one of each of 64 networks: nobody has more than another
    store.close()


def test_who_brought_records_before_a_restart_is_not_known_and_those_give_way_first(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, *[new(number, f"20.{number}.0.1") for number in range(ROOM)])
    store.close()
    store = opened(tmp_path)
    assert store.records == ROOM
    again = new(0, "20.0.0.1", 2)
    assert put(store, again) == [DONE]
    assert put(store, *[new(100 + number, f"30.{number}.0.1") for number in range(30)]) == [DONE] * 30
    assert (store.records, store.holds(again.qid)) == (ROOM, True)
    store.close()


def test_for_a_record_that_is_refused_nothing_gives_way(tmp_path: Path) -> None:
    store = MailboxStore.open(tmp_path / "blobs.db", Quota(total_bytes=1 << 20, least_free=0), NOW)
    kept = new(1, "30.0.0.1", 5)
    assert put(store, kept) == [DONE]
    greedy = ORIGINS.of("20.0.0.1").names
    full = [NewBlob(bytes([number]) * 32, blob(number), HOUR + 24, source=greedy) for number in range(255)]
    assert put(store, *full, new(2, "20.0.0.1"), new(3, "20.0.0.1")) == [DONE] * 257
    assert store.size + len(kept.blob) > 1 << 20
    before = store.blobs
    assert put(store, new(1, "30.0.0.1", 4)) == [NOT_ALLOWED]
    assert store.blobs == before
    assert put(store, new(1, "30.0.0.1", 6)) == [DONE]
    store.close()


def test_what_failed_on_the_disk_has_changed_no_share() -> None:
    shares = RecordShares()
    for number in range(3):
        shares.put(b"%d" % number, (b"network", b"place"), number)
    shares.commit()
    mark = shares.mark()
    shares.drop(b"0")
    shares.drop(b"none")
    shares.put(b"1", (b"other",), 9)
    shares.put(b"3", (), 9)
    assert (len(shares), shares.giving_way((b"new",), 1)) == (3, None)
    shares.revert(mark)
    assert (len(shares), shares.giving_way((b"new",), 1)) == (3, b"0")


def test_of_one_place_those_that_end_first_give_way(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, *[new(number, "20.0.0.1", hours=24 + number) for number in range(ROOM)])
    assert put(store, new(100, "20.0.0.1", hours=24)) == [RELAY_FULL]
    assert put(store, new(101, "20.0.0.1", hours=48)) == [DONE]
    assert not store.holds(new(0, "20.0.0.1").qid)
    assert store.expire(NOW + 4 * DAY_MS) == ROOM
    assert store.records == 0
    store.close()
