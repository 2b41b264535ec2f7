"""What a client may do now: the price of a deposit, and what is left of the budget of its place on the network."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import trio

from p2pchat.core import mailbox
from p2pchat.core.ids import PeerKey, QueueId
from p2pchat.core.mailbox import Hello
from p2pchat.core.primitives import Random
from p2pchat.lib.times import DAY_SECONDS, HOUR_MS
from p2pchat.relay.batches import MAX_ANSWER
from p2pchat.relay.clients import ClientStream, OpenQueue
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.limits import Origin, Origins, PlaceBudget, RelayLimits, Spent
from p2pchat.relay.store import MailboxStore

CROWDED = 3, 4
"""Numerator and denominator of the part of the store above which every deposit needs a stamp."""
EGRESS_BYTES, EGRESS_RATE = 256 << 20, 8 << 20
"""Bytes of answers to fetches that one place gets: at once, and then per second."""

log = logging.getLogger(__name__)

CLIENTS_A_SECOND = 64
"""Clients that may arrive within a second without being told to spread out."""
MAX_SPREAD_SECONDS = 30
MAX_HOUR = (1 << 32) - 1

COSTS: dict[int, int] = {
    mailbox.PING: 40,
    mailbox.OPEN: 100,
    mailbox.FETCH: 200,
    mailbox.DELETE: 30,
    mailbox.PUT: 40,
    mailbox.FORGET: 300,
    mailbox.PUT_RECORD: 150,
    mailbox.GET_RECORD: 60,
    mailbox.ASK_LIST: 1_000,
    mailbox.HAVE: 300,
    mailbox.GET: 200,
    mailbox.OPEN_LOG: 100,
    mailbox.READ: 100,
}
"""What each frame costs, in units of `net.admission.budget`; the bytes of a deposit cost extra."""


def stamp_code(relay: PeerKey, qid: QueueId, put: mailbox.Put, times: Iterable[int], bits: int) -> int:
    """Return DONE if a deposit has a stamp of so many bits that is valid at one of these times (ms), else the code."""
    if any(mailbox.stamp_holds(relay, qid, put.blob, time, bits, put.stamp) for time in times):
        return mailbox.DONE
    return mailbox.BAD_STAMP


class Terms:
    """The limits of one mailbox, and how much of them was used."""

    def __init__(
        self, relay: PeerKey, store: MailboxStore, limits: RelayLimits, clock: RelayClock, random: Random
    ) -> None:
        self.limits = limits
        self.spent = Spent()
        self._relay = relay
        self._store = store
        self._clock = clock
        self._random = random
        self._origins = Origins(random)
        self._deposits = PlaceBudget(limits.place_bytes, limits.place_bytes / DAY_SECONDS)
        self._egress = PlaceBudget(EGRESS_BYTES, EGRESS_RATE)

    def limit(self, limits: RelayLimits) -> None:
        """Apply other limits."""
        self.limits = limits
        self._deposits.resize(limits.place_bytes, limits.place_bytes / DAY_SECONDS)

    def hello(self, clients: int = 0) -> Hello:
        """Return the hello for a new stream, with a fresh challenge. clients: the number of clients now."""
        limits, quota = self.limits, self._store.quota
        return Hello(
            self._relay,
            self._random(32),
            limits.stamp_bits,
            limits.longest_hours,
            quota.queue_blobs,
            quota.queue_bytes,
            self.crowded,
            min(MAX_SPREAD_SECONDS, clients // CLIENTS_A_SECOND),
            min(max(0, self._clock.wall() // HOUR_MS), MAX_HOUR),
            forgets=True,
        )

    def origin(self, place: str) -> Origin:
        """Return the origin of a place, for the limits."""
        return self._origins.of(place)

    # --- deposits

    def refusal(self, client: ClientStream, opened: OpenQueue, put: mailbox.Put, now: int) -> int:
        """Return the code for a deposit at `now`, in ms of the relay's own time; DONE if it may be stored."""
        if not 1 <= put.hours <= self.limits.longest_hours:
            return mailbox.MALFORMED
        needed, invited = self.needs_stamp(opened), opened.flags & mailbox.STAMPED
        if needed and not invited and not put.stamp:
            return mailbox.STAMP_NEEDED  # the client sends it again, and only that counts
        at = trio.current_time()
        if not client.puts.take(at) or not self._deposits.take(client.origin, at, len(put.blob)):
            return mailbox.TOO_FAST
        if not needed:
            return mailbox.DONE
        bits = self.limits.stamp_bits if invited else mailbox.crowded_bits(self.limits.stamp_bits, put.blob)
        times = {now, self._clock.wall()}  # one of them may be wrong; accepting both costs nothing
        return stamp_code(self._relay, opened.qid, put, times, bits)

    @property
    def crowded(self) -> bool:
        """Whether the store is so full that every deposit needs a stamp."""
        part, whole = CROWDED
        return self._store.size * whole > self._store.quota.total_bytes * part

    def needs_stamp(self, opened: OpenQueue) -> bool:
        """Return whether a deposit in this queue needs a stamp now. One that replaces the content of a box
        needs none.
        """
        if opened.flags & mailbox.STAMPED:
            return True
        return self.crowded and not (opened.flags & mailbox.BOX and self._store.holds(opened.qid))

    # --- fetches

    def may_fetch(self, origin: Origin) -> bool:
        """Return whether a client's place may get an answer now; if so, reserve `MAX_ANSWER` bytes until `fetched`."""
        return self._egress.take(origin, trio.current_time(), MAX_ANSWER)

    def fetched(self, origin: Origin, size: int) -> None:
        """Charge for an answer of `size` bytes, and release the rest of the reserve."""
        self._egress.give(origin, trio.current_time(), MAX_ANSWER - size)
