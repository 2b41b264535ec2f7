"""The mailbox: what a relay does with deposits, fetches and deletes (docs/protocol/mailbox.md).

One committer for all clients: what waits is one batch, its puts one transaction, its deletes another, its fetches are
read after both; only then are results, pushes and answers let out. While one batch is on its way to the disk the next
gathers. Memory is bounded by what a client may have waiting; a client that takes nothing waits alone.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from p2pchat.core import mailbox as words
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.mailbox import Blob, Hello, Queue
from p2pchat.core.primitives import Random, equal
from p2pchat.core.wire import Frame, FrameParser
from p2pchat.errors import CannotOpen, DiskFull, LinkLost, P2PChatError
from p2pchat.net.frames import READ, write_frames
from p2pchat.net.ports import Stream
from p2pchat.relay.limits import Bucket, Limits
from p2pchat.relay.store import Deposit, Kept, MailboxStore

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

PROTOCOL = "/p2pchat/mailbox/1"
MOST_BATCH = 512
HIGH_MARK = 2048
"""Inputs that may wait for the disk; above it streams are not read."""
MOST_PUSHED = 256
MOST_WAITING = 1 << 20
"""Bytes that may wait to be written to one client: above it nothing is pushed to it, and it is not read."""
SILENCE = 180.0
SWEEP = 30.0
TOKEN_PATIENCE = 10.0

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Opened:
    """A queue on one stream. `sent`: places pushed and not deleted yet; `behind`: the disk has more than was pushed."""

    handle: int
    role: int
    queue: Queue
    qid: bytes
    watched: bool = False
    behind: bool = False
    reading: bool = False
    upto: int = 0
    sent: list[int] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Client:
    stream: Stream
    hello: Hello
    puts: Bucket
    heard: float
    opened: dict[int, _Opened] = field(default_factory=dict)
    out: list[Frame] = field(default_factory=list)
    out_bytes: int = 0
    writing: bool = False
    pushed: int = 0
    gone: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    room: trio.Event | None = None


@dataclass(slots=True)
class _Batch:
    puts: list[tuple[_Client, int, Deposit]] = field(default_factory=list)
    deletes: list[tuple[_Client, int, bytes, int]] = field(default_factory=list)
    fetches: list[tuple[_Client, words.Fetch]] = field(default_factory=list)
    refills: list[tuple[_Client, _Opened]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.puts) + len(self.deletes) + len(self.fetches) + len(self.refills)


@dataclass(slots=True)
class _Outcome:
    puts: list[Kept] | None = None
    deleted: bool = False
    fetched: list[tuple[list[Blob], bool]] = field(default_factory=list)
    refilled: list[list[tuple[int, bytes]]] = field(default_factory=list)


@dataclass
class Counts:
    """What the metrics show: numbers only, of everybody together."""

    deposits: int = 0
    refused: int = 0
    fetched: int = 0
    pushed: int = 0
    deleted: int = 0


class Mailbox:
    """Serves `PROTOCOL` on a host. `run` until cancelled; `serve` is the handler of a stream."""

    def __init__(
        self, relay: bytes, store: MailboxStore, limits: Limits, clock: Callable[[], int], random: Random
    ) -> None:
        self.counts = Counts()
        self._relay = relay
        self._store = store
        self._limits = limits
        self._clock = clock
        self._random = random
        self._clients: set[_Client] = set()
        self._watchers: dict[bytes, list[tuple[_Client, _Opened]]] = {}
        self._next = _Batch()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._draining = False

    @property
    def clients(self) -> int:
        """How many streams there are."""
        return len(self._clients)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit until cancelled; what was taken is finished first."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._sweep)
            task_status.started()
            while True:
                while not len(self._next):
                    self._wake = trio.Event()
                    await self._wake.wait()
                batch, self._next = self._next, _Batch()
                self._room.set()
                with trio.CancelScope(shield=True):
                    outcome = await trio.to_thread.run_sync(self._apply, batch)
                self._release(batch, outcome)

    async def serve(self, stream: Stream) -> None:
        """One client, until it ends."""
        if self._draining:
            return
        limits = self._limits
        hello = Hello(
            self._relay,
            self._random(32),
            limits.stamp_bits,
            limits.longest_hours,
            self._store.quota.queue_blobs,
            self._store.quota.queue_bytes,
            limits.token is not None,
        )
        client = _Client(stream, hello, Bucket(limits.puts_burst, limits.puts_a_second), trio.current_time())
        self._clients.add(client)
        try:
            with client.scope:
                await write_frames(stream, [Frame(words.HELLO, words.encode_hello(hello))])
                await self._read(client)
        except (CannotOpen, LinkLost):
            return
        finally:
            client.gone = True
            self._clients.discard(client)
            for opened in client.opened.values():
                self._unwatch(client, opened)

    def drain(self) -> None:
        """Take nobody new; who is here is served on."""
        self._draining = True

    # --- in

    async def _read(self, client: _Client) -> None:
        parser = FrameParser(words.FROM_CLIENT)
        trusted = self._limits.token is None
        with trio.fail_after(TOKEN_PATIENCE) if not trusted else trio.CancelScope() as patience:
            while True:
                data = await client.stream.read(READ)
                if not data:
                    return
                client.heard = trio.current_time()
                for frame in parser.feed(data):
                    if not trusted:
                        if frame.type != words.TOKEN or not equal(frame.body, self._limits.token or b""):
                            return
                        trusted = True
                        patience.deadline = float("inf")
                        continue
                    self._take(client, frame)
                while client.out_bytes > MOST_WAITING:
                    client.room = trio.Event()
                    await client.room.wait()
                while len(self._next) >= HIGH_MARK:
                    if self._room.is_set():
                        self._room = trio.Event()
                    await self._room.wait()

    def _take(self, client: _Client, frame: Frame) -> None:
        match frame.type:
            case words.PUT:
                self._put(client, words.decode_put(frame.body))
            case words.DELETE:
                delete = words.decode_delete(frame.body)
                opened = client.opened.get(delete.handle)
                if opened is None or opened.role != words.TO_FETCH:
                    self._answer(client, delete.number, words.NOT_ALLOWED)
                else:
                    self._delete(client, opened, delete)
            case words.FETCH:
                self._fetch(client, words.decode_fetch(frame.body))
            case words.OPEN:
                self._open(client, words.decode_open(frame.body))
            case words.PING:
                self._send(client, Frame(words.PONG, b""))
            case words.TOKEN:
                raise CannotOpen
        if len(self._next):
            self._wake.set()

    def _open(self, client: _Client, opening: words.Open) -> None:
        if opening.handle in client.opened or opening.handle == words.NO_HANDLE:
            raise CannotOpen
        code = words.DONE
        if len(client.opened) >= words.MOST_HANDLES:
            code = words.TOO_FAST
        else:
            try:
                words.check_open(opening, client.hello)
            except CannotOpen:
                code = words.NOT_ALLOWED
        if code == words.DONE:
            client.opened[opening.handle] = _Opened(opening.handle, opening.role, opening.queue, opening.queue.id)
        self._send(client, Frame(words.OPENED, words.encode_opened(opening.handle, code)))

    def _put(self, client: _Client, put: words.Put) -> None:
        opened = client.opened.get(put.handle)
        code = words.DONE
        if opened is None or opened.role != words.TO_PUT:
            code = words.NOT_ALLOWED
        elif not 1 <= put.hours <= self._limits.longest_hours or (put.stamp and not opened.queue.flags & words.STAMPED):
            code = words.MALFORMED
        elif not client.puts.take(trio.current_time()):
            code = words.TOO_FAST
        elif opened.queue.flags & words.STAMPED and not words.stamp_holds(
            self._relay, opened.queue, put.blob, self._clock(), self._limits.stamp_bits, put.stamp
        ):
            code = words.BAD_STAMP
        if opened is None or code != words.DONE:
            self.counts.refused += 1
            self._answer(client, put.number, code)
            return
        expires = self._clock() // words.HOUR_MS + put.hours
        box = bool(opened.queue.flags & words.BOX)
        self._next.puts.append((client, put.number, Deposit(opened.qid, put.blob, expires, box)))

    def _fetch(self, client: _Client, fetch: words.Fetch) -> None:
        wanted = [client.opened.get(handle) for handle, _ in fetch.queues]
        if any(opened is None or opened.role != words.TO_FETCH for opened in wanted):
            end = words.End(fetch.number, words.NOT_ALLOWED, more=False)
            self._send(client, Frame(words.END, words.encode_end(end)))
            return
        if fetch.want:
            self._next.fetches.append((client, fetch))
            return
        for opened, (_, after) in zip(wanted, fetch.queues, strict=True):
            assert opened is not None
            if not opened.watched:
                opened.watched = True
                opened.upto = after
                self._watchers.setdefault(opened.qid, []).append((client, opened))
                self._refill(client, opened)
        end = words.End(fetch.number, words.DONE, more=False)
        self._send(client, Frame(words.END, words.encode_end(end)))

    def _delete(self, client: _Client, opened: _Opened, delete: words.Delete) -> None:
        confirmed = bisect_right(opened.sent, delete.upto)
        del opened.sent[:confirmed]
        client.pushed -= confirmed
        if not opened.queue.flags & words.BOX:
            self._next.deletes.append((client, delete.number, opened.qid, delete.upto))
        else:
            self._answer(client, delete.number, words.DONE)
        for other in client.opened.values():
            if other.behind:
                self._refill(client, other)

    # --- to the disk

    def _apply(self, batch: _Batch) -> _Outcome:
        """In a thread: the disk's part of a batch. A full disk turns deposits away and keeps what is there."""
        outcome = _Outcome()
        if batch.puts:
            try:
                outcome.puts = self._store.put([deposit for _, _, deposit in batch.puts], self._clock())
            except P2PChatError as error:
                _tell(error)
        if batch.deletes:
            try:
                self._store.delete((qid, upto) for _, _, qid, upto in batch.deletes)
                outcome.deleted = True
            except P2PChatError as error:
                _tell(error)
        for client, fetch in batch.fetches:
            outcome.fetched.append(self._read_blobs(client, fetch))
        for _, opened in batch.refills:
            outcome.refilled.append(self._store.fetch(opened.qid, opened.upto, MOST_PUSHED))
        return outcome

    def _read_blobs(self, client: _Client, fetch: words.Fetch) -> tuple[list[Blob], bool]:
        found: list[Blob] = []
        more = False
        for handle, after in fetch.queues:
            left = fetch.want - len(found)
            rows = self._store.fetch(client.opened[handle].qid, after, left + 1)
            more = more or len(rows) > left
            found += [Blob(handle, place, blob) for place, blob in rows[:left]]
        return found, more

    # --- out

    def _release(self, batch: _Batch, outcome: _Outcome) -> None:
        results: dict[_Client, list[tuple[int, int]]] = {}
        kept = outcome.puts or [Kept(words.RELAY_FULL)] * len(batch.puts)
        for (client, number, deposit), one in zip(batch.puts, kept, strict=True):
            results.setdefault(client, []).append((number, one.code))
            self.counts.deposits += one.new
            self.counts.refused += one.code != words.DONE
            if one.new:
                self._push(deposit.qid, one.place, deposit.blob)
        code = words.DONE if outcome.deleted else words.RELAY_FULL
        for client, number, _, _ in batch.deletes:
            results.setdefault(client, []).append((number, code))
            self.counts.deleted += outcome.deleted
        for client, pairs in results.items():
            for start in range(0, len(pairs), words.MOST_RESULTS):
                self._send(
                    client, Frame(words.RESULTS, words.encode_results(pairs[start : start + words.MOST_RESULTS]))
                )
        for (client, fetch), (blobs, more) in zip(batch.fetches, outcome.fetched, strict=True):
            self._answer_fetch(client, fetch, blobs, more)
        for (client, opened), rows in zip(batch.refills, outcome.refilled, strict=True):
            opened.reading = False
            opened.behind = len(rows) == MOST_PUSHED
            for place, blob in rows:
                if place > opened.upto and not self._push_to(client, opened, place, blob):
                    break

    def _answer_fetch(self, client: _Client, fetch: words.Fetch, blobs: list[Blob], more: bool) -> None:
        for blob in blobs:
            self._send(client, Frame(words.BLOB, words.encode_blob(blob)))
        units = sum(len(blob.blob) // BUCKETS[0] for blob in blobs)
        for _ in range(words.padding(units)):
            empty = Blob(words.NO_HANDLE, 0, self._random(BUCKETS[0]))
            self._send(client, Frame(words.BLOB, words.encode_blob(empty)))
        self._send(client, Frame(words.END, words.encode_end(words.End(fetch.number, words.DONE, more))))
        self.counts.fetched += len(blobs)

    def _push(self, qid: bytes, place: int, blob: bytes) -> None:
        for client, opened in self._watchers.get(qid, ()):
            if not opened.behind and not opened.reading:
                self._push_to(client, opened, place, blob)
            else:
                opened.behind = True

    def _push_to(self, client: _Client, opened: _Opened, place: int, blob: bytes) -> bool:
        if client.pushed >= MOST_PUSHED or client.out_bytes >= MOST_WAITING:
            opened.behind = True
            return False
        opened.upto = place
        opened.sent.append(place)
        client.pushed += 1
        self.counts.pushed += 1
        self._send(client, Frame(words.BLOB, words.encode_blob(Blob(opened.handle, place, blob))))
        return True

    def _refill(self, client: _Client, opened: _Opened) -> None:
        if not opened.reading and client.pushed < MOST_PUSHED // 2:
            opened.reading = True
            self._next.refills.append((client, opened))
            self._wake.set()

    def _unwatch(self, client: _Client, opened: _Opened) -> None:
        if opened.watched:
            left = [pair for pair in self._watchers[opened.qid] if pair[0] is not client]
            if left:
                self._watchers[opened.qid] = left
            else:
                del self._watchers[opened.qid]

    def _answer(self, client: _Client, number: int, code: int) -> None:
        self._send(client, Frame(words.RESULTS, words.encode_results([(number, code)])))

    def _send(self, client: _Client, frame: Frame) -> None:
        if client.gone or self._nursery is None:
            return
        client.out.append(frame)
        client.out_bytes += len(frame.body)
        if not client.writing:
            client.writing = True
            self._nursery.start_soon(self._write, client)

    async def _write(self, client: _Client) -> None:
        """Write what waits for one client, then end: a thousand idle clients have no writer."""
        try:
            while client.out and not client.gone:
                frames, client.out = client.out, []
                await write_frames(client.stream, frames)
                client.out_bytes -= sum(len(frame.body) for frame in frames)
                if client.room is not None:
                    client.room.set()
                if not client.out:
                    for opened in client.opened.values():
                        if opened.behind:
                            self._refill(client, opened)
        except LinkLost:
            client.scope.cancel()
        finally:
            client.writing = False

    async def _sweep(self) -> None:
        """Let go of clients that say nothing, and of what is past its time."""
        while True:
            await trio.sleep(SWEEP)
            now = trio.current_time()
            for client in list(self._clients):
                if now - client.heard > SILENCE:
                    client.scope.cancel()
            try:
                await trio.to_thread.run_sync(self._tidy)
            except P2PChatError as error:
                _tell(error)

    def _tidy(self) -> None:
        self._store.expire(self._clock())
        self._store.checkpoint()


def _tell(error: P2PChatError) -> None:
    level = logging.WARNING if isinstance(error, DiskFull) else logging.ERROR
    log.log(level, "the store: %s", type(error).__name__)
