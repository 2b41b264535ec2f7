"""At which of our relays we can be reached: two of the list, another where one of these does not answer.

The first two are taken. One that has not answered for `TIMEOUT` gets company from further down the list; as soon as
two hold, the others are let go. So a list of two is kept whatever happens, and a longer one moves on from what is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import trio

from p2pchat.core.ids import PeerKey
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.ports import RelayedHost
from p2pchat.net.relays.reservations import RelayAccess, Reservations

AT_ONCE = 2
"""Relays to be reached by at the same time: the end of one is not noticed by those who dial."""
TIMEOUT = 5.0
"""Seconds a relay may take to answer before the next one is asked too."""


class Relays:
    """Our places at relays. `changed` is called whenever one came or went; what `use` was given last counts."""

    def __init__(
        self,
        host: RelayedHost,
        nursery: trio.Nursery,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        changed: Callable[[], None],
    ) -> None:
        self._kept = Reservations(host, nursery, clock, random, self._moved)
        self._changed = changed
        self._relays: dict[PeerKey, RelayAccess] = {}
        self._asked: dict[PeerKey, float] = {}  # until when there is hope for one that does not hold
        self._ways: tuple[str, ...] = ()
        self._wake = Wakeup()
        nursery.start_soon(self._run)

    def use(self, relays: Mapping[PeerKey, RelayAccess]) -> None:
        """Be reached by some of these, by their transport keys, best first."""
        for relay in self._asked.keys() - relays.keys():
            self._leave(relay)
        for relay, access in relays.items():
            if relay in self._asked and self._relays[relay] != access:
                self._kept.want(relay, access)
        self._relays = dict(relays)
        self._moved()

    def nudge(self, relay: PeerKey) -> None:
        """Ask a relay at once that has just answered elsewhere, where it is one of those asked and does not hold."""
        self._kept.nudge(relay)

    def ways(self) -> tuple[str, ...]:
        """Return the addresses that lead to us by relays now. For any thread."""
        return self._ways

    def _moved(self) -> None:
        before, self._ways = self._ways, self._kept.ways()
        self._wake.set()
        if self._ways != before:
            self._changed()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._choose()
            hopes = [until for relay, until in self._asked.items() if not self._kept.held(relay)]
            waiting = [until for until in hopes if until > trio.current_time()]
            with trio.move_on_at(min(waiting, default=inf)):
                await self._wake.wait()

    def _choose(self) -> None:
        now = trio.current_time()
        held = [relay for relay in self._relays if self._kept.held(relay)]
        for relay in held:
            self._asked[relay] = inf
        if len(held) >= AT_ONCE:
            for relay in self._asked.keys() - held[:AT_ONCE]:
                self._leave(relay)
            return
        for relay, until in self._asked.items():
            if until == inf and relay not in held:  # it has just been lost
                self._asked[relay] = now + TIMEOUT
        hopeful = sum(until > now for until in self._asked.values())
        for relay in [relay for relay in self._relays if relay not in self._asked][: max(0, AT_ONCE - hopeful)]:
            self._asked[relay] = now + TIMEOUT
            self._kept.want(relay, self._relays[relay])

    def _leave(self, relay: PeerKey) -> None:
        del self._asked[relay]
        self._kept.forget(relay)
        self._moved()
