"""The order in which the tests of a whole run begin."""

from __future__ import annotations

from random import Random

from tests.support.budget import LONG_SECONDS, longest_first


def test_each_process_begins_with_its_share_of_the_longest_tests() -> None:
    rng = Random(1)
    for workers in (1, 2, 3, 4):
        seconds = [rng.choice((0.0, 0.0, 0.0, 0.1, LONG_SECONDS, 9.0)) for _ in range(101)]
        ordered = longest_first(seconds, workers)
        assert sorted(ordered) == list(range(101))
        short = [at for at in ordered if seconds[at] < LONG_SECONDS]
        assert short == sorted(short)
        if workers > 1:
            sizes = [(101 + number) // workers for number in range(workers)]  # as xdist deals them
            parts = [ordered[sum(sizes[:number]) : sum(sizes[: number + 1])] for number in range(workers)]
            counts = [sum(seconds[at] >= LONG_SECONDS for at in part) for part in parts]
            assert max(counts) - min(counts) <= 1
            for part, count in zip(parts, counts, strict=True):
                assert all(seconds[at] >= LONG_SECONDS for at in part[:count])


def test_the_longest_of_all_is_the_first_of_a_process() -> None:
    assert longest_first([0.0, 3.0, 0.0, 9.0], 2) == [3, 0, 1, 2]
    assert longest_first([9.0] * 5, 4) == [0, 4, 1, 2, 3]
