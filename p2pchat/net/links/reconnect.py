"""Reach: for every contact that is wanted, find a way to it and keep a link.

Each wanted contact has one task that dials its known transport keys, newest first, the next one when the last has
failed or been silent for a moment (as RFC 8305 does with the addresses of one host). It waits between rounds: 1 s,
doubling to 5 min, with jitter. A nudge (there is something to send) ends the wait, at most once a second. While the
link is over a circuit, a second task looks for a direct one: at once, when the ways change, and every hour. Where the
link has stalled, another task makes a second one beside it, on a new connection, by whatever way answers first.

Where many are wanted and few are there, rounds of all together are paced: everybody's first, in the order in which they
were wanted (`FIRST_ROUND_SECONDS`), and those after it, which find somebody only now and then (`LATER_ROUND_SECONDS`).
A nudge waits for no pace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.lib.backoff import Backoff, jittered
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.links.link import Links

FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
IMPROVE_SECONDS = HOUR_SECONDS
"""Seconds between two looks for a direct way."""
ROUNDS_AT_ONCE = 64
"""How many first rounds, and how many later ones, may begin at once; for those that follow there is a pace."""
FIRST_ROUND_SECONDS = 0.05
"""Seconds between two first rounds: a round costs 1 ms or two."""
LATER_ROUND_SECONDS = 0.5
"""Seconds between two later ones: with hundreds of contacts away they take 0.3 % of a core. With so many that one of
them would wait for longer than `LONGEST_WAIT`, it is less."""

KEY_STAGGER = 1.0
"""Seconds that a transport key of a contact has for itself before the next one is dialled beside it."""

UNREACHED_SECONDS = 1.0
"""Seconds of a round after which a contact counts as not reachable at what is known, while the round goes on."""

DialTarget = tuple[PeerKey, str]
"""(transport key, address)"""


@dataclass(eq=False)
class _Wanted:
    ways: list[DialTarget]
    turn: float | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    nudged: Wakeup = field(default_factory=Wakeup)
    afresh: bool = False
    improve: Wakeup = field(default_factory=Wakeup)
    improving: trio.CancelScope | None = None
    besides: set[trio.CancelScope] = field(default_factory=set)
    dials_beside: bool = False
    tried: float | None = None


class _Pace:
    """When the next round of anybody may begin."""

    def __init__(self) -> None:
        self._next = -inf

    def reserve(self, seconds: float) -> float:
        """Take the next place in the order, `seconds` after the one before; return the time at which it comes."""
        begin = max(self._next, trio.current_time() - ROUNDS_AT_ONCE * seconds)
        self._next = begin + seconds
        return self._next


class Reconnector:
    """Keeps links to the contacts it is told of. found: returns further ways to a contact, which come first. unreached:
    called where the known ways have led to nobody for a moment, or have all failed.
    """

    def __init__(self, links: Links, nursery: trio.Nursery, random: Callable[[int], bytes]) -> None:
        self._links = links
        self._nursery = nursery
        self._random = random
        self._wanted: dict[ContactId, _Wanted] = {}
        self._all = trio.CancelScope()
        self._first_rounds, self._later_rounds = _Pace(), _Pace()
        self.found: Callable[[ContactId], Sequence[DialTarget]] = lambda contact: ()
        self.unreached: Callable[[ContactId], None] = lambda contact: None
        links.tell_of_links(self._improve_soon, self._stuck)

    def want(self, contact: ContactId, ways: Sequence[DialTarget]) -> None:
        """Keep a link to the contact by these ways; called again, it takes the new ways and tries at once."""
        wanted = self._wanted.get(contact)
        if wanted is None:
            wanted = self._wanted[contact] = _Wanted(list(ways), self._first_rounds.reserve(FIRST_ROUND_SECONDS))
            self._nursery.start_soon(self._run, contact, wanted)
        else:
            wanted.ways = list(ways)
            self._improve_soon(contact)
            self.again(contact)

    def heard(self, contact: ContactId) -> None:
        """Dial soon: the contact is there, by a way that `found` returns."""
        wanted = self._wanted.get(contact)
        if wanted is None:
            self.want(contact, ())
        else:
            self._improve_soon(contact)
            self.again(contact)

    def wants(self, contact: ContactId) -> bool:
        """Return whether a link with the contact is wanted."""
        return contact in self._wanted

    def ways(self, contact: ContactId) -> Sequence[DialTarget]:
        """Return the ways by which a contact is dialled."""
        wanted = self._wanted.get(contact)
        return () if wanted is None else wanted.ways

    def again(self, contact: ContactId) -> None:
        """Begin with the shortest wait: a link has just ended, or something changed."""
        if (wanted := self._wanted.get(contact)) is not None:
            wanted.afresh = True
            wanted.nudged.set()

    def attempts(self, contact: ContactId) -> tuple[list[DialTarget], float | None]:
        """Return the ways at which a contact is dialled, and when a round of all of them last failed."""
        wanted = self._wanted.get(contact)
        return ([], None) if wanted is None else ([*self.found(contact), *wanted.ways], wanted.tried)

    async def all_again(self) -> None:
        """Begin again with everybody to whom there is no link, one after the other: the network has changed. If it
        changes again meanwhile, only the last call goes on.
        """
        self._all.cancel()
        with trio.CancelScope() as self._all:
            for contact in list(self._wanted):
                if self._links.best(contact) is None:
                    self.again(contact)
                    await trio.sleep(FIRST_ROUND_SECONDS)

    def nudge(self, contact: ContactId) -> None:
        """Dial now, without waiting for the back-off to end: there is something to send."""
        if (wanted := self._wanted.get(contact)) is not None:
            wanted.nudged.set()

    def forget(self, contact: ContactId) -> None:
        """Stop dialling the contact, and end a link that was dialled here; those that they dialled are not touched."""
        if (wanted := self._wanted.pop(contact, None)) is not None:
            wanted.scope.cancel()
            for scope in (wanted.improving, *wanted.besides):
                if scope is not None:
                    scope.cancel()

    async def _run(self, contact: ContactId, wanted: _Wanted) -> None:
        with wanted.scope:
            await self._keep(contact, wanted)

    async def _keep(self, contact: ContactId, wanted: _Wanted) -> None:
        backoff, attempt = Backoff(FIRST_WAIT, LONGEST_WAIT, self._random), 0
        while True:
            await self._turn(contact, wanted)
            wanted.nudged.clear()
            wanted.afresh = False
            linked = self._links.best(contact) is None and await self._watched_round(contact, wanted, attempt)
            wanted.tried = None if linked or self._links.best(contact) is not None else trio.current_time()
            attempt += 1
            if linked or wanted.afresh:
                backoff.reset()
                attempt = 0
            await trio.sleep(jittered(FIRST_WAIT, self._random))
            with trio.move_on_after(backoff.pause()):
                await wanted.nudged.wait()
            if wanted.afresh:
                backoff.reset()

    async def _watched_round(self, contact: ContactId, wanted: _Wanted, attempt: int) -> bool:
        """Dial once, and say if that leads to nobody. True if there was a link."""
        linked = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_if_late, contact)
            linked = await self._round(contact, wanted, attempt)
            nursery.cancel_scope.cancel()
        if not linked and self._links.best(contact) is None:
            self.unreached(contact)
        return linked

    async def _tell_if_late(self, contact: ContactId) -> None:
        await trio.sleep(UNREACHED_SECONDS)
        if self._links.best(contact) is None:
            self.unreached(contact)

    async def _turn(self, contact: ContactId, wanted: _Wanted) -> None:
        """Wait until a round may begin; at once where there was a nudge, or there is a link and nothing to dial."""
        turn, wanted.turn = wanted.turn, None
        if self._links.best(contact) is None:
            if turn is None:
                turn = self._later_rounds.reserve(min(LATER_ROUND_SECONDS, LONGEST_WAIT / len(self._wanted)))
            with trio.move_on_at(turn):
                await wanted.nudged.wait()

    def _improve_soon(self, contact: ContactId) -> None:
        """Look for a direct way where there is none: a link came, or other ways."""
        if (wanted := self._wanted.get(contact)) is not None:
            wanted.improve.set()
            if wanted.improving is None and self._has_circuit_only(contact):
                wanted.improving = trio.CancelScope()
                self._nursery.start_soon(self._improve, contact, wanted, wanted.improving)

    def _has_circuit_only(self, contact: ContactId) -> bool:
        link = self._links.best(contact)
        return link is not None and link.stream.route != Route.DIRECT

    async def _improve(self, contact: ContactId, wanted: _Wanted, scope: trio.CancelScope) -> None:
        with scope:
            while self._has_circuit_only(contact):
                wanted.improve.clear()
                if not await self._round(contact, wanted, 0, Route.DIRECT):
                    wanted.tried = trio.current_time()
                with trio.move_on_after(jittered(IMPROVE_SECONDS, self._random)):
                    await wanted.improve.wait()
                await trio.sleep(jittered(FIRST_WAIT, self._random))
        wanted.improving = None

    def _stuck(self, contact: ContactId) -> None:
        """Make another link beside those that have stalled."""
        wanted = self._wanted.get(contact)
        if wanted is not None and not wanted.dials_beside:
            wanted.dials_beside = True
            self._nursery.start_soon(self._dial_beside, contact, wanted)

    async def _dial_beside(self, contact: ContactId, wanted: _Wanted) -> None:
        """Dial until there is a link that moves, and carry it; meanwhile, if it stalls too, the next may be made."""
        backoff, attempt, won = Backoff(FIRST_WAIT, LONGEST_WAIT, self._random), 0, False

        def linked() -> None:
            nonlocal won
            won, wanted.dials_beside = True, False

        with trio.CancelScope() as scope:
            wanted.besides.add(scope)
            while not won and self._links.best(contact) is not None and not self._links.moves(contact):
                await self._round(contact, wanted, attempt, linked=linked)
                attempt += 1
                if not won:
                    await trio.sleep(backoff.pause())
        wanted.besides.discard(scope)
        if not won:
            wanted.dials_beside = False

    async def _round(
        self,
        contact: ContactId,
        wanted: _Wanted,
        attempt: int,
        only: Route | None = None,
        *,
        linked: Callable[[], None] | None = None,
    ) -> bool:
        """Dial each known host once; the first that answers ends the others' attempts. True if there was a link (it has
        ended again by then). linked: called once there is one, which is then on a connection made now.
        """
        afresh = linked is not None
        hosts: dict[PeerKey, list[str]] = {}
        for peer, address in (*self.found(contact), *wanted.ways):
            hosts.setdefault(peer, []).append(address)
        race = _Race(linked or (lambda: None))

        async def dial(peer: PeerKey, addresses: list[str], lost: trio.CancelScope, over: trio.Event) -> None:
            with suppress(LinkLost, Unreachable), lost:
                await self._links.dial(contact, peer, addresses, attempt, lambda: race.won(lost), only, afresh=afresh)
            over.set()

        async with trio.open_nursery() as nursery:
            for peer, addresses in hosts.items():
                if race.winner is not None:
                    break
                lost, over = trio.CancelScope(), trio.Event()
                race.runners.append(lost)
                nursery.start_soon(dial, peer, addresses, lost, over)
                with trio.move_on_after(KEY_STAGGER):
                    await over.wait()
        return race.winner is not None


@dataclass(eq=False)
class _Race:
    """Attempts of which the first to succeed ends the others. linked: called when it has."""

    linked: Callable[[], None]
    runners: list[trio.CancelScope] = field(default_factory=list)
    winner: trio.CancelScope | None = None

    def won(self, by: trio.CancelScope) -> None:
        if self.winner is None:
            self.winner = by
            self.linked()
            for other in self.runners:
                if other is not by:
                    other.cancel()
