"""Lengths of time in the units they are counted in: milliseconds since the epoch in states, seconds for waiting."""

from __future__ import annotations

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

MINUTE_SECONDS = 60.0
HOUR_SECONDS = 60 * MINUTE_SECONDS
DAY_SECONDS = 24 * HOUR_SECONDS

_UNITS = ((7 * 86_400, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def spell(seconds: int, *, units: int = len(_UNITS)) -> str:
    """Return a length of time as people say it, such as `1 day 12 hours`, in its greatest `units` units."""
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:units])
