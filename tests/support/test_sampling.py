"""A sample spreads over the whole, and its seed repeats it."""

from __future__ import annotations

from tests.support.sampling import sample


def test_a_sample_spreads_over_the_whole_and_its_seed_repeats_it() -> None:
    once = sample(100, 4, "seed")
    assert [index // 25 for index in once] == [0, 1, 2, 3]
    assert once == sample(100, 4, "seed")
    assert {index for seed in range(2000) for index in sample(100, 4, f"{seed}")} == set(range(100))
    assert sample(3, 8, "seed") == [0, 1, 2]
