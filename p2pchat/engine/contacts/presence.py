"""Tells faces when a contact's link comes up or goes down.

The first change is announced at once, then the current state after `HOLD_SECONDS`, and nothing if that is what was
announced last; so a flapping link causes no flood of events.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId
from p2pchat.lib.wakeup import Wakeup

HOLD_SECONDS = 1.0
"""Seconds between two events of one contact."""


class Presence:
    """`tell(contact)` has to send the event; `route(contact)` says how the contact is reached now, or None."""

    def __init__(self, tell: Callable[[ContactId], object], route: Callable[[ContactId], Route | None]) -> None:
        self._tell = tell
        self._route = route
        self._told: dict[ContactId, tuple[float, str | None]] = {}
        self._held: set[ContactId] = set()
        self._wake = Wakeup()

    def changed(self, contact: ContactId) -> None:
        """Note that a contact's link has come up or gone down."""
        at, _ = self._told.get(contact, (-inf, None))
        if trio.current_time() >= at + HOLD_SECONDS:
            self._update(contact)
        else:
            self._held.add(contact)
            self._wake.set()

    async def run(self) -> None:
        """Send the events that were held back, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await trio.sleep(HOLD_SECONDS)
            held, self._held = self._held, set()
            for contact in held:
                self._update(contact)

    def _update(self, contact: ContactId) -> None:
        route = self._route(contact)
        _, before = self._told.get(contact, (-inf, None))
        if route != before:
            self._told[contact] = (trio.current_time(), route)
            self._tell(contact)
