"""File boxes: the blobs of files, put, asked for and deleted by name (docs/protocol/mailbox.md).

They have a store and a committer of their own, so no message waits until a blob is on the disk. Everything waits in
turns: a batch has a few blobs of each client, and an answer is read a few blobs at a time, when its client has taken
what came before. So a client's share is the same whether it asks for much or little, and what waits in memory is small.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import trio

from p2pchat.core import mailbox
from p2pchat.core.files import BLOB_BYTES
from p2pchat.core.frames import Frame
from p2pchat.core.ids import EnvelopeId, PeerKey
from p2pchat.core.mailbox import Blob, End
from p2pchat.errors import P2PChatError
from p2pchat.lib.times import DAY_SECONDS, HOUR_MS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.relay.batches import DiskHealth, commit_all
from p2pchat.relay.box_store import MAX_EXPIRED_AT_ONCE, BoxDeposit, BoxQuota, BoxResult, BoxStore
from p2pchat.relay.clients import ClientStream, OpenQueue
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.counts import REASONS, Counts
from p2pchat.relay.holdings import Source
from p2pchat.relay.limits import PlaceBudget, RelayLimits, Spent
from p2pchat.relay.terms import CROWDED, stamp_code

MAX_BATCH_BYTES = 2 << 20
"""Bytes of blobs that one transaction writes: while it does, the disk writes no messages."""
PUTS_OF_A_CLIENT = 16
"""Deposits of one client that may wait for the disk; while there are more, it is not read."""
MAX_QUESTIONS = 64
"""Requests without blobs (have, forget) that may wait for the disk."""
BLOBS_A_TURN = 2
"""Blobs that one client is given before the others have their turn."""
_TURN_BYTES = BLOBS_A_TURN * BLOB_BYTES
MAX_LOOKED_AT = 256
"""Clients whose turn it may be that are looked at for one batch."""
READS_A_BATCH = 8
"""Clients that are given blobs in one batch."""
MAX_OUT_BYTES = 16 << 20
"""Bytes of blobs of files that may wait to be written to all clients: a part of what may wait in all."""
UNSHARED_OUT_BYTES = MAX_OUT_BYTES // 2
"""Bytes of these that anybody may make wait; beyond that, each network has a share."""
MAX_OUT_OF_NETWORK_BYTES = MAX_OUT_BYTES // 8
"""Bytes of these that clients of one network may make wait then."""
SLOW_SECONDS = 10.0
"""Seconds in which a client has to take what it was given, while others wait for that."""
EGRESS_BYTES, EGRESS_RATE = 1 << 30, 4 << 20
"""Bytes of blobs that one place gets: at once, and then per second."""
RECHECK_SECONDS = 0.25
"""Seconds until those who had no turn, because something was used up, are looked at again."""


@dataclass(eq=False, slots=True)
class Giving:
    """An answer to a get: what was asked for, how far it was given, since when its client has had the last part,
    whether nothing comes after that, and whether that is because the disk failed.
    """

    client: ClientStream
    number: int
    handle: int
    qid: bytes
    names: tuple[EnvelopeId, ...]
    given: int = 0
    since: float = 0.0
    last: bool = False
    failed: bool = False

    @property
    def network(self) -> Source:
        """The widest network from which its client comes."""
        return self.client.origin.names[:1]


@dataclass(slots=True)
class _Question:
    """A have (`forgets` is False) or a forget, in the frame `number`."""

    client: ClientStream
    number: int
    qid: bytes
    names: tuple[EnvelopeId, ...]
    forgets: bool
    owner: bool


@dataclass(slots=True)
class BoxBatch:
    """The work that waits for the next transaction. tidy: what has expired and what was deleted is to go."""

    puts: list[tuple[ClientStream, int, BoxDeposit]] = field(default_factory=list)
    questions: list[_Question] = field(default_factory=list)
    reads: list[Giving] = field(default_factory=list)
    tidy: bool = False
    of_clients: Counter[ClientStream] = field(default_factory=Counter)

    @property
    def empty(self) -> bool:
        return not (self.puts or self.questions or self.tidy)

    @property
    def full(self) -> bool:
        return len(self.puts) * BLOB_BYTES >= MAX_BATCH_BYTES or len(self.questions) >= MAX_QUESTIONS


@dataclass(slots=True)
class BoxOutcome:
    """The result of a batch. failure: the last error; forgot: whether what was to be deleted is; held: for each
    question which blobs are there, None where the disk failed; read: for each giving the next positions and blobs.
    """

    puts: list[BoxResult]
    forgot: bool = True
    held: list[list[bool] | None] = field(default_factory=list)
    read: list[list[tuple[int, bytes]]] = field(default_factory=list)
    untidy: bool = False
    failure: P2PChatError | None = None


def apply(store: BoxStore, batch: BoxBatch, now: int) -> BoxOutcome:
    """Write a batch to the disk, then read what it asks for. now: ms of the relay's own time. A failing disk turns
    deposits away, and raises nothing.
    """
    outcome = BoxOutcome([])
    forgotten = [(question.qid, question.names) for question in batch.questions if question.forgets]
    if batch.puts or forgotten:
        try:
            outcome.puts = store.change([deposit for _, _, deposit in batch.puts], forgotten, now)
        except P2PChatError as error:
            outcome.failure, outcome.forgot = error, False
            outcome.puts = [BoxResult(mailbox.RELAY_FULL)] * len(batch.puts)
    for question in batch.questions:
        outcome.held.append([])
        try:
            if question.owner:
                store.read_by_owner(question.qid)
            if not question.forgets:
                outcome.held[-1] = store.have(question.qid, question.names)
        except P2PChatError as error:
            outcome.failure = error
            if not question.forgets:
                outcome.held[-1] = None
    for giving in batch.reads:
        outcome.read.append(_next_blobs(store, giving, outcome))
    if batch.tidy:
        try:
            outcome.untidy = store.expire(now) == MAX_EXPIRED_AT_ONCE
            outcome.untidy = store.tidy() or outcome.untidy
        except P2PChatError as error:
            outcome.failure = error
    return outcome


def _next_blobs(store: BoxStore, giving: Giving, outcome: BoxOutcome) -> list[tuple[int, bytes]]:
    """Return the next blobs of an answer, with their positions; if there are no more, fewer than `BLOBS_A_TURN`."""
    found: list[tuple[int, bytes]] = []
    try:
        store.read_by_owner(giving.qid)
        for place in range(giving.given, len(giving.names)):
            blob = store.get(giving.qid, giving.names[place])
            if blob is not None:
                found.append((place, blob))
                if len(found) == BLOBS_A_TURN:
                    break
    except P2PChatError as error:
        outcome.failure, giving.failed = error, True
    return found


class FileBoxServer:
    """Serves file boxes for `MailboxServer`, which reads the frames; `run` runs until cancelled. in_thread: runs the
    work on the disk.
    """

    def __init__(
        self,
        relay: PeerKey,
        store: BoxStore,
        limits: RelayLimits,
        clock: RelayClock,
        counts: Counts,
        in_thread: Callable[..., Awaitable[Any]],
    ) -> None:
        self._disk = DiskHealth("the store of files")
        self.taken = trio.lowlevel.ParkingLot()
        """Where tasks wait until there is room again."""
        self._relay = relay
        self._store = store
        self._limits = limits
        self._clock = clock
        self._counts = counts
        self._in_thread = in_thread
        self._spent = Spent()
        self._deposits = PlaceBudget(limits.file_place_bytes, limits.file_place_bytes / DAY_SECONDS)
        self._egress = PlaceBudget(EGRESS_BYTES, EGRESS_RATE)
        self._next = BoxBatch()
        self._ready: deque[Giving] = deque()
        self._given: dict[ClientStream, Giving] = {}
        self._wake = Wakeup()

    @property
    def failing(self) -> bool:
        """Whether the disk does not work."""
        return self._disk.failing

    def limit(self, limits: RelayLimits, quota: BoxQuota | None) -> None:
        """Apply other limits and, unless it is None, another quota."""
        if quota is not None:
            self._store.limit(quota)
        self._limits = limits
        self._deposits.resize(limits.file_place_bytes, limits.file_place_bytes / DAY_SECONDS)

    def in_hello(self, hello: mailbox.Hello) -> mailbox.Hello:
        """Return a hello that says what there is for files."""
        return replace(hello, file_bytes=self._store.quota.box_bytes, file_hours=self._limits.file_hours)

    @staticmethod
    def is_about(client: ClientStream, frame: Frame) -> bool:
        """Return whether a frame is about a file box: only then does it wait for room here."""
        if frame.type in (mailbox.HAVE, mailbox.GET):
            return True
        if frame.type not in (mailbox.PUT, mailbox.FORGET):
            return False
        opened = client.opened.get(int.from_bytes(frame.body[4:6], "big"))
        return opened is not None and bool(opened.flags & mailbox.FILES)

    def is_full(self, client: ClientStream) -> bool:
        """Return whether a client's next frame has to wait until others are on the disk."""
        return self._next.full or self._next.of_clients[client] >= PUTS_OF_A_CLIENT

    # --- in

    def put(self, client: ClientStream, opened: OpenQueue, put: mailbox.Put) -> None:
        """Keep a blob, or refuse it at once."""
        now = self._clock.now()
        code = self._refusal(client, opened, put, now)
        if code != mailbox.DONE:
            self._counts.files_refused[REASONS[code]] += 1
            client.send(Frame(mailbox.RESULTS, mailbox.encode_results([(put.number, code)])))
            return
        stamp = put.stamp if self._crowded else 0
        spent = bool(stamp) and self._spent.has(opened.qid, stamp)
        expires = -(-now // HOUR_MS) + put.hours
        deposit = BoxDeposit(opened.qid, put.blob, expires, spent, client.origin.names, stamp)
        client.waiting += 1
        self._next.of_clients[client] += 1
        self._next.puts.append((client, put.number, deposit))
        self._wake.set()

    def ask(self, client: ClientStream, opened: OpenQueue, asked: mailbox.Having | mailbox.Forgetting) -> None:
        """Answer which blobs are there, or delete some."""
        forgets, owner = isinstance(asked, mailbox.Forgetting), opened.role == mailbox.TO_FETCH
        question = _Question(client, asked.number, opened.qid, asked.names, forgets, owner)
        if not client.waiting and not self._store.holds(opened.qid):
            self._answer(question, mailbox.DONE, [])
            return
        client.waiting += 1
        if forgets:  # what it puts next comes after that
            self._next.of_clients[client] += PUTS_OF_A_CLIENT
        self._next.questions.append(question)
        self._wake.set()

    def get(self, client: ClientStream, opened: OpenQueue, get: mailbox.Getting) -> None:
        """Give blobs, when it is this client's turn."""
        client.fetching = True
        client.waiting += 1
        self._ready.append(Giving(client, get.number, get.handle, opened.qid, get.names))
        self._wake.set()

    def emptied(self, client: ClientStream) -> None:
        """Note that a client has taken everything that waited for it."""
        giving = self._given.pop(client, None)
        if giving is None:
            return
        if not giving.last:
            self._ready.append(giving)
        self._wake.set()

    def forget(self, client: ClientStream) -> None:
        """Forget a client that has disconnected."""
        if self._given.pop(client, None) is not None:
            self._wake.set()

    def tidy(self) -> None:
        """Have what has expired and what was deleted removed from the disk."""
        self._next.tidy = True
        self._wake.set()

    def _refusal(self, client: ClientStream, opened: OpenQueue, put: mailbox.Put, now: int) -> int:
        """Return the code for a deposit at `now`, in ms of the relay's own time; DONE if it may be kept."""
        if len(put.blob) != BLOB_BYTES or not 1 <= put.hours <= self._limits.file_hours:
            return mailbox.MALFORMED
        crowded = self._crowded
        if crowded and not put.stamp:
            return mailbox.STAMP_NEEDED
        at = trio.current_time()
        if not client.puts.take(at) or not self._deposits.take(client.origin, at, BLOB_BYTES):
            return mailbox.TOO_FAST
        times, bits = {now, self._clock.wall()}, self._limits.stamp_bits
        return stamp_code(self._relay, opened.qid, put, times, bits) if crowded else mailbox.DONE

    @property
    def _crowded(self) -> bool:
        part, whole = CROWDED
        return self._store.size * whole > self._store.quota.total_bytes * part

    # --- batches

    async def run(self) -> None:
        """Commit batches until cancelled; a batch in progress is finished first."""
        await commit_all(self._next_batch, self._applied, self._release)

    async def _applied(self, batch: BoxBatch) -> BoxOutcome:
        outcome: BoxOutcome = await self._in_thread(apply, self._store, batch, self._clock.now())
        return outcome

    async def _next_batch(self) -> BoxBatch:
        while True:
            self._wake.clear()
            reads = self._next_reads()
            if reads or not self._next.empty:
                break
            with trio.move_on_after(RECHECK_SECONDS if self._ready else math.inf):
                await self._wake.wait()
        batch, self._next = self._next, BoxBatch()
        batch.reads = reads
        self.taken.unpark_all()
        return batch

    def _next_reads(self) -> list[Giving]:
        """Return whose turn it is to be given blobs, as far as there is room for these."""
        reads: list[Giving] = []
        waiting = Counter(giving.network for giving in self._given.values() if self._ready)
        for _ in range(min(len(self._ready), MAX_LOOKED_AT)):
            if len(reads) >= READS_A_BATCH:
                break
            out = (len(self._given) + len(reads)) * _TURN_BYTES
            if out >= MAX_OUT_BYTES:
                self._drop_slow_clients()
                break
            giving = self._ready.popleft()
            client, network = giving.client, giving.network
            if client.ended:
                continue
            crowds = out >= UNSHARED_OUT_BYTES and waiting[network] * _TURN_BYTES >= MAX_OUT_OF_NETWORK_BYTES
            waits = client in self._given or client.full or crowds
            if waits or not self._egress.take(client.origin, trio.current_time(), _TURN_BYTES):
                self._ready.append(giving)
                continue
            waiting[network] += 1
            reads.append(giving)
        return reads

    def _drop_slow_clients(self) -> None:
        """End the client that was given blobs first, if it has not taken them for long: memory is short."""
        for giving in islice(self._given.values(), 1):
            if trio.current_time() - giving.since > SLOW_SECONDS:
                giving.client.scope.cancel()

    # --- out

    def _release(self, batch: BoxBatch, outcome: BoxOutcome) -> None:
        """Tell clients what is on the disk now, and give them what was read."""
        wrote = outcome.failure is None and any(result.new for result in outcome.puts)
        self._disk.note(outcome.failure, wrote=wrote)
        results: dict[ClientStream, list[tuple[int, int]]] = {}
        for (client, number, deposit), result in zip(batch.puts, outcome.puts, strict=True):
            results.setdefault(client, []).append((number, result.code))
            if result.code != mailbox.DONE:
                self._counts.files_refused[REASONS[result.code]] += 1
            elif result.new:
                self._counts.files_deposited += 1
                if deposit.stamp:
                    self._spent.add(deposit.qid, deposit.stamp, trio.current_time())
        for client, pairs in results.items():
            client.answer(pairs)
        for question, held in zip(batch.questions, outcome.held, strict=True):
            question.client.waiting -= 1
            done = outcome.forgot if question.forgets else held is not None
            self._answer(question, mailbox.DONE if done else mailbox.RELAY_FULL, held or [])
            question.client.changed.unpark_all()
        for giving, blobs in zip(batch.reads, outcome.read, strict=True):
            self._give(giving, blobs)
        if outcome.untidy:
            self.tidy()

    def _give(self, giving: Giving, found: list[tuple[int, bytes]]) -> None:
        client = giving.client
        unused = (BLOBS_A_TURN - len(found)) * BLOB_BYTES
        self._egress.give(client.origin, trio.current_time(), unused)
        if client.ended:
            return
        self._counts.files_fetched += len(found)
        giving.since = trio.current_time()
        giving.last = giving.failed or len(found) < BLOBS_A_TURN or found[-1][0] == len(giving.names) - 1
        if found:
            giving.given = found[-1][0] + 1
            self._given[client] = giving
        client.held = True  # it has taken nothing before all is sent
        for place, blob in found:
            client.send(Frame(mailbox.BLOB, mailbox.encode_blob(Blob(giving.handle, place, blob))))
        if giving.last:
            code = mailbox.RELAY_FULL if giving.failed else mailbox.DONE
            client.send(Frame(mailbox.END, mailbox.encode_end(End(giving.number, code, more=False))))
            client.fetching = False
            client.waiting -= 1
        client.flush()
        if not client.out_bytes:  # it took them at once
            self.emptied(client)
        if giving.last:
            client.changed.unpark_all()

    def _answer(self, question: _Question, code: int, held: list[bool]) -> None:
        if question.forgets:
            body = mailbox.encode_results([(question.number, code)])
            question.client.send(Frame(mailbox.RESULTS, body))
        else:
            question.client.send(Frame(mailbox.HAD, mailbox.encode_had(question.number, code, held)))
