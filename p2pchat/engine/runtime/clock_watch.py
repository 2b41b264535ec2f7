"""Whether the clock can be believed: nothing with a deadline ends because a clock was wrong for a while.

Two clocks are compared: the wall clock, which people and networks set, and a monotonic one, which nobody can. Where
they move apart, the wall clock has jumped. Three times come of it, in ms since the epoch:

now      the wall clock, for what people see
sure     a time that has surely passed: the wall clock once it has agreed with the monotonic one for an hour, and until
         then what was sure before. Whatever is deleted or given up at a deadline is measured by it
latest   the wall clock, or the greatest time that it ever showed, until a day has shown that this was wrong: how long
         something new is kept is counted from it, so that a clock which is behind gives nothing a shorter life

counted  for messages that end: it only goes on. While the program runs it does so by the monotonic clock, which nobody
         can set; where that stands still in sleep, by the wall clock if that went further. From one run to the next it
         goes on by as much as the wall clock did, and not at all if that was set back. So a clock that was set ahead
         while nothing ran ends such a message too early, and none that is set back keeps one: they are meant to go

What is sure outlives the process. A run that ends within its first hour leaves the time it saw; the next run believes
that if it begins at least an hour later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from p2pchat.lib.times import DAY_SECONDS, HOUR_MS, HOUR_SECONDS
from p2pchat.ports import Clock
from p2pchat.store import meta
from p2pchat.store.database import Database

Monotonic = Callable[[], float]
AGREED_AFTER_SECONDS = HOUR_SECONDS
REFUTED_AFTER_SECONDS = DAY_SECONDS
CHECK_EVERY_SECONDS = 20.0
TOLERANCE_MS = 600_000
"""Apart by more than this is a jump. Two clocks of one machine drift by a minute a week."""
SAVE_EVERY_SECONDS = 600.0
_SURE, _GREATEST, _SEEN = "clock_sure", "clock_greatest", "clock_seen"
_COUNTED, _COUNTED_AT = "clock_counted", "clock_counted_at"

log = logging.getLogger(__name__)


def boot_time() -> float:
    """Return the seconds since the machine started, with those in which it slept, where the system counts these."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump: the wall clock moved `by` ms against the monotonic clock, to `at`. Times written since the jump before
    are from `since` to `until`. `was_set`: somebody set the clock; otherwise the machine may have slept.
    """

    by: int
    at: int
    since: int
    until: int
    was_set: bool


class ClockWatch:
    """Compares the two clocks whenever it is called. Only for the loop's thread, except `save` and the times.

    wall: ms since the epoch. monotonic: seconds that nobody can set and that go on while the machine sleeps; None for
    the loop's own clock, which does not. jumped: called for jumps of more than an hour.
    """

    def __init__(
        self, db: Database, wall: Clock, monotonic: Monotonic | None, jumped: Callable[[Jump], object]
    ) -> None:
        self._wall, self._monotonic = wall, monotonic or trio.current_time
        self._counts_sleep = monotonic is not None
        self._jumped = jumped
        self.sure = meta.get_int(db, _SURE)
        self._greatest = meta.get_int(db, _GREATEST)
        self._seen = meta.get_int(db, _SEEN)
        self._counted = float(meta.get_int(db, _COUNTED))
        self._counted_at = meta.get_int(db, _COUNTED_AT)
        self._looked: tuple[int, float] | None = None  # both clocks at the last look
        self._epoch: tuple[int, float] | None = None  # both clocks at the last jump, or at the start
        self._saved = 0.0
        self.now = 0
        self.agreed = False
        self.jump: Jump | None = None
        self.behind = 0
        """By how many ms the clock is behind a time that it showed; 0 otherwise, and once it has agreed for an hour."""

    @property
    def latest(self) -> int:
        """The later of the wall clock and the greatest time that it ever showed."""
        return max(self.now, self._greatest)

    @property
    def counted(self) -> int:
        """The time by which messages end, in ms; it never goes back."""
        return int(self._counted)

    @property
    def ahead(self) -> int:
        """By how many ms `counted` is ahead of the wall clock, for showing when a message ends."""
        return self.counted - self.now

    @property
    def passed(self) -> int:
        """The time by which deadlines are measured, in ms: never later than the wall clock itself."""
        return min(self.now, self.sure)

    async def run(self, settled: Callable[[], Awaitable[object]]) -> None:
        """Compare the clocks regularly; await `settled` once the clock has agreed for an hour after the start or a
        jump.
        """
        while True:
            before = self.agreed
            await trio.sleep(CHECK_EVERY_SECONDS)
            self.check()
            if self.agreed and not before:
                await settled()

    def check(self) -> None:
        """Compare the clocks now."""
        wall, monotonic = self._wall(), self._monotonic()
        self._count(wall, monotonic)
        if self._epoch is None:
            self._begin(wall, monotonic)
            return
        began, at = self._epoch
        expected = began + round((monotonic - at) * 1000)
        self.now = wall
        if abs(wall - expected) > TOLERANCE_MS:
            self._begin_anew(Jump(wall - expected, wall, began, expected, was_set=self._counts_sleep), monotonic)
        elif monotonic - at >= AGREED_AFTER_SECONDS:
            self.agreed, self.jump, self.behind = True, None, 0
            self.sure = self._seen = wall
            refuted = monotonic - at >= REFUTED_AFTER_SECONDS
            self._greatest = wall if refuted else max(wall, self._greatest)

    def _count(self, wall: int, monotonic: float) -> None:
        if self._looked is None:
            self._counted = self._counted + max(0, wall - self._counted_at) if self._counted_at else wall
        else:
            since = (monotonic - self._looked[1]) * 1000
            self._counted += max(0.0, since if self._counts_sleep else max(since, wall - self._looked[0]))
        self._looked = wall, monotonic

    def _begin_anew(self, jump: Jump, monotonic: float) -> None:
        self._epoch = jump.at, monotonic
        self._seen = jump.at
        self.agreed, self.jump = False, jump
        self._compare()
        if abs(jump.by) > HOUR_MS:
            log.warning(
                "the clock jumped by %+d h; no deadline ends until it has agreed for an hour", jump.by // HOUR_MS
            )
            self._jumped(jump)

    def _begin(self, wall: int, monotonic: float) -> None:
        self._epoch = wall, monotonic
        self.now = wall
        if self._seen > self.sure and wall >= self._seen + HOUR_MS:
            self.sure = self._seen  # two runs, an hour apart, saw the same clock go on
        if not self.sure <= self._seen <= wall or self._seen == self.sure:
            self._seen = wall
        self._compare()

    def _compare(self) -> None:
        self.behind = self._greatest - self.now if self.now < self._greatest - HOUR_MS else 0
        self._greatest = max(self._greatest, self.now)

    def unsaved(self) -> None:
        """Note that what `save` wrote was rolled back and has to be saved again."""
        self._saved = 0.0

    def save(self, db: Database) -> None:
        """Save the sure time and the greatest time seen, at most once in ten minutes and only if something changed."""
        monotonic = 0.0 if self._epoch is None else self._epoch[1] + (self.now - self._epoch[0]) / 1000
        if self._saved and abs(monotonic - self._saved) < SAVE_EVERY_SECONDS:
            return
        self._saved = monotonic or 1.0
        meta.put_int(db, _SURE, self.sure)
        meta.put_int(db, _GREATEST, self._greatest)
        meta.put_int(db, _SEEN, self._seen)
        if self._looked is not None:
            meta.put_int(db, _COUNTED, self.counted)
            meta.put_int(db, _COUNTED_AT, self._looked[0])
