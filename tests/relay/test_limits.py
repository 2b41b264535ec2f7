"""Places and their budgets."""

from __future__ import annotations

import pytest

from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.net.multiaddrs import neighbourhood
from p2pchat.relay.limits import Origin, Origins, PlaceBudget


def origin(ip: str, key: int = 0) -> Origin:
    return Origins(lambda size: bytes([key]) * size).of(neighbourhood(ip))


def test_places_are_named_by_a_keyed_hash() -> None:
    assert origin("192.0.2.1") == origin("192.0.2.1")
    assert origin("192.0.2.1").names[0] == origin("192.0.2.2").names[0]
    assert b"192.0.2" not in b"".join(origin("192.0.2.1").names)
    assert set(origin("192.0.2.1", key=1).names).isdisjoint(origin("192.0.2.1").names)


@pytest.mark.parametrize(
    ("pattern", "most"),
    [("192.0.2.{}", 40), ("2001:db8:0:{:x}::1", 20), ("2001:db8:0:{:x}00::1", 40), ("203.0.{}.1", 250)],
)
def test_many_places_of_one_network_have_no_more_than_it_has(pattern: str, most: int) -> None:
    budget = PlaceBudget(10, 0.001)
    places = [origin(pattern.format(number)) for number in range(1, 26)]
    assert sum(budget.take(place, 0.0) for place in places for _ in range(11)) == most


@pytest.mark.parametrize("by", ["circuit", "tor", "onion"])
def test_who_come_by_other_relays_or_by_tor_are_one_network(by: str) -> None:
    budget, origins = PlaceBudget(10, 0.001), Origins(bytes)
    places = [origins.of(f"{by} {number:064x}") for number in range(25)]
    assert sum(budget.take(place, 0.0) for place in places for _ in range(11)) == 40


def test_a_flood_of_places_makes_nobody_forget_what_was_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.relay.limits.MAX_PLACES", 64)
    budget, greedy = PlaceBudget(10, 1.0), origin("192.0.2.1")
    assert budget.take(greedy, 0.0, 10)
    for number in range(2000):
        budget.take(origin(f"10.{number >> 8}.{number & 255}.1"), 0.0, 10)
    assert not budget.take(greedy, 1.0, 10)
    assert len(budget._buckets) <= 64 + 2 * 256
    for number in range(2000):  # those that are whole again are forgotten, and new ones have all of theirs
        assert budget.take(origin(f"11.{number >> 8}.{number & 255}.1"), 1000.0 + 20 * number, 10)


def test_new_limits_hold_for_those_who_are_there() -> None:
    budget, here = PlaceBudget(10, 1.0), origin("192.0.2.1")
    assert budget.take(here, 0.0, 10)
    budget.resize(2, 1.0)
    assert not budget.take(here, 100.0, 3)
    assert budget.take(here, 100.0, 2)


def test_a_bucket_fills_with_time_and_no_further() -> None:
    bucket = TokenBucket(2, 1.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(1.5) for _ in range(2)] == [True, False]
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
