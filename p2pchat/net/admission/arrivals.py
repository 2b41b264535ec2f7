"""Arrivals: work that many are waiting for is done in the order in which they came, a little at a time.

Otherwise all who come at once would be served at once, each a bit in turn, and all would be ready only at the very
end, when the first have long given up.

A place on the network, and the networks around it (`places`), have a number of turns a second in that order. Whoever
comes from a place that asks for more is *late*: they are let through more slowly, beside the others, with the same
share for each such place (`fairness`). A crowd from one place has the loop to itself while nobody comes from another;
as soon as somebody does, the crowd gets only what keeps the loop below `LATE_SHARE`. So a stranger who connects again
and again delays nobody from elsewhere by more than a turn or two, and leaves them a loop that is idle half of the time.
"""

from __future__ import annotations

import heapq
from itertools import count

import trio

from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.admission import places
from p2pchat.net.admission.budget import work
from p2pchat.net.admission.fairness import FairQueue

AT_ONCE = 8
"""How many continue before the loop has been round once: each works for a millisecond or less."""
LATE_AT_ONCE = 4
"""How many more of the late ones. (With two, a crowd from one place costs a tenth more CPU.)"""
LATE_SHARE = 0.5
"""While others come, late ones are let through only as long as the loop is busy for less than this part of the time,"""
LATE_SECONDS = 0.02
"""or when none of them was let through for so long: so they are slow, but not locked out."""
CONTENDED_SECONDS = 1.0
"""How many seconds after the turn of somebody from another place it counts as others coming."""
_PAUSE = 0.005  # seconds between two looks at how busy the loop is
TURN = 5_000
"""What a turn takes of a budget that its place has for them (`budget.PLACE_BURST`, `budget.PLACE_RATE`): 20 at once,
then 20 a second, which is ten handshakes."""


class Arrivals:
    """`run` until cancelled. Whoever waits for a turn works without waiting for anything else until its next one."""

    def __init__(self) -> None:
        self._numbers = count()
        self._order = count()
        self._waiting: list[tuple[int, int, trio.Event]] = []
        self._late: FairQueue[trio.Event] = FairQueue()
        self._wake = Wakeup()
        self._recent = (("", -CONTENDED_SECONDS), ("", -CONTENDED_SECONDS))  # two places that were in time, and when
        self._last_late = -LATE_SECONDS

    def number(self) -> int:
        """Return the next number in the order of arrival: for `turn`, where a lower one is let through first."""
        return next(self._numbers)

    async def turn(self, number: int, place: str) -> None:
        """Wait for the turn of whoever has this `number` and comes from `place` (`places`)."""
        event = trio.Event()
        if _in_time(place):
            heapq.heappush(self._waiting, (number, next(self._order), event))
            self._note(place)
        else:
            self._late.put(place, event, number)
        self._wake.set()
        await event.wait()

    async def run(self) -> None:
        """Give waiting connections their turns, until cancelled."""
        while True:
            await self._wake.wait()
            for _ in range(min(AT_ONCE, len(self._waiting))):
                heapq.heappop(self._waiting)[2].set()
            for _ in range(min(LATE_AT_ONCE, len(self._late))):
                if self._crowded():
                    break
                self._last_late = trio.current_time()
                self._late.take().set()
            if not self._waiting:
                self._wake.clear()
                if self._late:
                    await self._wait_for_turn()
                    self._wake.set()
                    continue
            await trio.lowlevel.checkpoint()

    async def _wait_for_turn(self) -> None:
        """Wait until some of the late ones may continue, or somebody else comes."""
        if not self._crowded():
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(_PAUSE):
            await self._wake.wait()

    def _note(self, place: str) -> None:
        """Note an arrival from there that is in time."""
        now = trio.current_time()
        if self._recent[0][0] != place:
            self._recent = ((place, now), self._recent[0])
        else:
            self._recent = ((place, now), self._recent[1])

    def _crowded(self) -> bool:
        """Whether late ones have to wait until the loop is less busy."""
        if work().turns.busy_share <= LATE_SHARE:
            return False
        now, place = trio.current_time(), self._late.first
        (one, at), (other, then) = self._recent
        others = (one != place and now - at < CONTENDED_SECONDS) or (other != place and now - then < CONTENDED_SECONDS)
        return others and now - self._last_late < LATE_SECONDS


def _in_time(place: str) -> bool:
    """Whether a place and all networks around it have a turn left, which is then used."""
    now, budgets, taken = trio.current_time(), work(), []
    for network, factor in places.bounds(place, 1.0):
        budget, units = budgets.of(f"turns {network}"), TURN / factor
        if budget.available(now) < units:
            return False
        taken.append((budget, units))
    for budget, units in taken:
        budget.draw(units)
    return True
