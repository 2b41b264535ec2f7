"""Token buckets."""

from __future__ import annotations

from p2pchat.lib.token_bucket import TokenBucket


def test_a_burst_then_a_rate() -> None:
    bucket = TokenBucket(3, 1.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(0.5)
    assert bucket.take(1.0)
    assert bucket.left(100.0) == 3.0


def test_what_was_not_used_comes_back_and_what_was_used_too_much_is_owed() -> None:
    bucket = TokenBucket(3, 1.0)
    assert bucket.take(0.0, 3)
    bucket.give(1)
    assert bucket.take(0.0)
    bucket.give(-2)
    assert not bucket.take(2.5)
    assert bucket.take(3.0)
