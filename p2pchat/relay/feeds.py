"""The server of channels' feeds, on streams of their own (docs/protocol/channels.md).

It needs nobody to prove anything: what is put proves itself, and everybody may read. As in the mailbox there is one
committer for all clients; answers and pushes are sent after the commit. A few pages are read at a time, one for each
client, and what is pushed goes to some watchers in each turn of the loop. Whoever takes what is pushed too slowly, or
whose place has had its share, is passed over: they see the gap, and ask.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from p2pchat.core import mailbox
from p2pchat.core.channels import frames
from p2pchat.core.channels.frames import FeedEnd, FeedGet, FeedTerms
from p2pchat.core.channels.posts import FeedName
from p2pchat.core.frames import Frame, FrameParser, head
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import Random
from p2pchat.errors import CannotOpen, LinkLost, P2PChatError
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.admission.budget import Account, TooMuchWork
from p2pchat.net.frames import MAX_FRAMES, READ_BYTES, write_frames
from p2pchat.net.ports import Stream
from p2pchat.relay.batches import DiskHealth, commit_all
from p2pchat.relay.clients import ClientStream, Outgoing, end_silent
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.feed_store import (
    MAX_EXPIRED_AT_ONCE,
    MAX_PAGE_BYTES,
    FeedChange,
    FeedPage,
    FeedQuota,
    FeedResult,
    FeedStore,
)
from p2pchat.relay.limits import Origins, PlaceBudget
from p2pchat.relay.refused_channels import RefusedChannels

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

SILENCE_SECONDS = 180.0
SWEEP_SECONDS = 30.0
PUTS_BURST, PUTS_A_SECOND = 512, 20.0
"""Posts and heads of one stream."""
GETS_BURST, GETS_A_SECOND = 256, 20.0
"""Requests for posts from one place on the network."""
EGRESS_BYTES, EGRESS_RATE = 64 << 20, 1 << 20
"""Bytes of answers and pushes to one place on the network, at once and in a second."""
MAX_WATCHED = 256
"""Feeds that one stream may watch."""
MAX_WAITING = 64
"""Requests of one stream that wait for the disk; it is not read while there are more."""
MAX_BATCH = 256
"""Changes in one batch."""
MAX_READS = 8
"""Pages that are read in one batch: each may have a megabyte, and stays in memory until it is written."""
MAX_PUSHES = 256
"""Heads and posts that wait to be pushed; while there are more, nothing further is taken."""
PUSHES_A_TURN = 32
"""Watchers to whom something is pushed before others have their turn; each 16 KiB count as one more."""
RECHECK_SECONDS = 1.0
"""Seconds until it is looked again whether there is memory for answers."""
_BYTES_OF_A_PUSH = 16 << 10
_CHECK_UNITS = 60
"""Units of `net.admission.budget` for checking a signature."""

log = logging.getLogger(__name__)


@dataclass
class FeedCounts:
    """What the server counts since its start."""

    feed_puts: int = 0
    feed_gets: int = 0
    feed_refused: int = 0


@dataclass(slots=True)
class _Batch:
    puts: list[tuple[ClientStream, int, FeedChange]] = field(default_factory=list)
    gets: list[tuple[ClientStream, FeedGet]] = field(default_factory=list)
    tidy: bool = False

    @property
    def empty(self) -> bool:
        return not (self.puts or self.gets or self.tidy)

    @property
    def full(self) -> bool:
        return len(self.puts) >= MAX_BATCH


class _Push(NamedTuple):
    """Something new, for all who watch its feed but the client that put it. serial: grows with each."""

    serial: int
    client: ClientStream
    change: FeedChange

    def pieces(self, asked: int) -> tuple[bytes, bytes]:
        """Return its frame for one who watches with this number; what is long is the same for all."""
        kind = frames.HEAD if self.change.is_head else frames.POST
        number = frames.encode_answer(asked, b"")
        return head(kind, len(number) + len(self.change.data)) + number, self.change.data


@dataclass(slots=True)
class _Outcome:
    results: list[FeedResult] = field(default_factory=list)
    pages: list[FeedPage] = field(default_factory=list)
    untidy: bool = False
    failure: P2PChatError | None = None


def _apply(store: FeedStore, batch: _Batch, refused: RefusedChannels, now: int) -> _Outcome:
    """Write a batch to the disk, then read what it asks for. A failing disk turns changes away and raises nothing."""
    outcome = _Outcome()
    try:
        changed = refused.read()
        if changed is not None:
            deleted = store.refuse(changed)
            if changed or deleted:
                log.warning("%d channels are refused; %d feeds were deleted", len(changed), deleted)
    except P2PChatError as error:
        outcome.failure = error
        refused.read_again()
    if batch.puts:
        try:
            outcome.results = store.change([change for _, _, change in batch.puts], now)
        except P2PChatError as error:
            outcome.failure = error
            outcome.results = [FeedResult(frames.RELAY_FULL)] * len(batch.puts)
    for _, get in batch.gets:
        try:
            outcome.pages.append(store.page(get))
        except P2PChatError as error:
            outcome.failure = error
            outcome.pages.append(FeedPage(None, [], code=frames.RELAY_FULL))
    if batch.tidy:
        try:
            outcome.untidy = store.expire(now) == MAX_EXPIRED_AT_ONCE
            store.checkpoint()
        except P2PChatError as error:
            outcome.failure = error
    return outcome


class FeedServer:
    """Serves the protocol `names.feed_name` on a host: `run` runs until cancelled, `serve` is the handler of a stream.

    place_bytes: how much may be put from one place on the network in a day. refused: the channels that the operator
    refuses. The other arguments are those of `MailboxServer`.
    """

    def __init__(
        self,
        relay: PeerKey,
        store: FeedStore,
        clock: RelayClock,
        random: Random,
        refused: RefusedChannels,
        place_bytes: int,
        place_of: Callable[[Stream], str] = lambda stream: "",
        in_thread: Callable[..., Awaitable[Any]] = trio.to_thread.run_sync,
        account_of: Callable[[Stream], Account] = lambda stream: Account(),
        write_now: Callable[[Stream, bytes], bool] = lambda stream, data: False,
    ) -> None:
        self.counts = FeedCounts()
        self._disk = DiskHealth("the store of channels")
        self._hello = mailbox.Hello(relay, bytes(32), 0, 0, 0, 0)  # a `ClientStream` has one; it is not sent
        self._store = store
        self._clock = clock
        self._refused = refused
        self._place_of = place_of
        self._in_thread = in_thread
        self._account_of = account_of
        self._origins = Origins(random)
        self._deposits = PlaceBudget(place_bytes, place_bytes / DAY_SECONDS)
        self._egress = PlaceBudget(EGRESS_BYTES, EGRESS_RATE)
        self._asked = PlaceBudget(GETS_BURST, GETS_A_SECOND)
        self._outgoing = Outgoing(lambda: None, write_now)
        self._clients: set[ClientStream] = set()
        self._watching: dict[FeedName, dict[ClientStream, tuple[int, int]]] = {}  # number, and the last push before
        self._watched: dict[ClientStream, set[FeedName]] = {}
        self._next = _Batch()
        self._gets: deque[tuple[ClientStream, FeedGet]] = deque()
        self._wake = Wakeup()
        self._serial = 0
        self._pushes: list[_Push] = []
        self._pushable = Wakeup()
        self._taken = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None

    @property
    def failing(self) -> bool:
        """Whether the disk does not work."""
        return self._disk.failing

    @property
    def clients(self) -> int:
        """The number of streams."""
        return len(self._clients)

    def limit(self, quota: FeedQuota, place_bytes: int) -> None:
        """Apply other limits."""
        self._store.quota = quota
        self._deposits.resize(place_bytes, place_bytes / DAY_SECONDS)
        self.look_again()

    def look_again(self) -> None:
        """Read which channels are refused, if that has changed, and delete what is past its time."""
        self._next.tidy = True
        self._wake.set()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit batches until cancelled; a batch in progress is finished first."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._sweep)
            nursery.start_soon(self._push_all)
            task_status.started()
            try:
                await commit_all(self._next_batch, self._applied, self._release)
            finally:
                self._nursery = None
                for client in self._clients:  # their tasks belong to the host, which may continue
                    client.close()
                    client.scope.cancel()

    async def _applied(self, batch: _Batch) -> _Outcome:
        outcome: _Outcome = await self._in_thread(_apply, self._store, batch, self._refused, self._clock.now())
        return outcome

    async def _next_batch(self) -> _Batch:
        """Wait until there is something to do, and return it."""
        while self._next.empty and (self._outgoing.full or not self._gets):
            self._wake.clear()
            with trio.move_on_after(RECHECK_SECONDS if self._gets or self._outgoing.full else math.inf):
                await self._wake.wait()
            if self._outgoing.full:
                self._outgoing.drop_slow(self._clients)
        batch, self._next = self._next, _Batch()
        while self._gets and not self._outgoing.full and len(batch.gets) < MAX_READS:
            batch.gets.append(self._gets.popleft())
        self._taken.unpark_all()
        return batch

    async def serve(self, stream: Stream) -> None:
        """Serve one client until its stream ends."""
        if self._nursery is None:
            return
        client = ClientStream(
            stream,
            self._hello,
            TokenBucket(PUTS_BURST, PUTS_A_SECOND),
            self._origins.of(self._place_of(stream)),
            self._outgoing,
            self._nursery,
            lambda client: None,
            self._account_of(stream),
        )
        self._clients.add(client)
        try:
            with client.scope:
                await write_frames(stream, [Frame(frames.TERMS, frames.encode_terms(self._terms()))])
                await self._read(client)
        except (CannotOpen, LinkLost, TooMuchWork):
            return
        finally:
            client.close()
            self._clients.discard(client)
            self._forget(client)

    def _terms(self) -> FeedTerms:
        quota = self._store.quota
        return FeedTerms(quota.feed_bytes, quota.feed_posts, quota.hours, bool(quota.total_bytes) and quota.new)

    # --- in

    async def _read(self, client: ClientStream) -> None:
        parser = FrameParser(frames.FROM_CLIENT)
        while data := await client.stream.read(READ_BYTES):
            client.heard = trio.current_time()
            parsed = parser.feed(data, MAX_FRAMES)
            while parsed:
                for frame in parsed:
                    await self._until_room(client, frame)
                    self._take(client, frame)
                parsed = parser.feed(b"", MAX_FRAMES)

    async def _until_room(self, client: ClientStream, frame: Frame) -> None:
        client.account.charge(_CHECK_UNITS)
        if client.account.due:
            await client.account.settle()
        while client.waiting >= MAX_WAITING or client.full or (frame.type == frames.GET and client.fetching):
            await client.changed.park()
        while self._next.full or self._outgoing.full or len(self._pushes) >= MAX_PUSHES:
            if self._outgoing.full:  # of pushes, perhaps, while the committer sleeps: it lets slow ones go
                self._wake.set()
            with trio.move_on_after(RECHECK_SECONDS):
                await self._taken.park()

    def _take(self, client: ClientStream, frame: Frame) -> None:
        match frame.type:
            case frames.PING:
                client.send(Frame(frames.PONG, b""))
            case frames.PONG:
                pass
            case frames.GET:
                self._take_get(client, frames.decode_get(frame.body))
            case _:
                self._take_put(client, frames.decode_put(frame.body), is_head=frame.type == frames.PUT_HEAD)

    def _take_put(self, client: ClientStream, put: frames.FeedPut, *, is_head: bool) -> None:
        now = trio.current_time()
        if not client.puts.take(now) or not self._deposits.take(client.origin, now, len(put.data)):
            self.counts.feed_refused += 1
            client.send(Frame(frames.RESULT, frames.encode_result(put.number, frames.TOO_FAST)))
            return
        client.waiting += 1
        self._next.puts.append((client, put.number, FeedChange(put.feed, put.data, is_head, client.origin.names)))
        self._wake.set()

    def _take_get(self, client: ClientStream, get: FeedGet) -> None:
        now = trio.current_time()
        too_many = get.watch and len(self._watched.get(client, ())) >= MAX_WATCHED
        origin = client.origin
        if too_many or not self._asked.take(origin, now) or not self._egress.take(origin, now, MAX_PAGE_BYTES):
            self._end(client, FeedEnd(get.number, frames.TOO_FAST, False, 0, 0))
            return
        client.waiting += 1
        client.fetching = True
        self._gets.append((client, get))
        self._wake.set()

    # --- out

    def _release(self, batch: _Batch, outcome: _Outcome) -> None:
        """Tell clients what is on the disk now. What is for one client goes in one write."""
        wrote = outcome.failure is None and any(result.new for result in outcome.results)
        self._disk.note(outcome.failure, wrote=wrote)
        with self._outgoing.gathering():
            for (client, number, change), result in zip(batch.puts, outcome.results, strict=True):
                self._answer_put(client, number, change, result)
            for (client, get), page in zip(batch.gets, outcome.pages, strict=True):
                self._answer_get(client, get, page)
        if outcome.untidy:
            self.look_again()

    def _answer_put(self, client: ClientStream, number: int, change: FeedChange, result: FeedResult) -> None:
        client.waiting -= 1
        client.send(Frame(frames.RESULT, frames.encode_result(number, result.code)))
        client.changed.unpark_all()
        if result.code != frames.DONE:
            self.counts.feed_refused += 1
            return
        self.counts.feed_puts += 1
        if not result.new:
            return
        self._serial += 1
        if self._watching.get(change.feed):
            self._pushes.append(_Push(self._serial, client, change))
            self._pushable.set()

    def _answer_get(self, client: ClientStream, get: FeedGet, page: FeedPage) -> None:
        client.waiting -= 1
        client.fetching = False
        client.changed.unpark_all()
        unused = MAX_PAGE_BYTES - sum(map(len, page.posts))
        self._egress.give(client.origin, trio.current_time(), unused)
        if client.ended:
            return
        self.counts.feed_gets += 1
        if page.head is not None:
            client.send(Frame(frames.HEAD, frames.encode_answer(get.number, page.head)))
        for post in page.posts:
            client.send(Frame(frames.POST, frames.encode_answer(get.number, post)))
        self._end(client, FeedEnd(get.number, page.code, page.more, page.first, page.next))
        if get.watch and page.code == frames.DONE:
            self._watching.setdefault(get.feed, {})[client] = get.number, self._serial
            self._watched.setdefault(client, set()).add(get.feed)

    async def _push_all(self) -> None:
        """Push what is new to all who watch it, some in each turn of the loop."""
        turn = 0
        while True:
            self._pushable.clear()
            pushes, self._pushes = self._pushes, []
            self._taken.unpark_all()
            by_feed: dict[FeedName, list[_Push]] = {}
            for push in pushes:
                by_feed.setdefault(push.change.feed, []).append(push)
            for feed, fresh in by_feed.items():
                for watcher, (asked, since) in list(self._watching.get(feed, {}).items()):
                    turn += self._push(watcher, asked, [push for push in fresh if push.serial > since])
                    if turn >= PUSHES_A_TURN:
                        turn = 0
                        await trio.lowlevel.checkpoint()
            if not self._pushes:
                await self._pushable.wait()

    def _push(self, watcher: ClientStream, asked: int, pushes: Sequence[_Push]) -> int:
        """Push these to one watcher in one write; return how many watchers that counts as."""
        size = 0
        for push in pushes:
            pieces = push.pieces(asked)
            long = sum(map(len, pieces))
            if watcher is push.client or watcher.full or self._outgoing.full:
                continue
            if self._egress.take(watcher.origin, trio.current_time(), long):
                watcher.held = True
                watcher.send_packed(*pieces)
                size += long
        watcher.flush()
        return 1 + size // _BYTES_OF_A_PUSH

    def _end(self, client: ClientStream, end: FeedEnd) -> None:
        client.send(Frame(frames.END, frames.encode_end(end)))

    def _forget(self, client: ClientStream) -> None:
        """Forget what a client watched."""
        for feed in self._watched.pop(client, ()):
            del self._watching[feed][client]
            if not self._watching[feed]:
                del self._watching[feed]

    async def _sweep(self) -> None:
        """Let go of clients that say nothing, and of what is past its time."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            end_silent(self._clients, SILENCE_SECONDS)
            self._outgoing.drop_slow(self._clients)
            self.look_again()
