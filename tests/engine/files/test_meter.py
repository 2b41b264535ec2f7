"""The rate of a file, and how often faces are told."""

from __future__ import annotations

from p2pchat.engine.files.meter import FileMeter


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = FileMeter()
    assert meter.rate(0) is None
    assert not meter.moves(0)
    for tenth in range(100):
        meter.moved(1000, tenth / 10)
    assert 9_000 <= (meter.rate(9.9) or 0) <= 11_000
    assert meter.moves(12)
    assert meter.rate(20) is None
    assert not meter.moves(20)


def test_faces_are_told_four_times_a_second_at_most() -> None:
    meter = FileMeter()
    assert sum(meter.is_due(now / 100) for now in range(200)) == 8
