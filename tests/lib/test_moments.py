"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from p2pchat.lib.moments import local_time, localized, moment, when
from tests.support.zones import FAR_EAST, in_zone

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)  # the 21st in Berlin, at half past midnight


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-20", "2026-11-19 23:00:00"),
        ("2026-07-01", "2026-06-30 22:00:00"),  # in summer
        ("2026-11-20 14:00", "2026-11-20 13:00:00"),
        ("2026-11-20T14:00:05", "2026-11-20 13:00:05"),
        ("2026-11-20t14:00z", "2026-11-20 14:00:00"),
        ("2026-11-20T14:00+03:30", "2026-11-20 10:30:00"),
        (" Today ", "2026-11-20 23:00:00"),
        ("yesterday", "2026-11-19 23:00:00"),
        ("14:05", "2026-11-21 13:05:00"),
        ("90m", "2026-11-20 22:00:00"),
        ("2d", "2026-11-18 23:30:00"),
        ("1w", "2026-11-13 23:30:00"),
    ],
)
def test_what_is_meant(text: str, utc: str) -> None:
    assert f"{moment(text, NOW, BERLIN).astimezone(UTC):%Y-%m-%d %H:%M:%S}" == utc


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026", "2026-13-01", "2026-02-30", "20.11.2026", "2026-11-20T25:00", "25:00", "3", "3x", "999999w"],
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date or time such as"):
        moment(text, NOW, BERLIN).timestamp()


def test_without_a_zone_it_is_that_of_the_machine() -> None:
    assert moment("2026-11-20", NOW) == datetime(2026, 11, 20).astimezone()


def test_a_sentence_of_the_node_says_the_time_of_who_reads_it() -> None:
    stamp = "2026-11-20T13:13:20.005Z"
    at = local_time(stamp)
    assert at is not None
    assert localized(f"stored until {stamp}, and {stamp}: 3 hours behind") == (
        f"stored until {when(at)}, and {when(at)}: 3 hours behind"
    )
    assert when(datetime(2026, 11, 5, 9, 7, tzinfo=UTC)) == "5 November 2026, 09:07"
    assert localized("no time, 2026-99-20T13:13:20Z neither") == "no time, 2026-99-20T13:13:20Z neither"


def test_for_ever_is_a_time_where_the_calendar_ends_before_it() -> None:
    with in_zone(FAR_EAST):
        assert local_time("9999-12-31T23:59:59.999Z") == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
        at = local_time("2026-11-20T13:13:20.005Z")
        assert at is not None
        assert when(at) == "21 November 2026, 03:13"
