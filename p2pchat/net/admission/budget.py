"""How much work strangers may make us do (docs/decisions/0029-work-of-strangers.md).

Every connection has an `Account`. What costs work and carries nothing is charged to it, in microseconds of a core as
measured; what carries data for an open stream pays for itself. An account fills up with time. What it gets comes out of
the budget of its place on the network, and out of that of all strangers together, so that many connections that each
stay below their limit cannot have more than these. Whoever is in debt is read later, and a connection that is in debt
for long is ended. An account that has proven something has a larger budget of its own.

`LoopTurns` gives the loop back: parsing goes on for a slice of `SLICE` units, or until the loop's turn has become long;
then others have their turn: first who comes from where little was asked for (`fairness`).
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections import OrderedDict

import trio

from p2pchat.net.admission.fairness import FairQueue

RECEIVE = 15
"""Units for taking bytes from a socket once. (A unit is a microsecond.)"""
MESSAGE = 30
"""Units for opening a Noise message."""
FRAME = 6
"""Units for the head of a Yamux or WebSocket frame."""
PONG = 60
"""Units for answering a ping."""
STREAM = 500
"""Units for a stream that is opened."""
ROUND = 100
"""Units for one step of a negotiation."""
READ = 25
"""Units for a read of libp2p's, as its handshakes make them."""
BYTES_A_UNIT = 40
"""Bytes for an open stream that pay one unit; as many cost one where there is no such stream."""

SLICE = 250
"""Units of one connection after which others get a turn,"""
SHORT_SLICE = 100
"""and after which they have one where this turn of the loop has lasted long: a message or two are always taken. A
connection that has not used what every account begins with has no such short ones: each turn more is a tenth of what
its message costs."""
MAX_TURN_SECONDS = 0.002
"""How long a turn of the loop may have lasted when parsing still goes on in it."""
_SHARE_SECONDS = 0.1  # over which the busy share of the loop is averaged
_AVERAGE_SECONDS = 0.01  # how long turns are only added up
_MAX_WOKEN = 4  # tasks let through in one turn once it has become long

START = 5_000
"""Units every account begins with, wherever it comes from: enough to be greeted and to open a few queues."""
BURST, RATE = 30_000, 50_000
"""Units an account may save up, and how many it gets in a second, while its place has them."""
PLACE_BURST, PLACE_RATE = 100_000, 100_000
"""The same for all connections from one place together, beyond what each begins with,"""
ALL_BURST, ALL_RATE = 250_000, 250_000
"""and for all strangers together: a quarter of a core."""
TRICKLE = 20
"""Units a second that an account gets in any case, so that nobody's pings depend on what others do."""
PROVEN_BURST, PROVEN_RATE = 200_000, 200_000
"""The same for an account that has proven something,"""
ALL_PROVEN_RATE = 500_000
"""and for all of these together."""
MAX_DEBT = 100_000
"""Units of debt with which a connection is ended,"""
MAX_DEBT_SECONDS = 10.0
"""as it is when it has not been out of debt, by half of what it may save up, for so long."""
MAX_PLACES = 16_384
"""Places whose budgets are remembered; the one unused for longest is forgotten first."""


class TooMuchWork(trio.BrokenResourceError):
    """A peer caused much work and sent nothing: its connection is treated as broken."""


class Budget:
    """Units that several accounts share: a token bucket that gives what it has."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, burst: float, a_second: float, now: float) -> None:
        self._burst = burst
        self._rate = a_second
        self._left = burst
        self._at = now

    def available(self, now: float) -> float:
        """Return how many units there are at `now`, in seconds of the loop's clock."""
        left = self._left + (now - self._at) * self._rate
        self._left = left = left if left < self._burst else self._burst
        self._at = now
        return left

    def draw(self, units: float) -> None:
        """Take so many units, which `look` has said are available."""
        self._left -= units


class LoopTurns(trio.abc.Instrument):
    """The turns of this event loop: how long they take, and who continues in the next one."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._longest = [0.0, 0.0]  # of this half minute and the one before
        self._half_minute = 0
        self._averaged = self._began
        self._busy = 0.0  # seconds of turns since then
        self.busy_share = 0.0
        """Of the time lately: how much of it the loop worked."""
        self._waiting: FairQueue[trio.Event] = FairQueue()
        self._waking = False

    @property
    def longest(self) -> float:
        """How many seconds the longest turn took in the last half minute or a little before."""
        self._start_half_minute(time.perf_counter())
        return max(self._longest)

    @property
    def late(self) -> bool:
        """Whether this turn has lasted so long that parsing goes on in another one."""
        return time.perf_counter() - self._began > MAX_TURN_SECONDS

    def after_io_wait(self, timeout: float) -> None:
        """Note that a turn of the event loop begins. Trio calls this and the next one a dozen times a message, so both
        do next to nothing.
        """
        self._began = began = time.perf_counter()
        if began - self._averaged >= _AVERAGE_SECONDS:
            self._average(began)

    def before_io_wait(self, timeout: float) -> None:
        """Note that a turn of the event loop ends."""
        took = time.perf_counter() - self._began
        self._busy += took
        if took > self._longest[0]:
            self._longest[0] = took

    def _average(self, now: float) -> None:
        """Count what the turns took since this was called before into the share."""
        passed = now - self._averaged
        kept = math.exp(-passed / _SHARE_SECONDS)
        self.busy_share = kept * self.busy_share + (1 - kept) * self._busy / passed
        self._averaged, self._busy = now, 0.0
        self._start_half_minute(now)

    def _start_half_minute(self, now: float) -> None:
        half_minute = int(now / 30)
        if half_minute != self._half_minute:
            before = self._longest[0] if half_minute == self._half_minute + 1 else 0.0
            self._half_minute, self._longest = half_minute, [0.0, before]

    async def next(self, place: str) -> None:
        """Wait for a turn that has room. Every place has the same share of them."""
        if not self._waking and not self.late:
            await trio.lowlevel.checkpoint()
            return
        if not self._waking:
            self._waking = True
            trio.lowlevel.spawn_system_task(self._wake_waiting)
        event = trio.Event()
        self._waiting.put(place, event)
        await event.wait()

    async def _wake_waiting(self) -> None:
        try:
            while self._waiting:
                for _ in range(min(_MAX_WOKEN, len(self._waiting))):
                    self._waiting.take().set()
                await trio.lowlevel.checkpoint()
        finally:
            self._waking = False


class Work:
    """The budgets of all connections of this loop. `ended`: connections that were ended for the work they made."""

    def __init__(self) -> None:
        self.turns = LoopTurns()
        self.ended = 0
        self.strangers = Budget(ALL_BURST, ALL_RATE, trio.current_time())
        self.proven = Budget(ALL_PROVEN_RATE, ALL_PROVEN_RATE, trio.current_time())
        self._key = os.urandom(16)  # places are remembered for longer than a connection, so not by their names
        self._places: OrderedDict[bytes, Budget] = OrderedDict()

    def of(self, place: str) -> Budget:
        """Return the budget of a place; one that is not remembered gets a new one."""
        name = hashlib.blake2b(place.encode(), key=self._key, digest_size=16).digest()
        budget = self._places.get(name)
        if budget is None:
            budget = self._places[name] = Budget(PLACE_BURST, PLACE_RATE, trio.current_time())
            if len(self._places) > MAX_PLACES:
                self._places.popitem(last=False)
        self._places.move_to_end(name)
        return budget


_WORK: trio.lowlevel.RunVar[Work] = trio.lowlevel.RunVar("p2pchat_work")


def work() -> Work:
    """Return the one `Work` of this loop."""
    try:
        return _WORK.get()
    except LookupError:
        fresh = Work()
        _WORK.set(fresh)
        trio.lowlevel.add_instrument(fresh.turns)
        return fresh


class Account:
    """What one connection may cost; `charge` as it costs, and `settle` where `due`.

    place: where it comes from (`multiaddrs.neighbourhood`, or by which relay).
    """

    __slots__ = (
        "_at",
        "_budgets",
        "_burst",
        "_indebted",
        "_left",
        "_new",
        "_place",
        "_rate",
        "_slice",
        "_turns",
        "_work",
    )

    def __init__(self, place: str = "") -> None:
        self._work = work()
        self._turns = self._work.turns
        self._place = place
        self._budgets: tuple[Budget, ...] = (self._work.of(place), self._work.strangers)
        self._burst: float = BURST
        self._rate: float = RATE
        self._left: float = START
        self._at = trio.current_time()
        self._slice: float = 0
        self._new: float = START  # units to be done without short slices
        self._indebted: float | None = None  # since when
        self._draw(BURST - START, self._at)

    def prove(self) -> None:
        """Give the account a larger budget that is not the strangers', since its owner is known or was dialled by
        us.
        """
        self._budgets = (self._work.proven,)
        self._place = f"known {self._place}"  # and so it does not wait with the strangers of its place
        self._burst, self._rate, self._left = PROVEN_BURST, PROVEN_RATE, PROVEN_BURST

    def charge(self, units: float) -> None:
        """Charge so many units for work done."""
        self._left -= units
        self._slice += units

    def carried(self, size: int) -> None:
        """Pay for work with `size` bytes that arrived for an open stream. They do not extend the slice."""
        if self._left < self._burst:
            self._left = min(self._burst, self._left + size / BYTES_A_UNIT)

    @property
    def due(self) -> bool:
        """Whether `settle` has to be called before anything else is parsed."""
        spent = self._slice
        if spent >= SLICE or self._left < 0:
            return True
        return spent >= SHORT_SLICE and self._new <= 0 and self._turns.late

    @property
    def has_credit(self) -> bool:
        """Whether the account is out of debt."""
        return self._left >= 0

    def received(self) -> None:
        """Charge one read of a socket, before which others have had a turn."""
        self.rested()
        self.charge(RECEIVE)
        if self._new <= 0 and self._turns.late:
            self._slice = SHORT_SLICE  # others have a turn before these bytes are parsed

    def rested(self) -> None:
        """Begin a new slice: others have just had a turn."""
        self._new -= self._slice
        self._slice = 0

    async def settle(self) -> None:
        """Give others a turn, and wait until this account is out of debt. Raises TooMuchWork if it may not wait any
        longer.
        """
        self.rested()
        if self._left < self._burst / 2:
            self._fill(trio.current_time())
        else:
            self._indebted = None
        if self._left >= 0:
            await self._turns.next(self._place)
        while self._left < 0:
            await trio.sleep(min(1.0, max(0.01, -self._left / self._rate)))
            self._fill(trio.current_time())

    def _fill(self, now: float) -> None:
        """Add the units that time has brought. Raises TooMuchWork."""
        passed, self._at = now - self._at, now
        self._left = min(self._burst, self._left + passed * TRICKLE)
        self._draw(min(passed * self._rate, self._burst - self._left), now)
        if self._left >= self._burst / 2:
            self._indebted = None
        elif self._left < 0:
            if self._indebted is None:
                self._indebted = now
            if self._left < -MAX_DEBT or now - self._indebted > MAX_DEBT_SECONDS:
                self._work.ended += 1
                raise TooMuchWork

    def _draw(self, units: float, now: float) -> None:
        """Take up to so many units out of the budgets of the place and of all strangers, or of all who are proven."""
        for shared in self._budgets:
            there = shared.available(now)
            if there < units:
                units = there
        if units > 0:
            for shared in self._budgets:
                shared.draw(units)
            self._left += units
