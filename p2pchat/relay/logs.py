"""Logs: queues that many read, each from a place of its own, and nobody empties (docs/protocol/logs.md).

They have a store and a committer of their own, so that no group makes mail wait. A page of a log is read from the disk
once for all who wait for it, and given to a few clients at a time; `log_rounds` pushes what is new.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

import trio

from p2pchat.core import logs, mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey, QueueId
from p2pchat.core.logs import Item, LogRead, LogRole
from p2pchat.errors import P2PChatError
from p2pchat.lib.times import DAY_SECONDS, HOUR_MS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.relay.batches import DiskHealth, commit_all
from p2pchat.relay.clients import ClientStream, OpenQueue, Outgoing
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.counts import REASONS, Counts
from p2pchat.relay.limits import LOG_BURST_SECONDS, Origin, PlaceBudget, RelayLimits, Spent
from p2pchat.relay.log_rounds import LogRounds, packed_items
from p2pchat.relay.log_store import MEMBERS_PART, LogStore
from p2pchat.relay.store import MAX_EXPIRED_AT_ONCE, DepositResult, NewBlob, Quota
from p2pchat.relay.terms import CROWDED, stamp_code

MAX_BATCH_BYTES = 2 << 20
"""Bytes of blobs that one transaction writes: while it does, the disk writes no messages."""
MAX_BATCH_PUTS = 512
PUTS_OF_A_CLIENT = 64
"""Deposits of one client that may wait for the disk; while there are more, it is not read."""
LOOKED_AT = 256
"""Readers who wait that are looked at for a batch for which there is a page to be read already."""
PAGES_A_BATCH = 4
"""Pages of logs that are read from the disk in one batch, each for all who wait for it."""
KEPT_PAGES = 16
"""Pages that stay in memory for those who come to the same place next, until the store is tidied."""
MAX_GIVEN = 64
"""Clients that may have a page which they have not taken yet."""
MAX_GIVEN_OF_NETWORK = MAX_GIVEN // 4
"""Of these, clients of one network, while more than half have one."""
SLOW_SECONDS = 10.0
"""Seconds in which a client has to take its page, while others wait for theirs."""
EGRESS_BYTES, EGRESS_RATE = 512 << 20, 4 << 20
"""Bytes of logs that one place gets: at once, and then per second."""
RECHECK_SECONDS = 0.25
"""Seconds until those who had no turn, because something was used up, are looked at again."""


class _At(NamedTuple):
    """What a page is read for: a log, the place behind which it begins, and how many blobs it has at most."""

    qid: QueueId
    after: int
    want: int


class _Page(NamedTuple):
    """The blobs behind a place: encoded without handles, their number and bytes, the place of the last, whether the
    log holds more, and a code of the protocol.
    """

    parts: list[bytes]
    found: int
    size: int
    upto: int
    more: bool
    code: int = mailbox.DONE


@dataclass(eq=False, slots=True)
class _Reading:
    """A read that waits for its turn."""

    client: ClientStream
    opened: OpenQueue
    read: LogRead

    @property
    def at(self) -> _At:
        return _At(self.opened.qid, self.read.after, self.read.want)


@dataclass(slots=True)
class LogBatch:
    """The work that waits for the next transaction: puts as (client, number of the frame, blob), and the pages to be
    read after it. tidy: what has expired is to go.
    """

    puts: list[tuple[ClientStream, int, NewBlob]] = field(default_factory=list)
    pages: dict[_At, list[_Reading]] = field(default_factory=dict)
    tidy: bool = False
    size: int = 0
    of_clients: Counter[ClientStream] = field(default_factory=Counter)

    @property
    def empty(self) -> bool:
        return not (self.puts or self.tidy)

    @property
    def full(self) -> bool:
        return self.size >= MAX_BATCH_BYTES or len(self.puts) >= MAX_BATCH_PUTS


@dataclass(slots=True)
class LogOutcome:
    """The result of a batch. wrote: something new is on the disk. failure: the last error."""

    puts: list[DepositResult] = field(default_factory=list)
    pages: dict[_At, _Page] = field(default_factory=dict)
    untidy: bool = False
    wrote: bool = False
    failure: P2PChatError | None = None


def apply(store: LogStore, batch: LogBatch, now: int) -> LogOutcome:
    """Write a batch to the disk, then read what it asks for. now: ms of the relay's own time. A failing disk turns
    deposits away, and raises nothing.
    """
    outcome = LogOutcome()
    if batch.puts:
        try:
            outcome.puts = store.change([deposit for _, _, deposit in batch.puts], {}, now)
            outcome.wrote = any(result.new for result in outcome.puts)
        except P2PChatError as error:
            outcome.failure = error
            outcome.puts = [DepositResult(mailbox.RELAY_FULL)] * len(batch.puts)
    for at in batch.pages:
        try:
            outcome.pages[at] = _read(store, at)
        except P2PChatError as error:
            outcome.failure = error
            outcome.pages[at] = _Page([], 0, 0, at.after, False, mailbox.RELAY_FULL)
    if batch.tidy:
        try:
            outcome.untidy = store.expire(now) == MAX_EXPIRED_AT_ONCE
            if not outcome.untidy:
                store.checkpoint()
        except P2PChatError as error:
            outcome.failure = error
    return outcome


def _read(store: LogStore, at: _At) -> _Page:
    items = store.fetch(at.qid, at.after, at.want, logs.MAX_PAGE_BYTES)
    upto = items[-1][0] if items else at.after
    size = sum(len(blob) for _, blob in items)
    return _Page(logs.encode_parts(items), len(items), size, upto, store.holds_behind(at.qid, upto))


class LogServer:
    """Serves logs for `MailboxServer`, which reads the frames; `run` runs until cancelled. in_thread: runs the work on
    the disk. drop_slow: ends clients that take nothing, where memory is short.
    """

    def __init__(
        self,
        relay: PeerKey,
        store: LogStore,
        limits: RelayLimits,
        clock: RelayClock,
        counts: Counts,
        in_thread: Callable[..., Awaitable[Any]],
        outgoing: Outgoing,
        drop_slow: Callable[[], None],
    ) -> None:
        self.taken = trio.lowlevel.ParkingLot()
        """Where tasks wait until there is room again."""
        self._relay = relay
        self._store = store
        self._limits = limits
        self._clock = clock
        self._counts = counts
        self._in_thread = in_thread
        self._disk = DiskHealth(store.what)
        self._spent = Spent()
        self._deposits = PlaceBudget(limits.log_place_bytes, limits.log_place_bytes / DAY_SECONDS)
        self._egress = PlaceBudget(EGRESS_BYTES, EGRESS_RATE)
        part, whole = MEMBERS_PART
        self._parts = part / whole, (whole - part) / whole
        self._into = [PlaceBudget(*self._rate(part)) for part in self._parts]
        self._next = LogBatch()
        self._ready: deque[_Reading] = deque()
        self._given: dict[ClientStream, float] = {}  # since when, the oldest first
        self._kept: dict[_At, _Page] = {}
        self._wake = Wakeup()
        self._rounds = LogRounds(outgoing, self._egress, counts, drop_slow)

    @property
    def failing(self) -> bool:
        """Whether the disk does not work."""
        return self._disk.failing or self._store.damaged

    @property
    def followers(self) -> int:
        """How many clients follow a log, each counted once for each."""
        return self._rounds.followers

    def limit(self, limits: RelayLimits, quota: Quota | None) -> None:
        """Apply other limits and, unless it is None, another quota."""
        if quota is not None:
            self._store.limit(quota)
        self._limits = limits
        self._deposits.resize(limits.log_place_bytes, limits.log_place_bytes / DAY_SECONDS)
        for budget, part in zip(self._into, self._parts, strict=True):
            budget.resize(*self._rate(part))

    def in_hello(self, hello: mailbox.Hello) -> mailbox.Hello:
        """Return a hello that says what there is for logs."""
        return replace(hello, log_bytes=self._store.quota.queue_bytes, log_hours=self._limits.log_hours)

    @staticmethod
    def is_about(client: ClientStream, frame: Frame) -> bool:
        """Return whether a frame is about a log: only then does it wait for room here."""
        if frame.type == mailbox.READ:
            return True
        opened = client.opened.get(int.from_bytes(frame.body[4:6], "big")) if frame.type == mailbox.PUT else None
        return opened is not None and opened.is_log

    def is_full(self, client: ClientStream) -> bool:
        """Return whether a client's next frame has to wait until others are on the disk."""
        return self._next.full or self._next.of_clients[client] >= PUTS_OF_A_CLIENT

    # --- in

    def put(self, client: ClientStream, opened: OpenQueue, put: mailbox.Put) -> None:
        """Append a blob, or refuse it at once."""
        now = self._clock.now()
        code = self._refusal(client, opened, put, now)
        if code != mailbox.DONE:
            self._counts.logs_refused[REASONS[code]] += 1
            client.send(Frame(mailbox.RESULTS, mailbox.encode_results([(put.number, code)])))
            return
        stamp = put.stamp if self._needs_stamp(opened) else 0
        deposit = NewBlob(
            opened.qid,
            put.blob,
            -(-now // HOUR_MS) + min(put.hours, self._limits.log_hours),
            spent=bool(stamp) and self._spent.has(opened.qid, stamp),
            source=client.origin.names,
            stamp=stamp,
            admin=opened.role == LogRole.APPEND_AS_ADMIN,
        )
        client.waiting += 1
        self._next.of_clients[client] += 1
        self._next.puts.append((client, put.number, deposit))
        self._next.size += len(put.blob)
        self._wake.set()

    def read(self, client: ClientStream, opened: OpenQueue | None, read: LogRead) -> None:
        """Give what lies behind a place, when it is this client's turn."""
        readable = opened is not None and opened.is_log and opened.role == LogRole.READ
        if opened is not None and readable and not read.want:
            self._rounds.unfollow(opened)
            self._end(client, read.number, mailbox.DONE)
        elif opened is None or not readable or opened.follows:
            self._end(client, read.number, mailbox.NOT_ALLOWED)
        else:
            client.fetching = True
            client.waiting += 1
            self._ready.append(_Reading(client, opened, read))
            self._wake.set()

    def emptied(self, client: ClientStream) -> None:
        """Note that a client has taken everything that waited for it."""
        if self._given.pop(client, None) is not None:
            self._wake.set()

    def forget(self, client: ClientStream) -> None:
        """Forget a client that has disconnected."""
        self._rounds.forget(client)
        self.emptied(client)

    def tidy(self) -> None:
        """Have what has expired removed from the disk."""
        self._next.tidy = True
        self._kept.clear()
        self._wake.set()

    def _refusal(self, client: ClientStream, opened: OpenQueue, put: mailbox.Put, now: int) -> int:
        """Return the code for a deposit at `now`, in ms of the relay's own time; DONE if it may be kept."""
        if opened.role == LogRole.READ:
            return mailbox.NOT_ALLOWED
        if not 1 <= put.hours <= client.hello.log_hours:
            return mailbox.MALFORMED
        needed, at, size = self._needs_stamp(opened), trio.current_time(), len(put.blob)
        if needed and not put.stamp:
            return mailbox.STAMP_NEEDED
        if not client.puts.take(at) or not self._deposits.take(client.origin, at, size):
            return mailbox.TOO_FAST
        if not self._takes(opened, at, size):
            return mailbox.TOO_FAST
        times, bits = {now, self._clock.wall()}, self._limits.stamp_bits
        return stamp_code(self._relay, opened.qid, put, times, bits) if needed else mailbox.DONE

    def _takes(self, opened: OpenQueue, at: float, size: int) -> bool:
        """Return whether a log takes so many more bytes now, of which a part is kept for admins."""
        log = Origin((), ((opened.qid[:16], 1),))
        members, admins = self._into
        return members.take(log, at, size) or (opened.role == LogRole.APPEND_AS_ADMIN and admins.take(log, at, size))

    def _rate(self, part: float) -> tuple[float, float]:
        """Return the burst and the rate of a part of what one log takes."""
        rate = self._limits.log_rate * part
        return max(rate * LOG_BURST_SECONDS, logs.LOG_SIZES[-1]), rate

    def _needs_stamp(self, opened: OpenQueue) -> bool:
        part, whole = CROWDED
        crowded = self._store.size * whole > self._store.quota.total_bytes * part
        return crowded and not self._store.holds(opened.qid)

    # --- batches

    async def run(self) -> None:
        """Commit batches and push in rounds until cancelled; a batch in progress is finished first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._rounds.run)
            await commit_all(self._next_batch, self._applied, self._release)

    async def _applied(self, batch: LogBatch) -> LogOutcome:
        outcome: LogOutcome = await self._in_thread(apply, self._store, batch, self._clock.now())
        return outcome

    async def _next_batch(self) -> LogBatch:
        while True:
            self._wake.clear()
            pages = self._next_pages()
            if pages or not self._next.empty:
                break
            with trio.move_on_after(RECHECK_SECONDS if self._ready else math.inf):
                await self._wake.wait()
        batch, self._next = self._next, LogBatch()
        batch.pages = pages
        self.taken.unpark_all()
        return batch

    def _next_pages(self) -> dict[_At, list[_Reading]]:
        """Return which pages are to be read now, and for whom. Pages that are in memory are given at once."""
        pages: dict[_At, list[_Reading]] = {}
        networks = Counter(client.origin.names[:1] for client in self._given)
        chosen = 0
        for looked in range(len(self._ready)):
            if pages and looked >= LOOKED_AT:
                break
            if len(self._given) + chosen >= MAX_GIVEN:
                self._drop_slow_clients()
                break
            reading = self._ready.popleft()
            client, at = reading.client, reading.at
            if client.ended:
                continue
            network = client.origin.names[:1]
            shared = 2 * (len(self._given) + chosen) > MAX_GIVEN and networks[network] >= MAX_GIVEN_OF_NETWORK
            new = at not in pages and at not in self._kept
            waits = client.full or client in self._given or shared or (new and len(pages) >= PAGES_A_BATCH)
            if waits or not self._egress.take(client.origin, trio.current_time(), logs.MAX_PAGE_BYTES):
                self._ready.append(reading)
                continue
            networks[network] += 1
            if at in self._kept:
                self._give(reading, self._kept[at])
            else:
                pages.setdefault(at, []).append(reading)
                chosen += 1
        return pages

    def _drop_slow_clients(self) -> None:
        """End the client that was given its page first, if it has not taken it for long: memory is short."""
        for client, since in islice(self._given.items(), 1):
            if trio.current_time() - since > SLOW_SECONDS:
                client.scope.cancel()

    # --- out

    def _release(self, batch: LogBatch, outcome: LogOutcome) -> None:
        """Tell clients what is on the disk now, and give and push them what is new."""
        self._disk.note(outcome.failure, wrote=outcome.wrote and outcome.failure is None)
        results: dict[ClientStream, list[tuple[int, int]]] = {}
        fresh: dict[QueueId, list[Item]] = {}
        for (client, number, deposit), result in zip(batch.puts, outcome.puts, strict=True):
            results.setdefault(client, []).append((number, result.code))
            if result.code != mailbox.DONE:
                self._counts.logs_refused[REASONS[result.code]] += 1
            elif result.new:
                self._counts.logs_appended += 1
                fresh.setdefault(QueueId(deposit.qid), []).append((result.place, deposit.blob))
                if deposit.stamp:
                    self._spent.add(deposit.qid, deposit.stamp, trio.current_time())
        for client, pairs in results.items():
            client.answer(pairs)
        for qid, items in fresh.items():
            self._rounds.stored(qid, items)
        for at, readings in batch.pages.items():
            page = outcome.pages[at]
            if page.more:
                self._kept[at] = page
                for old in list(islice(self._kept, max(0, len(self._kept) - KEPT_PAGES))):
                    del self._kept[old]
            for reading in readings:
                self._give(reading, page)
        if outcome.untidy:
            self.tidy()

    def _give(self, reading: _Reading, page: _Page) -> None:
        """Answer a read, for which egress was taken."""
        client, opened, read = reading.client, reading.opened, reading.read
        self._egress.give(client.origin, trio.current_time(), logs.MAX_PAGE_BYTES - page.size)
        if client.ended:
            return
        self._counts.logs_read += page.found
        if page.found:
            self._given[client] = trio.current_time()
        client.held = True  # it has taken nothing before all is sent
        client.send_packed(*packed_items(opened.handle, page.parts))
        self._end(client, read.number, page.code, page.more)
        client.fetching = False
        client.waiting -= 1
        if read.follow and not page.more and page.code == mailbox.DONE:
            self._rounds.follow(opened, page.upto)
        client.flush()
        if not client.out_bytes:  # it took them at once
            self.emptied(client)
        client.changed.unpark_all()

    def _end(self, client: ClientStream, number: int, code: int, more: bool = False) -> None:
        client.send(Frame(mailbox.END, mailbox.encode_end(mailbox.End(number, code, more))))
