"""Lengths of time as people type and read them: one grammar for the commands, the screen and the search."""

from __future__ import annotations

import pytest

from p2pchat.lib.times import format_duration, parse_duration, seconds_or_off

WRITTEN = {
    "30s": 30,
    "5m": 300,
    "2H": 7200,
    "7 d": 604_800,
    "1w": 604_800,
    "500ms": 0.5,
    "1.5": 1.5,
    " 3 s ": 3,
}


@pytest.mark.parametrize(("text", "seconds"), WRITTEN.items())
def test_times_as_they_are_written(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1y", "0s", "h", "1h30", "1e3", "99999999h", "٣s", "9" * 5_000])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time such as"):
        parse_duration(text)


def test_off_and_whole_seconds() -> None:
    assert [seconds_or_off(text) for text in ("off", "OFF", "0", "200ms", "1.6", "1h")] == [0, 0, 0, 1, 2, 3600]


def test_times_as_they_are_said() -> None:
    assert format_duration(90_061, units=2) == "1 day 1 hour"
