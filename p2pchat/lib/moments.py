"""Times as people type them, such as `2026-11-20 14:00`, `14:00`, `yesterday` or `3h`, and as the API gives them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from p2pchat.lib.times import parse_duration

FORMS = "2026-11-20, 2026-11-20T14:00, 14:00, today, yesterday, or how long ago: 30m, 3h, 7d, 2w"
"""Shown when a text is none of these."""

_DAYS = {"today": 0, "yesterday": 1}


def moment(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Return the time that `text` means. A date means its first instant; a time without a zone is in `zone`, or in the
    machine's zone if that is None. `now` has a zone. Raises ValueError if `text` is not valid.
    """
    typed = text.strip().lower()
    try:
        if typed in _DAYS:
            day = now.astimezone(zone) - timedelta(days=_DAYS[typed])
            return _placed(datetime(day.year, day.month, day.day), zone)
        if re.fullmatch(r"[0-9.]+ *[a-z]+", typed):
            return now - timedelta(seconds=parse_duration(typed))
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", typed):
            day, (hour, minute) = now.astimezone(zone), map(int, typed.split(":"))
            return _placed(datetime(day.year, day.month, day.day, hour, minute), zone)
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ t][0-9:.]+(z|[+-][0-9:]+)?)?", typed):
            raise ValueError
        return _placed(datetime.fromisoformat(typed.upper()), zone)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date or time such as {FORMS}") from None


def _placed(at: datetime, zone: tzinfo | None) -> datetime:
    if at.tzinfo is not None:
        return at
    return at.astimezone() if zone is None else at.replace(tzinfo=zone)


_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")


def localized(text: str) -> str:
    """Return a sentence of the node with its timestamps as local times: `20 November 2026, 14:13`."""

    def said(stamp: re.Match[str]) -> str:
        at = local_time(stamp.group())
        return stamp.group() if at is None else when(at)

    return _STAMP.sub(said, text)


def when(at: datetime) -> str:
    """Return a time in words, with its date."""
    return f"{at.day} {at:%B %Y}, {at.hour:02}:{at.minute:02}"


def local_time(stamp: object) -> datetime | None:
    """Return an RFC 3339 time as local time; None if it is not one."""
    if not isinstance(stamp, str):
        return None
    try:
        return localize(datetime.fromisoformat(stamp))
    except ValueError:
        return None


def localize(at: datetime) -> datetime:
    """Return a time in the machine's zone; in its own zone if it is beyond the calendar there, as the end of the year
    9999, which means for ever, is everywhere east of UTC.
    """
    try:
        return at.astimezone()
    except OverflowError:
        return at
