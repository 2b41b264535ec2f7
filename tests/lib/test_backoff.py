"""Pauses between attempts."""

from __future__ import annotations

from p2pchat.lib.backoff import Backoff, jittered


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.pause() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.pause() == 1.0


def test_jitter_takes_at_most_half() -> None:
    assert jittered(8.0, lambda size: b"\0" * size) == 4.0
    assert 7.99 < jittered(8.0, lambda size: b"\xff" * size) < 8.0
    assert Backoff(8.0, 8.0, lambda size: b"\0" * size).pause() == 4.0
