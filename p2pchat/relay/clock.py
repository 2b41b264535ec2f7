"""The relay's own time, by which blobs expire. It advances evenly, whatever happens to the clock of the machine.

A machine without a battery boots with a clock in the past, and whoever answers its time queries can set it to anything.
So the last hour that was seen is on the disk, and a step of the clock is not followed: every blob keeps the time that
it had left, as if the clock had always been wrong by that much (`ahead`). After a day in which clock and uptime agree,
the step is accepted, because a relay that was off for a week should delete what has expired meanwhile. A store that has
never seen such a day keeps its own time instead: it cannot know which of the two clocks was right.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from p2pchat.lib.times import DAY_SECONDS, HOUR_MS

MAX_STEP_MS = HOUR_MS
"""By how many ms the clock may drift from the uptime in a day before it counts as a step."""
AGREEMENT_SECONDS = DAY_SECONDS
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # counts while the machine sleeps

log = logging.getLogger(__name__)


class ClockRecord(NamedTuple):
    """What the disk says about the clock, in hours: the relay's own hour; by how much the machine's clock was ahead of
    it; and by how much it was ahead when it was last trusted, or None if it never was.
    """

    hour: int
    ahead: int
    settled: int | None


def uptime() -> float:
    """Return the seconds since the machine was booted, including those in which it slept. Nobody can set them."""
    return time.clock_gettime(_CLOCK)


class RelayClock:
    """Computes the relay's own time, in ms, from the machine's clock (ms since the epoch) and its uptime (seconds).

    seen: the record on the disk, None for a new store. trust: the operator says that the machine's clock is right.
    """

    def __init__(
        self, wall: Callable[[], int], uptime: Callable[[], float], seen: ClockRecord | None, *, trust: bool = False
    ) -> None:
        self.held = False
        """Whether the clock has stepped and is not trusted yet."""
        self._wall = wall
        self._uptime = uptime
        self._ahead = self._settled = 0
        self._sure = trust
        self._begin()
        if seen is not None and not trust:
            self._go_on(seen)

    def now(self) -> int:
        """Return the relay's own time, in ms."""
        now, up = self._wall(), self._uptime()
        step = now - int(up * 1000) - self._reference
        if not -MAX_STEP_MS <= step <= MAX_STEP_MS:
            self._stepped(step)
        elif up - self._since >= AGREEMENT_SECONDS:
            self._agreed()
        return now - self._ahead

    def wall(self) -> int:
        """Return the time of the machine's clock, in ms, whether it is trusted or not."""
        return self._wall()

    @property
    def seen(self) -> ClockRecord:
        """The record to be saved."""
        hour, settled = self.now() // HOUR_MS, round(self._settled / HOUR_MS) if self._sure else None
        return ClockRecord(hour, round(self._ahead / HOUR_MS), settled)

    @property
    def step_hours(self) -> int:
        """By how many hours the clock has stepped; 0 while it is trusted."""
        return round((self._ahead - self._settled) / HOUR_MS) if self.held else 0

    # --- inside

    def _begin(self) -> None:
        self._since = self._uptime()
        self._reference = self._wall() - int(self._since * 1000)

    def _go_on(self, seen: ClockRecord) -> None:
        """Continue from the record on the disk."""
        self._ahead = seen.ahead * HOUR_MS
        self._sure = seen.settled is not None
        self._settled = self._ahead if seen.settled is None else seen.settled * HOUR_MS
        off = self._wall() // HOUR_MS - (seen.hour + seen.ahead)
        if -1 <= off <= 1:
            self.held = self._ahead != self._settled
        else:
            self._stepped(off * HOUR_MS)

    def _stepped(self, by: int) -> None:
        was_held = self.held
        self._ahead += by
        self._begin()
        self.held = abs(self._ahead - self._settled) > MAX_STEP_MS
        if not self.held:
            log.warning("the clock is back where it was")
            self._ahead = self._settled
        if was_held or not self.held:
            return
        about = "blobs keep their remaining time until the clock has agreed with the uptime for a day"
        log.warning("the clock stepped by %+d hours: %s; or start with --trust-clock", self.step_hours, about)

    def _agreed(self) -> None:
        if self.held and self._sure:
            log.warning("the clock has agreed with the uptime for a day: it is trusted again")
            self._ahead = self._settled
        self._settled, self._sure, self.held = self._ahead, True, False
        self._begin()
