"""What contacts' messages reveal about our clock. It is used to warn the user, never to act on.

A content that arrives before it was written, and a receipt that was written before its message, prove that two clocks
are apart by at least that much. Anything else may just have taken long to arrive, and proves nothing.
"""

from __future__ import annotations

from p2pchat.core.ids import ContactId
from p2pchat.lib.times import DAY_MS, HOUR_MS

MAX_CONTACTS = 1000


def format_difference(ms: int) -> str:
    """Return a duration in words, without its sign: `3 days`, `5 hours`."""
    size, unit = (DAY_MS, "day") if abs(ms) >= DAY_MS else (HOUR_MS, "hour")
    count = max(1, round(abs(ms) / size))
    return f"{count:,} {unit}{'s' if count > 1 else ''}"


class ClockHints:
    """By how many ms each contact's clock is ahead of ours at least (negative: behind), as far as it is proven. Kept in
    memory; safe in any thread.
    """

    def __init__(self) -> None:
        self._apart: dict[ContactId, tuple[int, int]] = {}  # by contact: how far, and when that was seen

    def written(self, contact: ContactId, sent_at: int, now: int) -> None:
        """Note that a content written at `sent_at` (ms) by the contact's clock is here at `now` by ours."""
        self._note(contact, max(0, sent_at - now), now)

    def answered(self, contact: ContactId, sent_at: int, asked_at: int, now: int) -> None:
        """Note that a receipt written at `sent_at` (ms) by the contact's clock is for a message that we wrote at
        `asked_at`.
        """
        if sent_at < asked_at:
            self._note(contact, sent_at - asked_at, now)

    def _note(self, contact: ContactId, apart: int, now: int) -> None:
        before, at = self._apart.get(contact, (0, 0))
        if not apart and before < 0 and at <= now < at + HOUR_MS:
            return  # what arrives in time does not speak against clocks that are behind ours
        if len(self._apart) >= MAX_CONTACTS and contact not in self._apart:
            self._apart.pop(next(iter(self._apart)))
        self._apart[contact] = apart, now

    def apart(self, contact: ContactId) -> int:
        """Return by how many ms this contact's clock is ahead of ours at least; 0 if nothing is known."""
        return self._apart.get(contact, (0, 0))[0]

    def median(self) -> int:
        """Return the median of that over all contacts, in ms, so that no single contact can determine it."""
        from statistics import median_low  # takes a while to import, and a new node knows no clocks

        return median_low(apart for apart, _ in self._apart.values()) if self._apart else 0
