"""The queue in which every place has the same share: who waits behind whom, and what it remembers."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from p2pchat.net.fairness import MAX_SHARES, FairQueue, Item


def taken(queue: FairQueue[Item], count: int) -> list[Item]:
    """So many, in their order."""
    return [queue.take() for _ in range(count)]


@pytest.mark.parametrize("flood", ["192.0.2.1", "20010db800000001", "relay 1"])
def test_who_comes_from_elsewhere_is_before_all_that_wait_from_one_place(flood: str) -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(1000):
        queue.put(flood, "flood")
    taken(queue, 10)
    queue.put("198.51.100.1", "honest")
    assert "honest" in taken(queue, 2)


@pytest.mark.parametrize("flood", ["192.0.2.{}", "20010db80000{:04x}"])
def test_a_network_counts_as_a_whole(flood: str) -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(200):
        for _ in range(5):
            queue.put(flood.format(number), "flood")
    taken(queue, 300)  # each place of it had something, and the last not much
    for number in range(4):
        queue.put(f"198.51.{number}.1", "honest")
    assert taken(queue, 5).count("honest") >= 3
    for number in range(4):
        for _ in range(100):
            queue.put(f"198.51.{number}.1", "honest")
    assert taken(queue, 120).count("honest") >= 30  # four shares beside the eight of one network of IPv4
    queue.put("198.51.100.1", "fresh")
    assert "fresh" in taken(queue, 2)


def test_who_costs_more_is_served_less_often() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(400):
        for place in ("192.0.2.1", "198.51.100.1"):
            queue.put(place, place)
    had: Counter[str] = Counter()
    costs = {"192.0.2.1": 3.0, "198.51.100.1": 1.0}
    for _ in range(200):
        place = queue.first
        assert queue.take(costs[place]) == place
        had[place] += 1
    assert had["198.51.100.1"] == pytest.approx(150, abs=2)


def test_those_of_one_place_are_taken_by_their_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for order, word in ((2, "c"), (1, "a"), (3, "d"), (1, "b")):
        queue.put("192.0.2.1", word, order)
    assert taken(queue, 4) == ["a", "b", "c", "d"]
    with pytest.raises(IndexError):
        queue.take()


def test_everybody_is_served_and_nothing_is_remembered_of_who_was() -> None:
    queue: FairQueue[int] = FairQueue()
    random, waiting = Random(7), set[int]()
    for number in range(5000):
        queue.put(f"192.0.{random.randrange(40)}.{random.randrange(250)}", number)
        waiting.add(number)
        if random.random() < 0.6:
            waiting.discard(queue.take(random.choice((1.0, 5.0))))
    assert len(queue) == len(waiting)
    while queue:
        waiting.discard(queue.take())
    assert not waiting
    assert not queue._ends
    for number in range(10_000):  # somebody always waits, and each comes from elsewhere
        queue.put(f"10.{number // 250}.{number % 250}.1", number)
        if number:
            queue.take()
    assert len(queue._ends) <= 8 * MAX_SHARES


def test_who_was_given_something_waits_for_a_bounded_number_who_were_not() -> None:
    queue: FairQueue[int] = FairQueue()
    for _ in range(2):
        queue.put("192.0.2.1", -1)
    queue.take()
    for number in range(3 * MAX_SHARES):
        queue.put(f"10.{number // 250}.{number % 250}.1", number)
        if queue.take() == -1:
            break
    assert MAX_SHARES / 2 < number < 2 * MAX_SHARES
