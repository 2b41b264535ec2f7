"""Arrivals: work that many wait for is done in the order in which they came, a little at a time.

Without it everybody who comes at once is served at once: each a bit in turn, so that all are ready at the very end,
when the first have long given up.

A place on the network, and the networks around it (`places`), have a number of turns a second in that order. Whoever
comes from where more are asked for is let through more slowly, beside the others: a stranger who connects again and
again delays nobody from elsewhere by more than a turn or two.
"""

from __future__ import annotations

from itertools import count

import trio

from p2pchat.net import places
from p2pchat.net.budget import work
from p2pchat.net.fairness import FairQueue

AT_ONCE = 8
"""How many go on before the loop has been round once: each works for a millisecond or less."""
LATE_AT_ONCE = 4
"""How many besides of those who come from where more is asked for than is given. (Two cost a crowd from one place a
tenth more CPU.)"""
TURN = 5_000
"""What a turn takes of a budget that its place has for them (`budget.PLACE_BURST`, `budget.PLACE_RATE`): 20 at once,
then 20 a second, which is ten handshakes."""


class Arrivals:
    """`run` until cancelled. Whoever waits for a turn works without waiting for anything else until its next one."""

    def __init__(self) -> None:
        self._numbers = count()
        self._waiting: FairQueue[trio.Event] = FairQueue()
        self._late: FairQueue[trio.Event] = FairQueue()
        self._wake = trio.Event()

    def number(self) -> int:
        """Those with a lower number are let through first."""
        return next(self._numbers)

    async def turn(self, number: int, place: str) -> None:
        """Wait for a turn."""
        event = trio.Event()
        (self._waiting if _in_time(place) else self._late).put(place, event, number)
        self._wake.set()
        await event.wait()

    async def run(self) -> None:
        """Give turns."""
        while True:
            await self._wake.wait()
            for waiting, most in ((self._waiting, AT_ONCE), (self._late, LATE_AT_ONCE)):
                for _ in range(min(most, len(waiting))):
                    waiting.take().set()
            if not self._waiting and not self._late:
                self._wake = trio.Event()
            await trio.lowlevel.checkpoint()


def _in_time(place: str) -> bool:
    """Whether a place and all networks around it have a turn left, which is taken then."""
    now = trio.current_time()
    around = zip(places.networks(place), places.factors(place), strict=True)
    found = [(work().of(f"turns {network}"), TURN / factor) for network, factor in around]
    if any(budget.look(now) < units for budget, units in found):
        return False
    for budget, units in found:
        budget.draw(units)
    return True
