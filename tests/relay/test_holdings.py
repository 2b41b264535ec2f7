"""A full relay: those give way who hold most, and nobody who holds little is pushed out by those who fill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from p2pchat.core.mailbox import DONE, RELAY_FULL
from p2pchat.lib.times import HOUR_MS
from p2pchat.net.multiaddrs import neighbourhood
from p2pchat.relay import holdings
from p2pchat.relay.holdings import READ_WITHIN_HOURS, UNREAD_AFTER_HOURS, Holdings, Source
from p2pchat.relay.limits import Origins
from p2pchat.relay.store import MailboxStore, NewBlob, Quota
from tests.support.boxes import NOW, blob

HOUR = NOW // HOUR_MS
ROOM = 256
"""Blobs that fit: a network is sure of 16 of them, a place of 4."""
QUOTA = Quota(total_bytes=ROOM * 4096, least_free=0)
ORIGINS = Origins(bytes)
HONEST = "198.51.100.1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MailboxStore]:
    made = MailboxStore.open(tmp_path / "blobs.db", QUOTA, NOW)
    yield made
    made.close()


def source(ip: str) -> Source:
    return ORIGINS.of(neighbourhood(ip)).names


def put(store: MailboxStore, ip: str, queue: str, *names: object, hours: int = 24) -> list[int]:
    deposits = [NewBlob(qid(queue), blob(f"{queue} {name}"), HOUR + hours, source=source(ip)) for name in names]
    return [kept.code for kept in store.change(deposits, {}, NOW)]


def qid(queue: str) -> bytes:
    return blob(queue)[:32]


def held(store: MailboxStore, queue: str) -> int:
    return store._holdings.of(qid(queue))[0]


def flood(store: MailboxStore, pattern: str, places: int, each: int, queue: str = "eve {}") -> list[int]:
    """Codes of deposits for the longest time, from many places, each into a queue of its own."""
    return [
        code
        for number in range(1, places + 1)
        for code in put(store, pattern.format(number), queue.format(number), *range(each), hours=720)
    ]


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("203.0.{}.1", 8),  # eight addresses of eight networks
        ("203.0.113.{}", 8),  # of one network
        ("2001:db8:0:{:x}::1", 64),  # a line at home
        ("2001:db8:0:{:x}00::1", 128),  # a company
        ("2001:db8:{:x}::1", 12),  # twelve of them
    ],
)
def test_a_flood_pushes_out_nothing_that_was_acknowledged_and_refuses_nobody_else(
    store: MailboxStore, pattern: str, places: int
) -> None:
    assert put(store, HONEST, "alice", *range(3), hours=1) == [DONE] * 3
    codes = flood(store, pattern, places, 4 * ROOM // places)
    assert RELAY_FULL in codes  # it is the sender who hears it
    assert store.size == QUOTA.total_bytes
    assert held(store, "alice") == 3
    assert put(store, HONEST, "alice", "more", hours=1) == [DONE]
    assert put(store, "192.0.2.1", "bob", *range(5), hours=1) == [DONE] * 5
    assert put(store, "2001:db8:ffff::1", "carol", *range(5), hours=1) == [DONE] * 5
    assert [held(store, name) for name in ("alice", "bob", "carol")] == [4, 5, 5]


def test_who_has_no_more_than_it_is_sure_of_keeps_it_though_all_are_like_that(store: MailboxStore) -> None:
    """Then a newcomer is refused: what was acknowledged stays until its time."""
    assert flood(store, "203.{}.113.1", 16, 16) == [DONE] * ROOM
    assert put(store, HONEST, "alice", 1) == [RELAY_FULL]
    assert store.blobs == ROOM
    store.expire(NOW + 721 * HOUR_MS)
    assert put(store, HONEST, "alice", 1) == [DONE]


def test_a_greedy_neighbour_gives_way_and_not_his_network(store: MailboxStore) -> None:
    put(store, "203.0.113.7", "neighbour", *range(3))
    put(store, "203.0.113.8", "eve", *range(ROOM))
    assert put(store, "203.0.113.7", "neighbour", "more") == [DONE]
    assert put(store, HONEST, "alice", *range(10)) == [DONE] * 10
    assert held(store, "neighbour") == 4


def test_nobody_pushes_out_what_is_his_own(store: MailboxStore) -> None:
    assert put(store, HONEST, "alice", *range(ROOM), "more") == [DONE] * ROOM + [RELAY_FULL]
    assert held(store, "alice") == ROOM


def test_nothing_is_given_up_in_vain(store: MailboxStore) -> None:
    """A large blob of one who may take a little, but not so much, changes nothing."""
    put(store, "203.0.113.8", "eve", *range(ROOM - 20))
    put(store, HONEST, "alice", *range(20))
    large = [NewBlob(qid("alice"), blob(number, 65_536), HOUR + 24, source=source(HONEST)) for number in range(20)]
    codes = [kept.code for kept in store.change(large, {}, NOW)]
    assert codes[0] == DONE
    assert codes[-1] == RELAY_FULL
    before = (store.blobs, store.size, held(store, "eve"))
    assert store.change(large[-1:], {}, NOW)[0].code == RELAY_FULL
    assert (store.blobs, store.size, held(store, "eve")) == before
    rows = store._connection.execute("SELECT count(*), sum(size) FROM blobs").fetchone()
    assert rows == before[:2]


def test_within_a_place_what_somebody_reads_goes_last_and_the_newest_goes_first(store: MailboxStore) -> None:
    put(store, "203.0.113.8", "read", *range(ROOM - 100))
    put(store, "203.0.113.8", "unread", *range(100))
    store.fetch(qid("read"), 0, 1, 1)
    assert put(store, HONEST, "alice", *range(50)) == [DONE] * 50
    assert (held(store, "read"), held(store, "unread")) == (ROOM - 100, 50)
    found = [one for _, one in store.fetch(qid("unread"), 0, 1000, 1 << 30)]
    assert found == [blob(f"unread {number}") for number in range(50)]


def test_after_a_restart_each_queue_counts_for_itself(tmp_path: Path) -> None:
    """Nobody knows any more where it came from; a flood that comes then pushes out itself."""
    store = MailboxStore.open(tmp_path / "blobs.db", QUOTA, NOW)
    for number in range(30):
        put(store, HONEST, f"honest {number}", *range(3))
    put(store, HONEST, "large", *range(ROOM - 90))
    store.close()
    store = MailboxStore.open(tmp_path / "blobs.db", QUOTA, NOW)
    flood(store, "203.0.{}.1", 8, 64)
    assert all(held(store, f"honest {number}") == 3 for number in range(30))
    assert held(store, "large") < ROOM - 90
    store.close()


def test_a_relay_that_was_full_of_small_queues_at_its_restart_does_not_stay_so(tmp_path: Path) -> None:
    """Readers have some days to come back; then what nobody reads gives way to those who have little."""
    store = MailboxStore.open(tmp_path / "blobs.db", QUOTA, NOW)
    flood(store, "203.0.{}.1", 64, 4)
    store.close()
    store = MailboxStore.open(tmp_path / "blobs.db", QUOTA, NOW)
    assert put(store, HONEST, "alice", 1) == [RELAY_FULL]
    store.expire(NOW + (UNREAD_AFTER_HOURS - 1) * HOUR_MS)
    for number in range(1, 60):
        store.fetch(qid(f"eve {number}"), 0, 1, 1)
    assert put(store, HONEST, "alice", 1) == [RELAY_FULL]
    store.expire(NOW + UNREAD_AFTER_HOURS * HOUR_MS)
    assert put(store, HONEST, "alice", 1, 2) == [DONE] * 2
    assert all(held(store, f"eve {number}") == 4 for number in range(1, 60))
    store.close()


def test_it_is_forgotten_that_a_queue_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "MAX_READ", 2)
    held_here = Holdings(1 << 20)
    for queue in (b"1", b"2", b"1", b"3"):
        held_here.hour += 1
        held_here.read(queue)
    assert [held_here.is_read(queue) for queue in (b"1", b"2", b"3")] == [True, False, True]
    held_here.hour += READ_WITHIN_HOURS
    assert not held_here.is_read(b"3")


def test_many_networks_share_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "MAX_NETWORKS", 8)
    monkeypatch.setattr(holdings, "MAX_INSIDE", 8)
    counted, sources = Holdings(1 << 30), []
    for number in range(600):
        ip = f"{number % 200 + 1}.1.1.{number % 250}"
        queue = bytes([number % 7])
        sources.append((queue, counted.add(queue, 4096, source(ip))))
    assert len(counted._networks.inside) <= 8 + 256
    for queue, one in sources:
        counted.take_back(queue, 4096, one)
    assert (counted.blobs, counted.size, counted.queues, counted._networks.inside) == (0, 0, 0, {})


@pytest.mark.parametrize("seed", range(5))
def test_sums_hold_whatever_comes_and_goes(seed: int) -> None:
    """By queue, by place and in all; and what was chosen is always a queue that holds something."""
    random, counted = Random(seed), Holdings(1 << 20)
    there: list[tuple[bytes, int]] = []
    sources = [source(f"{number // 3}.0.0.{number % 3}") for number in range(200)] + [()]
    for step in range(6000):
        if random.random() < (0.7 if step < 3000 else 0.3):
            queue, size = bytes([random.randrange(120)]), random.choice((4096, 16_384, 65_536))
            counted.add(queue, size, random.choice(sources))
            there.append((queue, size))
        elif there:
            queue, size = there.pop(random.randrange(len(there)))
            assert sum(part for _, part in counted.remove(queue, size)) == size
        found = counted.queue_to_shrink(4096, random.choice(sources))
        assert found is None or counted.of(found)[0]
        if step % 500 == 0:
            networks = counted._networks.inside.values()
            assert (
                counted.size
                == sum(size for _, size in there)
                == sum(n.size for n in networks) + sum(counted._unknown.queues.values())
            )
            for network in networks:
                assert network.size == sum(place.size for place in network.inside.values())
                assert all(place.size == sum(place.queues.values()) for place in network.inside.values())
    assert counted.blobs == len(there)
