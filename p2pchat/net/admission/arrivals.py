"""Arrivals: work that many wait for is done in the order in which they came, a little at a time.

Without it everybody who comes at once is served at once: each a bit in turn, so that all are ready at the very end,
when the first have long given up.

A place on the network, and the networks around it (`places`), have a number of turns a second in that order. Whoever
comes from where more are asked for is *late*: let through more slowly, beside the others, each such place as much as
the next (`fairness`). A crowd that comes from one place has the loop to itself while nobody comes from another; as soon
as somebody does, it has what keeps the loop below `LATE_SHARE`. So a stranger who connects again and again delays
nobody from elsewhere by more than a turn or two, and leaves them a loop that is idle for half of the time.
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
"""How many go on before the loop has been round once: each works for a millisecond or less."""
LATE_AT_ONCE = 4
"""How many besides of those who come from where more is asked for than is given. (Two cost a crowd from one place a
tenth more CPU.)"""
LATE_SHARE = 0.5
"""While others come, those are let through only as long as the loop is busy for less than this part of the time,"""
LATE_SECONDS = 0.02
"""or when none of them was for so long: they are slow then, and not locked out."""
CONTENDED_SECONDS = 1.0
"""How long after somebody from another place had a turn it counts as others coming."""
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
        """Wait for a turn for whoever drew this `number`, and comes from `place` (`places`)."""
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
                    await self._look_again()
                    self._wake.set()
                    continue
            await trio.lowlevel.checkpoint()

    async def _look_again(self) -> None:
        """Wait until some of those who are late may go on, or somebody else comes."""
        if not self._crowded():
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(_PAUSE):
            await self._wake.wait()

    def _note(self, place: str) -> None:
        """Somebody from there comes in time."""
        now = trio.current_time()
        if self._recent[0][0] != place:
            self._recent = ((place, now), self._recent[0])
        else:
            self._recent = ((place, now), self._recent[1])

    def _crowded(self) -> bool:
        """Whether those who are late have to wait for a loop that is less busy."""
        if work().turns.busy_share <= LATE_SHARE:
            return False
        now, place = trio.current_time(), self._late.first
        (one, at), (other, then) = self._recent
        others = (one != place and now - at < CONTENDED_SECONDS) or (other != place and now - then < CONTENDED_SECONDS)
        return others and now - self._last_late < LATE_SECONDS


def _in_time(place: str) -> bool:
    """Whether a place and all networks around it have a turn left, which is taken then."""
    now, budgets, taken = trio.current_time(), work(), []
    for network, factor in places.bounds(place, 1.0):
        budget, units = budgets.of(f"turns {network}"), TURN / factor
        if budget.look(now) < units:
            return False
        taken.append((budget, units))
    for budget, units in taken:
        budget.draw(units)
    return True
