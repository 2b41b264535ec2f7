"""The mailbox server: deposits, fetches and deletes (docs/protocol/mailbox.md).

There is one committer for all clients. All waiting requests become one batch and one transaction, and results, pushes
and answers are sent only when it is on the disk. While one batch commits, the next one gathers. Everything that a
client makes the relay remember is bounded: a client with too many requests or unread answers is not read, and one that
takes nothing delays nobody else until it is disconnected.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import trio

from p2pchat.core import logs, mailbox
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import Frame, FrameParser
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import Random
from p2pchat.errors import CannotOpen, DiskFull, LinkLost, P2PChatError
from p2pchat.lib.times import HOUR_MS
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.admission.budget import Account, TooMuchWork
from p2pchat.net.frames import MAX_FRAMES, READ_BYTES, write_frames
from p2pchat.net.ports import Stream
from p2pchat.relay import batches, records
from p2pchat.relay.batches import MAX_READS, Answer, Batch, DiskHealth, Fetching, Outcome, Wanted, apply
from p2pchat.relay.box_store import BoxQuota, BoxStore
from p2pchat.relay.clients import SLOW_WRITE_SECONDS, ClientStream, Outgoing, end_silent
from p2pchat.relay.clock import RelayClock, uptime
from p2pchat.relay.counts import REASONS, Counts
from p2pchat.relay.file_boxes import FileBoxServer
from p2pchat.relay.limits import RelayLimits
from p2pchat.relay.listing import ServeList
from p2pchat.relay.log_store import LogStore
from p2pchat.relay.logs import LogServer
from p2pchat.relay.notifications import Pushes
from p2pchat.relay.openings import Openings
from p2pchat.relay.records import RecordRequests
from p2pchat.relay.store import DepositResult, MailboxStore, NewBlob, Quota
from p2pchat.relay.terms import COSTS, Terms

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

SILENCE_SECONDS = 180.0
SWEEP_SECONDS = 30.0
RECHECK_SECONDS = 0.25
"""Seconds between two checks whether a client that has fetched a lot may fetch again."""

InThread = Callable[..., Awaitable[Any]]
_READS = frozenset({mailbox.FETCH, mailbox.GET, mailbox.READ})
"""The frames whose answers may be long: a client gets one after the other."""

log = logging.getLogger(__name__)


class MailboxServer:
    """Serves the protocol `names.mailbox_name` on a host: `run` runs until cancelled, `serve` is the handler of a
    stream.

    clock: ms since the epoch. uptime: seconds that nobody can set. trust_clock: the operator says that the clock is
    right (`clock.RelayClock`). place_of: where on the network a stream comes from, for the limits of one place.
    account_of: the account that pays for a stream's work. write_now: writes all of some bytes to a stream, or nothing
    if that would have to wait. is_over: whether the connection of a stream has ended. mark_proven: called with every
    peer that knows the token or has opened a queue. in_thread: runs the work on the disk. serve_list: answers who asks
    for relays; None if this one has no list. boxes, logs_store: where blobs of files and of logs are kept, if they are.
    Raises what the store raises.
    """

    def __init__(
        self,
        relay: PeerKey,
        store: MailboxStore,
        limits: RelayLimits,
        clock: Callable[[], int],
        random: Random,
        place_of: Callable[[Stream], str] = lambda stream: "",
        in_thread: InThread = trio.to_thread.run_sync,
        account_of: Callable[[Stream], Account] = lambda stream: Account(),
        uptime: Callable[[], float] = uptime,
        *,
        trust_clock: bool = False,
        write_now: Callable[[Stream, bytes], bool] = lambda stream, data: False,
        is_over: Callable[[Stream], bool] = lambda stream: False,
        mark_proven: Callable[[PeerKey], None] = lambda peer: None,
        serve_list: ServeList | None = None,
        boxes: BoxStore | None = None,
        logs_store: LogStore | None = None,
    ) -> None:
        self._serve_list = serve_list
        self.counts = Counts()
        self._disk = DiskHealth(store.what)
        self._store = store
        self._limits = limits
        self.clock = RelayClock(clock, uptime, store.seen, trust=trust_clock)
        with suppress(DiskFull):  # it is saved once there is space
            store.note(self.clock.seen)
        self._random = random
        self._place_of = place_of
        self._in_thread = in_thread
        self._account_of = account_of
        self._is_over = is_over
        self._mark_proven = mark_proven
        self._openings = Openings(relay, mark_proven, files=boxes is not None, logs=logs_store is not None)
        self._terms = Terms(relay, store, limits, self.clock, random)
        self._records = RecordRequests(self.clock, self.counts)
        self._clients: set[ClientStream] = set()
        self._admitted: Counter[bytes] = Counter()
        self._outgoing = Outgoing(self._room, write_now)
        of_all = self.clock, self.counts, in_thread
        self._files = None if boxes is None else FileBoxServer(relay, boxes, limits, *of_all)
        self._logs: LogServer | None = None
        if logs_store is not None:
            self._logs = LogServer(relay, logs_store, limits, *of_all, self._outgoing, self._drop_slow_clients)
        self._log_store = logs_store
        self._apart = tuple(part for part in (self._files, self._logs) if part is not None)
        self.pushes = Pushes(self._wake_up, store.holds)
        self._next = Batch()
        self._fetches: deque[Fetching] = deque()
        self._wake = Wakeup()
        self._taken = trio.lowlevel.ParkingLot()
        self._left = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None
        self._draining = False

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self._clients)

    @property
    def failing(self) -> bool:
        """Whether the disk does not work."""
        return self._disk.failing or self._store.damaged or any(part.failing for part in self._apart)

    @property
    def followers(self) -> int:
        """How many clients follow a log, each counted once for each."""
        return 0 if self._logs is None else self._logs.followers

    @property
    def waiting_bytes(self) -> int:
        """The bytes that wait to be written to all clients."""
        return self._outgoing.total

    def knows(self, peer: bytes) -> bool:
        """Return whether a peer has a stream here, and so knows the token; always True if there is no token."""
        return self._terms.limits.token is None or peer in self._admitted

    def limit(
        self, limits: RelayLimits, quota: Quota, boxes: BoxQuota | None = None, logs_quota: Quota | None = None
    ) -> None:
        """Apply other limits. Connected clients stay, even if the token has changed."""
        self._terms.limit(limits)
        self._store.limit(quota)
        if self._files is not None:
            self._files.limit(limits, boxes)
        if self._logs is not None:
            self._logs.limit(limits, logs_quota)

    async def check(self) -> None:
        """Check each whole store that was not closed cleanly, and log the outcome. If it is damaged, nothing new is
        stored from then on.
        """
        unchecked = [store for store in (self._store, self._log_store) if store is not None and store.unchecked]
        if not unchecked:
            return
        log.info("the relay did not end cleanly the last time: checking the stores")
        for store in unchecked:
            try:
                options: dict[str, Any] = {"abandon_on_cancel": True}  # missing in the type stubs
                await trio.to_thread.run_sync(store.check, **options)
            except P2PChatError as error:
                log.error("%s (%s) was checked: %s", store.what, store.path.name, error.line())
            else:
                log.info("%s was checked: it is undamaged", store.what)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit batches until cancelled; a batch in progress is finished first."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._sweep)
            for part in self._apart:
                nursery.start_soon(part.run)
            task_status.started()
            try:
                await batches.commit_all(self._next_batch, self._applied, self._release)
            finally:
                self._nursery = None
                for client in self._clients:  # their tasks belong to the host, which may continue
                    client.close()
                    client.scope.cancel()

    async def _applied(self, batch: Batch) -> Outcome:
        """Apply a batch: in a thread, unless it needs nothing from the disk."""
        work = self._store, batch, self.clock.now(), self._random
        return apply(*work) if batch.finds_nothing(self._store) else await self._in_thread(apply, *work)

    async def serve(self, stream: Stream) -> None:
        """Serve one client until its stream ends."""
        if self._draining or self._nursery is None:
            return
        hello = replace(self._terms.hello(len(self._clients)), lists=self._serve_list is not None)
        for part in self._apart:
            hello = part.in_hello(hello)
        limits = self._terms.limits
        client = ClientStream(
            stream,
            hello,
            TokenBucket(limits.puts_burst, limits.puts_a_second),
            self._terms.origin(self._place_of(stream)),
            self._outgoing,
            self._nursery,
            self._emptied,
            self._account_of(stream),
        )
        self._clients.add(client)
        self._admitted[stream.peer] += 1
        if limits.token is not None:
            self._mark_proven(stream.peer)  # the name of the protocol depends on the token
        try:
            with client.scope as scope:
                await write_frames(stream, [Frame(mailbox.HELLO, mailbox.encode_hello(hello))])
                await self._read(client)
            if scope.cancelled_caught and client.draining and not client.ended:
                with trio.CancelScope() as client.scope:
                    while not client.settled:
                        await client.changed.park()
        except (CannotOpen, LinkLost, TooMuchWork):
            return
        finally:
            client.close()
            self._clients.discard(client)
            self._admitted[stream.peer] -= 1
            if not self._admitted[stream.peer]:
                del self._admitted[stream.peer]
            self.pushes.forget(client)
            for part in self._apart:
                part.forget(client)
            self._left.unpark_all()

    async def drain(self, patience: float) -> None:
        """Accept no further requests, answer the accepted ones, and end all streams, within `patience` seconds."""
        self._draining = True
        for client in self._clients:
            client.drain()
        with trio.move_on_after(patience):
            while self._clients:
                await self._left.park()
        for client in self._clients:
            client.scope.cancel()

    # --- batches

    def _wake_up(self) -> None:
        self._wake.set()

    def _emptied(self, client: ClientStream) -> None:
        """Continue with what a client may be sent: everything that waited for it was written."""
        self.pushes.catch_up(client)
        for part in self._apart:
            part.emptied(client)

    def _room(self) -> None:
        """Resume reading and pushing: memory was short and is not any more."""
        self._wake_up()
        for client in self._clients:
            self.pushes.catch_up(client)

    async def _next_batch(self) -> Batch:
        """Wait until there is something to do, and return it as a batch."""
        while self._next.empty and (self._outgoing.full or not self._reads):
            self._wake.clear()
            with trio.move_on_after(SLOW_WRITE_SECONDS if self._reads else math.inf):
                await self._wake.wait()
            if self._reads and self._outgoing.full:
                self._drop_slow_clients()
        batch, self._next = self._next, Batch()
        self._taken.unpark_all()
        while self._reads and not self._outgoing.full and len(batch.fetches) + len(batch.refills) < MAX_READS:
            self._add_reading(batch)
        return batch

    @property
    def _reads(self) -> bool:
        return bool(self._fetches) or self.pushes.waiting

    def _add_reading(self, batch: Batch) -> None:
        """Add a fetch or a refill to a batch, alternately."""
        if self.pushes.waiting and (len(batch.refills) <= len(batch.fetches) or not self._fetches):
            refill = self.pushes.next_refill()
            if refill is not None:
                batch.refills.append(refill)
        else:
            fetching = self._fetches.popleft()
            if not fetching.client.ended:
                batch.fetches.append(fetching)

    # --- in

    async def _read(self, client: ClientStream) -> None:
        parser = FrameParser(mailbox.FROM_CLIENT)
        # no reference to the last data is kept while waiting for more
        while data := await client.stream.read(READ_BYTES):
            client.heard = trio.current_time()
            frames = parser.feed(data, MAX_FRAMES)
            del data
            fetching = client.fetching
            try:
                await self._take_all(client, parser, frames)
            finally:
                # answers given before a fetch are written together with its answer
                if fetching or not client.fetching:
                    client.flush()

    async def _take_all(self, client: ClientStream, parser: FrameParser, frames: list[Frame]) -> None:
        """Handle these frames in order, and what the parser still has; the list is empty afterwards. Answers that need
        no disk are written together, since each write costs more than everything else. Raises LinkLost where the
        connection has ended: otherwise those of a flood would wait here for their turn, each with what it had sent,
        long after they were gone.
        """
        while frames:
            frames.reverse()
            while frames:
                if self._is_over(client.stream):
                    raise LinkLost
                client.account.charge(COSTS.get(frames[-1].type, 0))
                if client.account.due and not self._opens_few(client, frames[-1].type):
                    await client.account.settle()
                waits = frames[-1].type in _READS or self._part_for(client, frames[-1]) is not None
                if client.full or self._next.full or waits:
                    await self._until_room(client, frames[-1])  # last, or others take the room meanwhile
                client.held = True
                self._take(client, frames.pop())
            frames += parser.feed(b"", MAX_FRAMES)

    def _opens_few(self, client: ClientStream, kind: int) -> bool:
        """Return whether the client opens its first queues, up to as many as one fetch names: these are checked without
        a pause.
        """
        return (
            kind in (mailbox.OPEN, mailbox.OPEN_LOG)
            and client.opens < mailbox.QUEUES_A_FETCH
            and client.account.has_credit
        )

    def _part_for(self, client: ClientStream, frame: Frame) -> FileBoxServer | LogServer | None:
        """Return what has a store of its own and handles this frame; None if it is about a queue."""
        return next((part for part in self._apart if part.is_about(client, frame)), None)

    async def _until_room(self, client: ClientStream, frame: Frame) -> None:
        """Wait while too much waits for this client or for all clients together."""
        fetches = frame.type in _READS
        watches = frame.type == mailbox.FETCH and mailbox.watches(frame.body)  # is answered with nothing that counts
        part = self._part_for(client, frame)
        while True:
            if client.full or (fetches and client.fetching):
                client.flush()
                await client.changed.park()
            elif part is not None:
                if not part.is_full(client):
                    return
                client.flush()
                await part.taken.park()
            elif self._next.full:
                client.flush()
                await self._taken.park()
            elif frame.type == mailbox.FETCH and not watches and not self._terms.may_fetch(client.origin):
                client.flush()
                await trio.sleep(RECHECK_SECONDS)
            else:
                return

    def _take(self, client: ClientStream, frame: Frame) -> None:
        match frame.type:
            case mailbox.PUT:
                self._put(client, mailbox.decode_put(frame.body))
            case mailbox.DELETE:
                self._delete(client, mailbox.decode_delete(frame.body))
            case mailbox.FORGET:
                self._forget(client, mailbox.decode_forget(frame.body))
            case mailbox.FETCH:
                self._fetch(client, mailbox.decode_fetch(frame.body))
            case mailbox.OPEN:
                self._openings.open(client, mailbox.decode_open(frame.body))
            case mailbox.OPEN_LOG:
                self._openings.open_log(client, logs.decode_open_log(frame.body))
            case mailbox.READ:
                read = logs.decode_read(frame.body)
                if self._logs is not None:
                    self._logs.read(client, client.opened.get(read.handle), read)
                else:
                    self._end(client, read.number, mailbox.NOT_ALLOWED)
            case mailbox.PUT_RECORD | mailbox.GET_RECORD:
                self._records.take(client, frame, self._next)
                self._wake_up()
            case mailbox.HAVE:
                self._have(client, mailbox.decode_have(frame.body))
            case mailbox.GET:
                self._get(client, mailbox.decode_get(frame.body))
            case mailbox.PING:
                client.send(Frame(mailbox.PONG, b""))
            case mailbox.ASK_LIST:
                if self._serve_list is None:
                    raise CannotOpen
                peer, place = client.stream.peer, self._place_of(client.stream)
                body = self._serve_list(peer, place, frame.body)
                self._terms.fetched(client.origin, len(body))
                client.send(Frame(mailbox.LIST, body))

    def _put(self, client: ClientStream, put: mailbox.Put) -> None:
        opened = client.opened.get(put.handle)
        if self._files is not None and opened is not None and opened.is_put_box:
            self._files.put(client, opened, put)
            return
        if self._logs is not None and opened is not None and opened.is_log:
            self._logs.put(client, opened, put)
            return
        if opened is not None and len(put.blob) not in BUCKETS:
            raise CannotOpen
        now = self.clock.now()
        if opened is None or opened.role != mailbox.TO_PUT:
            code: int = mailbox.NOT_ALLOWED
        else:
            if put.stamp and not self._terms.needs_stamp(opened):
                put = put._replace(stamp=0)
            code = self._terms.refusal(client, opened, put, now)
        if opened is None or code != mailbox.DONE:
            self.counts.refused[REASONS[code]] += 1
            self._answer(client, put.number, code)
            return
        expires = -(-now // HOUR_MS) + put.hours
        spent = bool(put.stamp) and self._terms.spent.has(opened.qid, put.stamp)
        box, source = bool(opened.flags & mailbox.BOX), client.origin.names
        new = NewBlob(opened.qid, put.blob, expires, box, spent, source, stamp=put.stamp)
        self._next.put(client, put.number, new)
        self._wake_up()

    def _delete(self, client: ClientStream, delete: mailbox.Deletion) -> None:
        opened = client.opened.get(delete.handle)
        if opened is None or not opened.is_readable:
            self._answer(client, delete.number, mailbox.NOT_ALLOWED)
            return
        if opened.sent:
            confirmed = bisect_right(opened.sent, delete.upto)
            del opened.sent[:confirmed]
            client.pushed -= confirmed
            client.account.carried(confirmed * BUCKETS[0])
        if opened.flags & mailbox.BOX:
            self._answer(client, delete.number, mailbox.DONE)
        else:
            self._next.delete(client, delete.number, opened.qid, delete.upto)
            self._wake_up()
        self.pushes.catch_up(client)

    def _forget(self, client: ClientStream, forget: mailbox.Forgetting) -> None:
        opened = client.opened.get(forget.handle)
        if self._files is not None and opened is not None and opened.may_forget:
            self._files.ask(client, opened, forget)
        elif opened is None or not opened.is_readable:
            self._answer(client, forget.number, mailbox.NOT_ALLOWED)
        elif opened.flags & mailbox.BOX or not self._store.holds(opened.qid):
            self._answer(client, forget.number, mailbox.DONE)
        else:
            self._next.forget(client, forget.number, opened.qid, forget.names)
            self._wake_up()

    def _have(self, client: ClientStream, have: mailbox.Having) -> None:
        opened = client.opened.get(have.handle)
        if self._files is not None and opened is not None and opened.flags & mailbox.FILES:
            self._files.ask(client, opened, have)
        else:
            client.send(Frame(mailbox.HAD, mailbox.encode_had(have.number, mailbox.NOT_ALLOWED)))

    def _get(self, client: ClientStream, get: mailbox.Getting) -> None:
        opened = client.opened.get(get.handle)
        boxed = opened is not None and opened.flags & mailbox.FILES and opened.role == mailbox.TO_FETCH
        if self._files is not None and opened is not None and boxed:
            self._files.get(client, opened, get)
        else:
            self._end(client, get.number, mailbox.NOT_ALLOWED)

    def _fetch(self, client: ClientStream, fetch: mailbox.Fetch) -> None:
        queues = [(client.opened.get(handle), after) for handle, after in fetch.queues]
        readable = [(queue, after) for queue, after in queues if queue is not None and queue.is_readable]
        if len(readable) < len(queues) and fetch.want:
            self._terms.fetched(client.origin, 0)
        if len(readable) < len(queues):
            self._end(client, fetch.number, mailbox.NOT_ALLOWED)
        elif fetch.want:
            client.fetching = True
            client.waiting += 1
            pages = [Wanted(queue.handle, queue.qid, after) for queue, after in readable]
            self._fetches.append(Fetching(client, fetch.number, fetch.want, pages, fetch.small))
            self._wake_up()
        else:
            client.most_pushed, client.small = fetch.push, fetch.small
            self._next.watched += [opened.qid for opened, _ in readable if not opened.watched]
            for opened, after in readable:
                self.pushes.watch(opened, after)
            self.pushes.catch_up(client)
            self._end(client, fetch.number, mailbox.DONE)

    # --- out

    def _release(self, batch: Batch, outcome: Outcome) -> None:
        """Tell clients what is on the disk now. What is for one client goes in one write."""
        self._disk.note(outcome.failure, wrote=outcome.wrote)
        with self._outgoing.gathering():
            self._answer_all(batch, outcome)
        self._next.tidy = self._next.tidy or outcome.untidy

    def _answer_all(self, batch: Batch, outcome: Outcome) -> None:
        results: dict[ClientStream, list[tuple[int, int]]] = {}
        for (client, number, deposit), result in zip(batch.puts, outcome.puts, strict=True):
            results.setdefault(client, []).append((number, result.code))
            self._kept(deposit, result)
        code = mailbox.DONE if outcome.deleted else mailbox.RELAY_FULL
        for client, number in batch.deletes:
            results.setdefault(client, []).append((number, code))
        self.counts.deletes += len(batch.deletes)
        for client, pairs in results.items():
            client.answer(pairs)
        records.answer(batch, outcome)
        for fetching, answer in zip(batch.fetches, outcome.answers, strict=True):
            self._answer_fetch(fetching, answer)
        for refill, (rows, more) in zip(batch.refills, outcome.refilled, strict=True):
            self.pushes.refilled(refill.opened, rows, more)

    def _kept(self, deposit: NewBlob, result: DepositResult) -> None:
        if result.code != mailbox.DONE:
            self.counts.refused[REASONS[result.code]] += 1
        elif result.new:
            if deposit.record is not None:
                self.counts.records_kept += 1
                return
            self.counts.deposits += 1
            if deposit.stamp:
                self._terms.spent.add(deposit.qid, deposit.stamp, trio.current_time())
            self.pushes.stored(deposit.qid, result.place, deposit.blob)

    def _answer_fetch(self, fetching: Fetching, answer: Answer) -> None:
        client = fetching.client
        for blob in answer.blobs:
            client.send(Frame(mailbox.BLOB, mailbox.encode_blob(blob)))
        self.counts.fetched += answer.found
        self._end(client, fetching.number, answer.code, answer.more)
        self._terms.fetched(client.origin, sum(len(blob.blob) for blob in answer.blobs))
        client.fetching = False
        client.waiting -= 1
        client.flush()
        client.changed.unpark_all()

    def _answer(self, client: ClientStream, number: int, code: int) -> None:
        client.send(Frame(mailbox.RESULTS, mailbox.encode_results([(number, code)])))

    def _end(self, client: ClientStream, number: int, code: int, more: bool = False) -> None:
        client.send(Frame(mailbox.END, mailbox.encode_end(mailbox.End(number, code, more))))

    # --- housekeeping

    async def _sweep(self) -> None:
        """Let go of clients that say nothing, and of what is past its time."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            end_silent(self._clients, SILENCE_SECONDS)
            for client in self._clients:
                self.pushes.catch_up(client)
            self._next.tidy = True
            self._next.seen = self.clock.seen
            self._next.probe = self._disk.failing
            self._wake_up()
            for part in self._apart:
                part.tidy()

    def _drop_slow_clients(self) -> None:
        self._outgoing.drop_slow(self._clients)
