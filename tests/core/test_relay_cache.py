"""Which relays stay in the cache, whatever is told."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core import relay_cache
from p2pchat.core.descriptors import Descriptor
from p2pchat.core.ids import PeerKey
from p2pchat.core.relay_cache import MAX_A_SOURCE, MAX_FALLBACKS, MAX_UNTRIED, MAX_WORKED, STAYS_MS, KnownRelay


def relay(number: int, source: bytes = b"source", *, where: str = "", worked: int = 0) -> KnownRelay:
    where = where or f"/ip4/{1 + number // 200}.{number % 200}.0.1/tcp/1"
    key = PeerKey(number.to_bytes(32, "big"))
    return KnownRelay(Descriptor(key, 1, 1, 2, 3, (where,)), b"", (), source, number, worked)


def filled(rows: list[KnownRelay], new: list[KnownRelay]) -> list[KnownRelay]:
    """What is in the cache once these were told, one after the other."""
    for row in new:
        gone = relay_cache.make_room(rows, row)
        if gone is not None:
            rows = [old for old in rows if old.relay not in gone] + [row]
    return rows


def test_no_flood_displaces_what_has_worked_or_what_another_told() -> None:
    worked = [relay(number, worked=number + 1) for number in range(10)]
    honest = [relay(100 + number, bytes(32)) for number in range(3)]
    flood = [relay(1000 + number, b"sybil %d" % (number % 20)) for number in range(1000)]
    kept = filled([*worked, *honest], flood)
    assert {row.relay for row in (*worked, *honest)} <= {row.relay for row in kept}
    assert len(kept) == len(worked) + len(honest) + MAX_UNTRIED
    one = filled([*worked, *honest], [relay(1000 + number, b"sybil") for number in range(1000)])
    assert len(one) == len(worked) + len(honest) + MAX_A_SOURCE


def test_one_network_has_two_places_and_those_who_worked_longest_ago_go() -> None:
    kept = filled([], [relay(number, b"one", where=f"/ip4/9.9.{number}.1/tcp/1") for number in range(9)])
    assert len(kept) == 2
    worked = [relay(number, worked=number + 1) for number in range(MAX_WORKED + 5)]
    assert relay_cache.outlived(worked) == [row.relay for row in reversed(worked[:5])]


def test_who_worked_is_tried_first_then_one_of_each_source_and_network() -> None:
    rows = [
        relay(1, worked=5),
        relay(2, worked=9),
        relay(3, b"a"),
        relay(4, b"a"),
        relay(5, b"b"),
        relay(6, b"b", where="/ip4/1.5.9.9/tcp/1"),  # in the network of 5
    ]
    order = [row.heard_at for row in relay_cache.fallbacks(rows)]
    assert order == [2, 1, 6, 4, 3, 5]
    assert len(relay_cache.fallbacks([relay(number) for number in range(20)])) == MAX_FALLBACKS


def test_nobody_takes_places_by_claiming_to_be_in_the_network_of_others() -> None:
    """A made-up relay that says that it is where honest ones are, and is told of before and after them."""
    claims = [relay(number, b"sybil", where=f"/ip4/9.9.9.{number}/tcp/1") for number in (1, 2)]
    honest = relay(3, b"honest", where="/ip4/9.9.1.1/tcp/1")
    later = relay(4, b"another", where="/ip4/9.9.2.2/tcp/1")
    kept = filled([], [*claims, honest, later])
    assert {row.relay for row in kept} >= {honest.relay, later.relay}
    others = [replace(relay(number, b"source %d" % number), heard_at=0) for number in range(10, 17)]
    first = relay_cache.fallbacks([*kept, *others])
    assert {row.relay for row in (honest, later)} <= {row.relay for row in first}


def test_a_full_half_lets_a_new_source_in_once_a_day() -> None:
    """Whoever came first with as many sources as there are places does not keep them for ever."""
    rows = [replace(relay(number, b"source %d" % number), heard_at=number) for number in range(MAX_UNTRIED)]
    late = replace(relay(100, b"late"), heard_at=STAYS_MS - 1)
    assert relay_cache.make_room(rows, late) is None
    assert relay_cache.make_room(rows, replace(late, heard_at=STAYS_MS)) == [rows[0].relay]
    more = replace(relay(101, rows[0].told_by), heard_at=2 * STAYS_MS)
    assert relay_cache.make_room(rows, more) == [rows[0].relay]  # of what it told itself
