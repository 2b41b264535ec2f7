"""One batch of the mailbox's work: what is written in one transaction, what is then read, and the results.

`apply` runs in a thread. It reads after it has written, so that a client sees the effect of everything that was
acknowledged to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple, NoReturn, TypeVar

import trio

from p2pchat.core import mailbox
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.ids import EnvelopeId, QueueId
from p2pchat.core.mailbox import Blob
from p2pchat.core.primitives import Random
from p2pchat.errors import DiskFull, P2PChatError
from p2pchat.relay.clients import ClientStream, OpenQueue
from p2pchat.relay.clock import ClockRecord
from p2pchat.relay.store import MAX_EXPIRED_AT_ONCE, DepositResult, MailboxStore, NewBlob

MAX_INPUTS = 2048
MAX_BYTES = 16 << 20
"""Bytes that may wait for the next transaction; while more wait, clients are not read."""
BYTES_OF_A_NAME = 256
"""Bytes that the name of a blob to be deleted counts for: looking it up takes as long as writing so many."""
MAX_READS = 8
"""Fetches and refills in one batch."""
MAX_ANSWER = 2 << 20
"""Bytes of blobs in one answer to a fetch."""
MAX_REFILL = 1 << 20
"""Bytes of blobs in one refill."""

AnyBatch = TypeVar("AnyBatch")
AnyOutcome = TypeVar("AnyOutcome")

log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """One queue of a fetch: the client's handle, the queue, and the place behind which it is read."""

    handle: int
    qid: bytes
    after: int


class Fetching(NamedTuple):
    """A fetch that waits for the disk."""

    client: ClientStream
    number: int
    want: int
    queues: list[Wanted]
    small: bool


class Refill(NamedTuple):
    """A request to read what lies behind the last push to a watcher, so that it can be pushed too."""

    opened: OpenQueue
    after: int
    most: int


@dataclass(slots=True)
class Batch:
    """The work that waits for the next transaction.

    `puts` are (client, number of the frame, blob); `lookups` (client, number of the frame, id of a record). `upto` and
    `names` say what is to be deleted, by queue. `watched` are queues that somebody has begun to watch. With
    `tidy`, expired blobs are deleted and the clock record `seen` is saved. With `probe`, the batch tests whether the
    disk can be written again.
    """

    puts: list[tuple[ClientStream, int, NewBlob]] = field(default_factory=list)
    deletes: list[tuple[ClientStream, int]] = field(default_factory=list)
    upto: dict[bytes, int] = field(default_factory=dict)
    names: dict[bytes, list[EnvelopeId]] = field(default_factory=dict)
    fetches: list[Fetching] = field(default_factory=list)
    refills: list[Refill] = field(default_factory=list)
    lookups: list[tuple[ClientStream, int, QueueId]] = field(default_factory=list)
    watched: list[bytes] = field(default_factory=list)
    tidy: bool = False
    seen: ClockRecord | None = None
    probe: bool = False
    size: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.puts or self.deletes or self.lookups or self.tidy)

    @property
    def full(self) -> bool:
        """Whether further requests have to wait for the next batch."""
        return len(self.puts) + len(self.deletes) + len(self.lookups) >= MAX_INPUTS or self.size >= MAX_BYTES

    def finds_nothing(self, store: MailboxStore) -> bool:
        """Return whether the batch writes nothing and reads only queues that are known to be empty without the disk."""
        if self.refills or self.puts or self.deletes or self.tidy:
            return False
        fetched = (queue.qid for fetch in self.fetches for queue in fetch.queues)
        return not any(map(store.holds, (*fetched, *(name for _, _, name in self.lookups))))

    def put(self, client: ClientStream, number: int, deposit: NewBlob) -> None:
        """Add a client's deposit, which its frame `number` brought."""
        client.waiting += 1
        self.puts.append((client, number, deposit))
        self.size += len(deposit.blob)

    def look_up(self, client: ClientStream, number: int, name: QueueId) -> None:
        """Add a client's request for the record `name`, which came in its frame `number`."""
        client.waiting += 1
        self.lookups.append((client, number, name))

    def delete(self, client: ClientStream, number: int, qid: bytes, upto: int) -> None:
        """Add a client's delete of a queue's blobs up to the place `upto`, which answers its frame `number`."""
        client.waiting += 1
        self.deletes.append((client, number))
        self.upto[qid] = max(upto, self.upto.get(qid, 0))

    def forget(self, client: ClientStream, number: int, qid: bytes, names: Sequence[EnvelopeId]) -> None:
        """Add a client's delete of a queue's blobs with these names, which answers its frame `number`."""
        client.waiting += 1
        self.deletes.append((client, number))
        self.names.setdefault(qid, []).extend(names)
        self.size += BYTES_OF_A_NAME * len(names)


@dataclass(slots=True)
class Answer:
    """The answer to a fetch: its blobs, with padding."""

    blobs: list[Blob]
    found: int
    more: bool
    code: int = mailbox.DONE


@dataclass(slots=True)
class Outcome:
    """The result of a batch.

    `failure` is the last error. `wrote` means that there was none and that something new is on the disk. `untidy` means
    that more blobs have expired than one transaction deletes.
    """

    puts: list[DepositResult]
    deleted: bool = False
    answers: list[Answer] = field(default_factory=list)
    refilled: list[tuple[list[tuple[int, bytes]], bool]] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    untidy: bool = False
    wrote: bool = False
    failure: P2PChatError | None = None


async def commit_all(
    next_batch: Callable[[], Awaitable[AnyBatch]],
    applied: Callable[[AnyBatch], Awaitable[AnyOutcome]],
    release: Callable[[AnyBatch, AnyOutcome], object],
) -> NoReturn:
    """Take batches, apply each and release its outcome until cancelled; a batch in progress is finished first."""
    while True:
        await trio.lowlevel.checkpoint_if_cancelled()
        batch = await next_batch()
        with trio.CancelScope(shield=True):
            outcome = await applied(batch)
        release(batch, outcome)


class DiskHealth:
    """Whether the disk works, by what became of batches. To be read is no sign of health: a full disk can be. what:
    which store it is, for the log.
    """

    def __init__(self, what: str) -> None:
        self.failing = False
        self._what = what

    def note(self, failure: P2PChatError | None, *, wrote: bool) -> None:
        """Log when the disk begins to fail and when it is well again, not every time in between. failure, wrote: as in
        `Outcome`.
        """
        if failure is not None and not self.failing:
            log.error("%s: %s", self._what, type(failure).__name__)
            self.failing = True
        elif wrote and self.failing:
            log.warning("%s works again", self._what)
            self.failing = False


def apply(store: MailboxStore, batch: Batch, now: int, random: Random) -> Outcome:
    """Write a batch to the disk and read from there what it asks for. now: ms of the relay's own time.

    A full or failing disk turns deposits away, keeps what is there and raises nothing.
    """
    outcome = Outcome([])
    for qid in batch.watched:
        store.fetch(qid, 0, 0, 0)
    if batch.puts or batch.deletes:
        _change(store, batch, now, outcome)
    for fetch in batch.fetches:
        try:
            outcome.answers.append(_padded(*_found(store, fetch), mailbox.DONE, random))
        except P2PChatError as error:
            outcome.failure = error
            outcome.answers.append(_padded([], False, mailbox.RELAY_FULL, random))
    for opened, after, most in batch.refills:
        try:
            rows = store.fetch(opened.qid, after, most, MAX_REFILL)
            outcome.refilled.append((rows, store.holds_behind(opened.qid, rows[-1][0] if rows else after)))
        except P2PChatError as error:
            outcome.failure = error
            outcome.refilled.append(([], True))
    for _, _, name in batch.lookups:
        try:
            held = store.fetch(name, 0, 1, MAX_ANSWER)
        except P2PChatError as error:
            outcome.failure, held = error, []
        outcome.records.append(held[0][1] if held else b"")
    if batch.tidy:
        try:
            outcome.untidy = store.expire(now, batch.seen) == MAX_EXPIRED_AT_ONCE
            if not outcome.untidy:
                store.checkpoint()
            if batch.probe and batch.seen is not None:
                store.note(batch.seen)
        except P2PChatError as error:
            outcome.failure = error
            _use_reserve(store, error)
    outcome.wrote = outcome.failure is None and (batch.probe or any(result.new for result in outcome.puts))
    return outcome


def _change(store: MailboxStore, batch: Batch, now: int, outcome: Outcome) -> None:
    try:
        outcome.puts = store.change([deposit for _, _, deposit in batch.puts], batch.upto, now, batch.names)
        outcome.deleted = True
        return
    except P2PChatError as error:
        outcome.failure = error
        outcome.puts = [DepositResult(mailbox.RELAY_FULL)] * len(batch.puts)
    made_way = _use_reserve(store, outcome.failure)
    if batch.deletes and (batch.puts or made_way):  # deletes alone may succeed: they free space
        try:
            store.change([], batch.upto, now, batch.names)
            outcome.deleted = True
        except P2PChatError as error:
            outcome.failure = error


def _use_reserve(store: MailboxStore, failure: P2PChatError) -> bool:
    """If the disk is full, free the space that is reserved for deletes; return whether there was any."""
    try:
        return isinstance(failure, DiskFull) and store.use_reserve()
    except P2PChatError:
        return True


def _found(store: MailboxStore, fetch: Fetching) -> tuple[list[Blob], bool]:
    blobs: list[Blob] = []
    more, left = False, MAX_ANSWER
    for handle, qid, after in fetch.queues:
        if not store.holds(qid):
            store.fetch(qid, 0, 0, 0)  # notes that the queue is read
            continue
        rows = store.fetch(qid, after, fetch.want - len(blobs), left) if left >= BUCKETS[0] else []
        if blobs and rows and len(rows[0][1]) > left:
            rows = []  # the store returns at least one, however large
        sent = list(takewhile(lambda row: len(row[1]) == BUCKETS[0], rows)) if fetch.small else rows
        blobs += [Blob(handle, place, blob) for place, blob in sent]
        left -= sum(len(blob) for _, blob in sent)
        if len(sent) == len(rows):
            more = more or store.holds_behind(qid, rows[-1][0] if rows else after)
    return blobs, more


def _padded(blobs: list[Blob], more: bool, code: int, random: Random) -> Answer:
    units = sum(len(blob.blob) for blob in blobs) // BUCKETS[0]
    padding = [Blob(mailbox.NO_HANDLE, 0, random(BUCKETS[0])) for _ in range(mailbox.padding(units))]
    return Answer(blobs + padding, len(blobs), more, code)
