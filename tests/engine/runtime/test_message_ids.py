"""Ids grow, whatever happens."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random

from p2pchat.core.content import MESSAGE_ID
from p2pchat.core.ids import MessageId
from p2pchat.engine.runtime.message_ids import MessageIds

NOW = 1_790_000_000_000


def time_of(message_id: MessageId) -> int:
    return int.from_bytes(message_id[:6], "big")


def test_ids_made_within_a_millisecond_grow() -> None:
    ids = MessageIds(Random(1).randbytes)
    made = [ids.new(NOW) for _ in range(1000)]
    assert made == sorted(set(made))
    assert {len(one) for one in made} == {MESSAGE_ID}
    assert {time_of(one) for one in made} == {NOW}
    steps = {int.from_bytes(later[6:], "big") - int.from_bytes(one[6:], "big") for one, later in pairwise(made)}
    assert len(steps) == 999  # the next cannot be guessed


def test_ids_have_the_time_and_do_not_go_back_with_the_clock() -> None:
    ids = MessageIds(Random(1).randbytes)
    made = [ids.new(now) for now in (NOW, NOW + 1, NOW + 5000, NOW - 3_600_000, NOW + 4999, NOW + 5001)]
    assert made == sorted(set(made))
    assert [time_of(one) - NOW for one in made] == [0, 1, 5000, 5000, 5000, 5001]


def test_where_chance_gives_the_greatest_the_next_is_greater() -> None:
    ids = MessageIds(lambda size: b"\xff" * size)
    made = [ids.new(NOW) for _ in range(100)]
    assert made == sorted(set(made))


def test_ids_of_several_threads_differ() -> None:
    ids = MessageIds(os.urandom)

    def some(_: int) -> list[bytes]:
        return [ids.new(NOW) for _ in range(500)]

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(some, range(8)))
    assert all(one == sorted(one) for one in made)
    assert len({one for part in made for one in part}) == 4000
