"""The mailbox: what a relay does with deposits, fetches and deletes (docs/protocol/mailbox.md).

One committer for all clients: what waits is one batch and one transaction; only when it is on the disk are results,
pushes and answers let out. While one batch is on its way the next gathers. Whatever a client makes us remember is
bounded: its inputs and the answers that wait for it stop it from being read, and a client that takes nothing waits
alone, until it is let go.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from p2pchat.core import mailbox
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import Frame, FrameParser
from p2pchat.core.ids import PeerKey, QueueId
from p2pchat.core.primitives import Random
from p2pchat.errors import CannotOpen, DiskFull, LinkLost, P2PChatError
from p2pchat.lib.times import HOUR_MS
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.admission.budget import Account, TooMuchWork
from p2pchat.net.frames import MAX_FRAMES, READ_BYTES, write_frames
from p2pchat.net.ports import Stream
from p2pchat.relay.batches import MAX_READS, Answer, Batch, Fetching, Outcome, Wanted, apply
from p2pchat.relay.clients import SLOW_WRITE_SECONDS, ClientStream, OpenQueue, Outgoing
from p2pchat.relay.clock import RelayClock, uptime
from p2pchat.relay.counts import REASONS, Counts
from p2pchat.relay.limits import RelayLimits
from p2pchat.relay.notifications import Pushes
from p2pchat.relay.store import DepositResult, MailboxStore, NewBlob, Quota
from p2pchat.relay.terms import COSTS, Terms

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

SILENCE_SECONDS = 180.0
SWEEP_SECONDS = 30.0
RECHECK_SECONDS = 0.25
"""Seconds after which a client that has fetched a lot is looked at again."""

InThread = Callable[..., Awaitable[Outcome]]

log = logging.getLogger(__name__)


class MailboxServer:
    """Serves `names.mailbox_name` on a host. `run` until cancelled; `serve` is the handler of a stream.

    `clock`: ms since the epoch, `uptime`: seconds that nobody can set; `trust_clock`: the operator says that it is
    right (see `clock.RelayClock`). `place_of`: where on the network a stream comes from, for the limits on one place.
    `account_of`: what its connection may cost. `write_now`: writes to a stream all of some bytes, or nothing where that
    has to wait. `mark_proven`: is told every peer that has said the token or opened a queue.
    `in_thread`: how the disk is waited for. Raises what the store raises.
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
        mark_proven: Callable[[PeerKey], None] = lambda peer: None,
    ) -> None:
        self.counts = Counts()
        self._failing = False
        self._relay = relay
        self._store = store
        self._limits = limits
        self.clock = RelayClock(clock, uptime, store.seen, trust=trust_clock)
        with suppress(DiskFull):  # it is noted when there is room
            store.note(self.clock.seen)
        self._random = random
        self._place_of = place_of
        self._in_thread = in_thread
        self._account_of = account_of
        self._mark_proven = mark_proven
        self._terms = Terms(relay, store, limits, self.clock, random)
        self._clients: set[ClientStream] = set()
        self._admitted: Counter[bytes] = Counter()
        self._outgoing = Outgoing(self._room, write_now)
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
        """How many streams there are."""
        return len(self._clients)

    @property
    def failing(self) -> bool:
        """Whether its disk does not work."""
        return self._failing or self._store.damaged

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be written to all clients."""
        return self._outgoing.total

    def knows(self, peer: bytes) -> bool:
        """Return whether a peer knows the token, since it has a stream here; everybody counts where there is none."""
        return self._terms.limits.token is None or peer in self._admitted

    def limit(self, limits: RelayLimits, quota: Quota) -> None:
        """Go by these limits from now on; clients that are there stay, also where the token is another one."""
        self._terms.limit(limits)
        self._store.limit(quota)

    async def check(self) -> None:
        """Read the whole store where its last end was none; what is wrong is logged, and nothing new is kept then."""
        if not self._store.unchecked:
            return
        log.info("the relay did not end cleanly the last time: checking the store")
        try:
            options: dict[str, Any] = {"abandon_on_cancel": True}  # the type stubs do not know it
            await trio.to_thread.run_sync(self._store.check, **options)
        except P2PChatError as error:
            log.error("the store was checked: %s", error.line())

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit until cancelled; the batch under way is finished first."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._sweep)
            task_status.started()
            try:
                while True:
                    await trio.lowlevel.checkpoint_if_cancelled()
                    batch = await self._next_batch()
                    with trio.CancelScope(shield=True):
                        outcome = await self._applied(batch)
                    self._release(batch, outcome)
            finally:
                self._nursery = None
                for client in self._clients:  # their tasks are the host's, which may go on
                    client.close()
                    client.scope.cancel()

    async def _applied(self, batch: Batch) -> Outcome:
        """Do what is in a batch: in a thread, unless memory knows already all that it asks for."""
        work = self._store, batch, self.clock.now(), self._random
        return apply(*work) if batch.finds_nothing(self._store) else await self._in_thread(apply, *work)

    async def serve(self, stream: Stream) -> None:
        """Serve one client, until its stream ends."""
        if self._draining or self._nursery is None:
            return
        hello, limits = self._terms.hello(len(self._clients)), self._terms.limits
        client = ClientStream(
            stream,
            hello,
            TokenBucket(limits.puts_burst, limits.puts_a_second),
            self._terms.origin(self._place_of(stream)),
            self._outgoing,
            self._nursery,
            self.pushes.catch_up,
            self._account_of(stream),
        )
        self._clients.add(client)
        self._admitted[stream.peer] += 1
        if limits.token is not None:
            self._mark_proven(stream.peer)  # it knows the token, or it would not know the name
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
            self._left.unpark_all()

    async def drain(self, patience: float) -> None:
        """Take nothing new, answer what was taken, and let everybody go; within `patience` seconds."""
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

    def _room(self) -> None:
        """Memory was short, and is no more."""
        self._wake_up()
        for client in self._clients:
            self.pushes.catch_up(client)

    async def _next_batch(self) -> Batch:
        """Wait until there is something to do, and take it."""
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
        """Add the next fetch or reading for pushes to a batch, in turn."""
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
        # what was taken is held by nobody while more is waited for
        while data := await client.stream.read(READ_BYTES):
            client.heard = trio.current_time()
            frames = parser.feed(data, MAX_FRAMES)
            del data
            fetching = client.fetching
            try:
                await self._take_all(client, parser, frames)
            finally:
                # what was answered before a fetch goes with the answer to that
                if fetching or not client.fetching:
                    client.flush()

    async def _take_all(self, client: ClientStream, parser: FrameParser, frames: list[Frame]) -> None:
        """Take these frames, in order, and what the parser has besides; the list is empty afterwards. What is answered
        at once is written together: each write costs more than the rest.
        """
        while frames:
            frames.reverse()
            while frames:
                client.account.charge(COSTS.get(frames[-1].type, 0))
                if client.account.due and not self._opens_few(client, frames[-1].type):
                    await client.account.settle()
                if client.full or self._next.full or frames[-1].type == mailbox.FETCH:
                    await self._until_room(client, frames[-1])  # last, or others take the room meanwhile
                client.held = True
                self._take(client, frames.pop())
            frames += parser.feed(b"", MAX_FRAMES)

    def _opens_few(self, client: ClientStream, kind: int) -> bool:
        """Whether it opens its first queues, as many as a fetch names: they are checked in one turn."""
        return kind == mailbox.OPEN and client.opens < mailbox.QUEUES_A_FETCH and client.account.has_credit

    async def _until_room(self, client: ClientStream, frame: Frame) -> None:
        """Wait while this client, or all of them together, have too much waiting."""
        fetches = frame.type == mailbox.FETCH
        watches = fetches and mailbox.watches(frame.body)  # is answered with nothing that counts
        while True:
            if client.full or (fetches and client.fetching):
                client.flush()
                await client.changed.park()
            elif self._next.full:
                client.flush()
                await self._taken.park()
            elif fetches and not watches and not self._terms.may_fetch(client.origin):
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
                self._open(client, mailbox.decode_open(frame.body))
            case mailbox.PING:
                client.send(Frame(mailbox.PONG, b""))

    def _open(self, client: ClientStream, opening: mailbox.Open) -> None:
        if opening.handle in client.opened or opening.handle == mailbox.NO_HANDLE:
            raise CannotOpen
        code, name = mailbox.DONE, QueueId(b"")
        client.opens += 1
        if client.opens > mailbox.MAX_HANDLES:  # those that failed count: each costs us a check of a signature
            code = mailbox.TOO_FAST
        else:
            try:
                name = mailbox.check_open(opening, client.hello)
            except CannotOpen:
                code = mailbox.NOT_ALLOWED
        if code == mailbox.DONE:
            handle, role, queue, _ = opening
            if not client.opened:
                self._mark_proven(client.stream.peer)
            client.opened[handle] = OpenQueue(client, handle, role, queue.flags, name)
        client.send(Frame(mailbox.OPENED, mailbox.encode_opened(opening.handle, code)))

    def _put(self, client: ClientStream, put: mailbox.Put) -> None:
        opened = client.opened.get(put.handle)
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
        self._next.put(client, put, NewBlob(opened.qid, put.blob, expires, box, spent, source))
        self._wake_up()

    def _delete(self, client: ClientStream, delete: mailbox.Deletion) -> None:
        opened = client.opened.get(delete.handle)
        if opened is None or opened.role != mailbox.TO_FETCH:
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
        if opened is None or opened.role != mailbox.TO_FETCH:
            self._answer(client, forget.number, mailbox.NOT_ALLOWED)
        elif opened.flags & mailbox.BOX or not self._store.holds(opened.qid):
            self._answer(client, forget.number, mailbox.DONE)
        else:
            self._next.forget(client, forget.number, opened.qid, forget.names)
            self._wake_up()

    def _fetch(self, client: ClientStream, fetch: mailbox.Fetch) -> None:
        queues = [(client.opened.get(handle), after) for handle, after in fetch.queues]
        readable = [(queue, after) for queue, after in queues if queue is not None and queue.role == mailbox.TO_FETCH]
        if len(readable) < len(queues) and fetch.want:
            self._terms.fetched(client.origin, 0)
        if len(readable) < len(queues):
            self._end(client, fetch.number, mailbox.NOT_ALLOWED)
        elif fetch.want:
            client.fetching = True
            client.waiting += 1
            pages = [Wanted(queue.handle, queue.qid, after) for queue, after in readable]
            self._fetches.append(Fetching(client, fetch.number, fetch.want, pages))
            self._wake_up()
        else:
            self._next.watched += [opened.qid for opened, _ in readable if not opened.watched]
            for opened, after in readable:
                self.pushes.watch(opened, after)
            self._end(client, fetch.number, mailbox.DONE)

    # --- out

    def _release(self, batch: Batch, outcome: Outcome) -> None:
        """Tell clients what is on the disk now. What is for one client goes in one write."""
        self._tell(outcome)
        with self._outgoing.gathering():
            self._answer_all(batch, outcome)
        self._next.tidy = self._next.tidy or outcome.untidy

    def _answer_all(self, batch: Batch, outcome: Outcome) -> None:
        results: dict[ClientStream, list[tuple[int, int]]] = {}
        for (client, put, deposit), result in zip(batch.puts, outcome.puts, strict=True):
            results.setdefault(client, []).append((put.number, result.code))
            self._kept(put, deposit, result)
        code = mailbox.DONE if outcome.deleted else mailbox.RELAY_FULL
        for client, number in batch.deletes:
            results.setdefault(client, []).append((number, code))
        self.counts.deletes += len(batch.deletes)
        for client, pairs in results.items():
            client.waiting -= len(pairs)
            for start in range(0, len(pairs), mailbox.MAX_RESULTS):
                page = pairs[start : start + mailbox.MAX_RESULTS]
                client.send(Frame(mailbox.RESULTS, mailbox.encode_results(page)))
            client.changed.unpark_all()
        for fetching, answer in zip(batch.fetches, outcome.answers, strict=True):
            self._answer_fetch(fetching, answer)
        for refill, (rows, more) in zip(batch.refills, outcome.refilled, strict=True):
            self.pushes.refilled(refill.opened, rows, more)

    def _kept(self, put: mailbox.Put, deposit: NewBlob, result: DepositResult) -> None:
        if result.code != mailbox.DONE:
            self.counts.refused[REASONS[result.code]] += 1
        elif result.new:
            self.counts.deposits += 1
            if put.stamp:
                self._terms.spent.add(deposit.qid, put.stamp, trio.current_time())
            self.pushes.stored(deposit.qid, result.place, deposit.blob)

    def _answer_fetch(self, fetching: Fetching, answer: Answer) -> None:
        client = fetching.client
        for blob in answer.blobs:
            client.send(Frame(mailbox.BLOB, mailbox.encode_blob(blob)))
        self._end(client, fetching.number, answer.code, answer.more)
        self.counts.fetched += answer.found
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
            now = trio.current_time()
            for client in self._clients:
                if now - client.heard > SILENCE_SECONDS:
                    client.scope.cancel()
                else:
                    self.pushes.catch_up(client)
            self._next.tidy = True
            self._next.seen = self.clock.seen
            self._next.probe = self._failing
            self._wake_up()

    def _drop_slow_clients(self) -> None:
        """Memory is short: who takes its bytes slower than others wait for them makes room."""
        for client in self._clients:
            if client.slow:
                client.scope.cancel()

    def _tell(self, outcome: Outcome) -> None:
        """Log when the disk begins to fail and when it is well again, not every time in between. To be read is no sign
        of health: a full disk can be."""
        if outcome.failure is not None and not self._failing:
            log.error("the store: %s", type(outcome.failure).__name__)
            self._failing = True
        elif outcome.wrote and self._failing:
            log.warning("the store works again")
            self._failing = False
