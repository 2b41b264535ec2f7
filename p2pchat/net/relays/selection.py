"""Choosing the relays at which we can be reached: two of the list, and others if these do not answer.

The first two are asked. If one has not answered within `TIMEOUT`, the next in the list is asked too; as soon as two
reservations hold, the others are given up. So with a list of two both are always wanted, and with a longer one dead
relays are replaced.

*Fallback relays* are others that somebody has told of. They are asked in the same way while every relay of the list has
been asked in vain, and given up when one of the list answers.
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
"""Relays with a reservation at the same time, since a peer that dials us does not notice that one of them has ended."""
TIMEOUT = 5.0
"""Seconds that a relay may take to answer before the next one is asked too."""


class Relays:
    """Our reservations, at relays of the list that `use` was given last. `changed` is called whenever one begins or
    ends, `newly_held` with each relay at which one begins.
    """

    def __init__(
        self,
        host: RelayedHost,
        nursery: trio.Nursery,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        changed: Callable[[], None],
        newly_held: Callable[[PeerKey, RelayAccess], None] = lambda relay, access: None,
    ) -> None:
        self._newly_held = newly_held
        self._fallbacks: dict[PeerKey, RelayAccess] = {}
        self._kept = Reservations(host, nursery, clock, random, self._moved)
        self._changed = changed
        self._relays: dict[PeerKey, RelayAccess] = {}
        self._asked: dict[PeerKey, float] = {}  # until when one without a reservation is expected to answer
        self._ways: tuple[str, ...] = ()
        self._wake = Wakeup()
        nursery.start_soon(self._run)

    def use(
        self, relays: Mapping[PeerKey, RelayAccess], fallbacks: Mapping[PeerKey, RelayAccess] | None = None
    ) -> None:
        """Keep reservations at some of these relays, given by transport key, best first; while none of them answers, at
        some of the `fallbacks`.
        """
        before, now = self._fallbacks | self._relays, dict(fallbacks or {}) | dict(relays)
        for relay in self._asked.keys() - now.keys():
            self._leave(relay)
        for relay, access in now.items():
            if relay in self._asked and before[relay] != access:
                self._kept.want(relay, access)
        self._relays = dict(relays)
        self._fallbacks = {relay: access for relay, access in (fallbacks or {}).items() if relay not in relays}
        self._moved()

    def nudge(self, relay: PeerKey) -> None:
        """Ask a relay again at once, because its mailbox has answered, if it was asked and has no reservation."""
        self._kept.nudge(relay)

    def nudge_all(self) -> None:
        """Ask every relay at once that was asked and does not hold: the network has changed."""
        for relay in self._asked:
            self._kept.nudge(relay)

    def ways(self) -> tuple[str, ...]:
        """Return the addresses at which we can be reached through relays now. Any thread may call it."""
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
        ours = [relay for relay in self._relays if self._kept.held(relay)]
        fallback = [] if ours else [relay for relay in self._fallbacks if self._kept.held(relay)]
        held = [*ours, *fallback]
        for relay in held:
            begins = self._asked[relay] != inf
            self._asked[relay] = inf
            if begins:
                self._newly_held(relay, self._relays.get(relay) or self._fallbacks[relay])
        if len(held) >= AT_ONCE:
            given_up = self._asked.keys() - held[:AT_ONCE]
            for relay in given_up if ours else given_up - self._relays.keys():
                self._leave(relay)
            return
        if ours:
            for relay in self._asked.keys() & self._fallbacks.keys():
                self._leave(relay)
        for relay, until in self._asked.items():
            if until == inf and relay not in held:  # it has just been lost
                self._asked[relay] = now + TIMEOUT
        in_vain = all(self._asked.get(relay, inf) <= now for relay in self._relays)
        candidates = [*self._relays, *(self._fallbacks if self._relays and in_vain else ())]
        hopeful = sum(until > now for until in self._asked.values())
        for relay in [relay for relay in candidates if relay not in self._asked][: max(0, AT_ONCE - hopeful)]:
            self._asked[relay] = now + TIMEOUT
            self._kept.want(relay, self._relays.get(relay) or self._fallbacks[relay])

    def _leave(self, relay: PeerKey) -> None:
        del self._asked[relay]
        self._kept.forget(relay)
        self._moved()
