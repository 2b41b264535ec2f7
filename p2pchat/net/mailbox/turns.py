"""The order in which backlogs are fetched: one relay after the other, because relays mostly hold the same blobs.

What the first has delivered is on our disk when the second is fetched, so the second is told to delete it (`fetch`). A
relay that is slow, or lies, delays the others for `MAX_SILENCE_SECONDS` if it delivers nothing, and for
`MAX_WAIT_SECONDS` in any case; then they are fetched concurrently.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

MAX_SILENCE_SECONDS = 1.0
"""Seconds for which the relay whose turn it is may deliver nothing."""
MAX_WAIT_SECONDS = 10.0
"""Seconds for which a relay waits for its turn at most."""


class BacklogTurns:
    """The turns of relays that are used in the same way, and whose queues have the same blobs."""

    def __init__(self) -> None:
        self._taken = False
        self._heard = 0.0
        self._changed = trio.lowlevel.ParkingLot()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the other relays, within the limits above; then it is the caller's turn until the end of the
        block.
        """
        until = trio.current_time() + MAX_WAIT_SECONDS
        while self._taken and trio.current_time() < (by := min(until, self._heard + MAX_SILENCE_SECONDS)):
            with trio.move_on_at(by):
                await self._changed.park()
        if self._taken:  # fetched concurrently
            yield
            return
        self._taken = True
        self.heard()
        try:
            yield
        finally:
            self._taken = False
            self._changed.unpark_all()

    def heard(self) -> None:
        """Note that the relay whose turn it is has delivered something."""
        self._heard = trio.current_time()
