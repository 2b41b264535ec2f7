"""Lengths of time in the units they are counted in: milliseconds since the epoch in states, seconds for waiting."""

from __future__ import annotations

import re

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

MINUTE_SECONDS = 60.0
HOUR_SECONDS = 60 * MINUTE_SECONDS
DAY_SECONDS = 24 * HOUR_SECONDS

MAX_SECONDS = 3_660 * DAY_SECONDS
"""The longest duration accepted from a user: ten years."""

_SUFFIXES = {
    "": 1.0,
    "ms": 0.001,
    "s": 1.0,
    "m": MINUTE_SECONDS,
    "h": HOUR_SECONDS,
    "d": DAY_SECONDS,
    "w": 7 * DAY_SECONDS,
}
OFF = ("off", "0")
"""What a user types to turn off something that has a duration."""

_UNITS = ((7 * 86_400, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def parse_duration(text: str) -> float:
    """Return the seconds in a duration as people type it: `30s`, `5m`, `2h`, `1.5 d`, `1w`, `500ms`, or a number of
    seconds.

    Raises ValueError for anything else, for an empty text, and for more than MAX_SECONDS.
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) *(ms|[smhdw]?)", text.strip().lower())
    if match is None or not 0 < (seconds := float(match[1]) * _SUFFIXES[match[2]]) <= MAX_SECONDS:
        raise ValueError(f"{text!r} is not a time such as 30s, 5m, 2h or 7d")
    return seconds


def seconds_or_off(text: str) -> int:
    """Return the whole seconds in a duration, at least 1; 0 for `off`. Raises ValueError."""
    if text.strip().lower() in OFF:
        return 0
    return max(1, round(parse_duration(text)))


def format_duration(seconds: int, *, units: int = len(_UNITS)) -> str:
    """Return a length of time as people say it, such as `1 day 12 hours`, in its greatest `units` units."""
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:units])
