"""One client of the mailbox: the queues that it has opened, and the bytes that wait to be written to it.

Whoever sends to a client writes at once if its stream takes the bytes without waiting, because a task for each write
costs as much as the write itself. A client that takes its bytes slowly gets a writer task, which ends when nothing is
left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from p2pchat.core import mailbox
from p2pchat.core.frames import WRITE, Frame, pack
from p2pchat.core.ids import QueueId
from p2pchat.core.logs import LOG
from p2pchat.core.mailbox import Hello
from p2pchat.errors import LinkLost
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.net.admission.budget import Account
from p2pchat.net.ports import Stream
from p2pchat.relay.limits import Origin

MAX_WAITING = 1 << 20
"""Bytes that may wait to be written to one client; while there are more, nothing is pushed to it and it is not read."""
MAX_OUT = 64 << 20
"""Bytes that may wait to be written to all clients; while there are more, nothing is read for them or pushed to
them."""
SMALL_BYTES = 1024
"""Frames of at most so many bytes wait in one buffer with those before them: an object for each pong of five bytes
takes ten times as much memory as is counted for it.
"""
SLOW_WRITE_SECONDS = 2.0
"""Seconds that one write may take while memory is short; see `SLOW_WRITE_BYTES`."""
SLOW_WRITE_BYTES = 256 << 10
"""Bytes that wait for a client from which on it is disconnected if it is also slow."""


@dataclass(eq=False, slots=True)
class OpenQueue:
    """A queue that a client has opened. `upto` is the last place that was pushed, `sent` the places that were pushed
    and not deleted yet. While `reading`, the blobs behind `upto` are being read from the disk. `follows`: what is
    appended to it, which is a log, is pushed.
    """

    client: ClientStream
    handle: int
    role: int
    flags: int
    qid: QueueId
    watched: bool = False
    reading: bool = False
    upto: int = 0
    sent: list[int] | None = None
    follows: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether it is a queue that may be fetched from."""
        return self.role == mailbox.TO_FETCH and not self.flags & (mailbox.FILES | LOG)

    @property
    def is_log(self) -> bool:
        """Whether it is a log, whose role is a `core.logs.LogRole`."""
        return bool(self.flags & LOG)

    @property
    def may_forget(self) -> bool:
        """Whether it is a file box whose blobs may be deleted: one that many fetch from only by whoever puts there."""
        shared = bool(self.flags & mailbox.SHARED) and self.role != mailbox.TO_PUT
        return bool(self.flags & mailbox.FILES) and not shared

    @property
    def is_put_box(self) -> bool:
        """Whether it is a file box that may be put into."""
        return self.role == mailbox.TO_PUT and bool(self.flags & mailbox.FILES)


@dataclass
class Outgoing:
    """The bytes that wait to be written to all clients together. `room()` is called when they drop below `MAX_OUT`
    again. `write_now(stream, data)` writes all of `data` and returns True, or writes nothing if it would have to wait.
    """

    room: Callable[[], None]
    write_now: Callable[[Stream, bytes], bool]
    total: int = 0
    _gathered: dict[ClientStream, None] | None = None

    @property
    def full(self) -> bool:
        return self.total >= MAX_OUT

    def drop_slow(self, clients: Iterable[ClientStream]) -> None:
        """End those of all clients that take their bytes slower than others wait for the memory: for whom more than
        `SLOW_WRITE_BYTES` wait or, where memory is short, no less than on average. Else many of them could keep all of
        it, each with a little less.
        """
        waiting = [client for client in clients if client.out_bytes]
        most = SLOW_WRITE_BYTES
        if self.full and waiting:
            most = min(most, self.total // len(waiting))
        for client in waiting:
            if client.is_slow(most):
                client.scope.cancel()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Collect everything that is sent to each client in this context, and write it in one piece at the end."""
        self._gathered = {}
        try:
            yield
        finally:
            gathered, self._gathered = self._gathered, None
            for client in gathered:
                if not client.held:
                    client.flush()

    def gathers(self, client: ClientStream) -> bool:
        """Return whether `gathering` is in progress; if so, what waits for this client is written at its end."""
        if self._gathered is None:
            return False
        self._gathered[client] = None
        return True


def end_silent(clients: Iterable[ClientStream], seconds: float) -> None:
    """End those of these clients that have said nothing for so long."""
    now = trio.current_time()
    for client in clients:
        if now - client.heard > seconds:
            client.scope.cancel()


class ClientStream:
    """The stream of one client.

    waiting: how many of its requests are on their way to the disk. pushed: how many blobs were pushed and not deleted
    yet; most_pushed: how many may be; small: whether none but the smallest are. records: how many presence records it
    has put.
    scope: cancelling it ends the stream at once.
    draining: the stream ends as soon as all answers were written. changed: tasks that wait for any change of this
    client park here. behind: watched queues of which the disk has more than was pushed. held: frames are kept until
    `flush`.
    """

    __slots__ = (
        "_emptied",
        "_frames",
        "_nursery",
        "_outgoing",
        "account",
        "began",
        "behind",
        "changed",
        "draining",
        "ended",
        "fetching",
        "heard",
        "held",
        "hello",
        "most_pushed",
        "opened",
        "opens",
        "origin",
        "out_bytes",
        "pushed",
        "puts",
        "records",
        "scope",
        "small",
        "stream",
        "waiting",
    )

    def __init__(
        self,
        stream: Stream,
        hello: Hello,
        puts: TokenBucket,
        origin: Origin,
        outgoing: Outgoing,
        nursery: trio.Nursery,
        emptied: Callable[[ClientStream], None],
        account: Account,
    ) -> None:
        self.stream = stream
        self.account = account
        self.hello = hello
        self.puts = puts
        self.origin = origin
        self.heard = trio.current_time()
        self.opened: dict[int, OpenQueue] = {}
        self.opens = 0
        self.waiting = 0
        self.records = 0
        self.fetching = False
        self.pushed = self.most_pushed = 0
        self.small = False
        self.behind: dict[OpenQueue, None] = {}
        self.ended = False
        self.held = False
        self.scope = trio.CancelScope()
        self.draining = False
        self.changed = trio.lowlevel.ParkingLot()
        self.out_bytes = 0
        self.began: float | None = None  # when the current write began
        self._frames: deque[bytes | bytearray] = deque()
        self._outgoing = outgoing
        self._nursery = nursery
        self._emptied = emptied

    @property
    def full(self) -> bool:
        """Whether more bytes wait for it than `MAX_WAITING`."""
        return self.out_bytes >= MAX_WAITING

    @property
    def may_push(self) -> bool:
        """Whether blobs may be pushed to it now."""
        return self.pushed < self.most_pushed and not self.full and not self._outgoing.full

    def is_slow(self, most: int) -> bool:
        """Return whether so many bytes have waited for too long."""
        late = self.began is not None and trio.current_time() - self.began > SLOW_WRITE_SECONDS
        return late and self.out_bytes >= most

    @property
    def settled(self) -> bool:
        """Whether all its requests were answered and the answers written."""
        return not (self.waiting or self.out_bytes)

    def send(self, frame: Frame) -> None:
        """Write a frame, after what already waits."""
        self.send_packed(pack(frame))

    def send_packed(self, *pieces: bytes) -> None:
        """Write the pieces of a frame, each of which may be on its way to others too, after what already waits."""
        if self.ended:
            return
        for piece in pieces:
            size = len(piece)
            self._append(piece, size)
            self.out_bytes += size
            self._outgoing.total += size
        if not self.held:
            self.flush()

    def _append(self, packed: bytes, size: int) -> None:
        if size > SMALL_BYTES or not self._frames:
            self._frames.append(packed)
            return
        last = self._frames[-1]
        if len(last) + size > WRITE:
            self._frames.append(packed)
        elif isinstance(last, bytearray):
            last += packed
        elif len(last) <= SMALL_BYTES:
            self._frames[-1] = bytearray(last + packed)
        else:
            self._frames.append(packed)

    def flush(self) -> None:
        """Write what waits, at once if possible, else in a task."""
        self.held = False
        if self.began is not None or not self._frames or self._outgoing.gathers(self):
            return
        self.began = trio.current_time()
        piece, size = self._next_piece()
        if not self._outgoing.write_now(self.stream, piece):
            self._nursery.start_soon(self._write, piece, size)
            return
        self._written(size)
        if self._frames:  # let other tasks run first
            self._nursery.start_soon(self._write, b"", 0)
        else:
            self.began = None
            self._emptied(self)

    def answer(self, results: Sequence[tuple[int, int]]) -> None:
        """Send the results of requests that were on their way to the disk, as (number of the frame, code)."""
        self.waiting -= len(results)
        for start in range(0, len(results), mailbox.MAX_RESULTS):
            self.send(Frame(mailbox.RESULTS, mailbox.encode_results(results[start : start + mailbox.MAX_RESULTS])))
        self.changed.unpark_all()

    def drain(self) -> None:
        """Stop reading the client, and end its stream when all its requests are answered."""
        self.draining = True
        self.scope.cancel()

    def close(self) -> None:
        """Send nothing more, and drop what waited."""
        self.ended = True
        self._frames.clear()
        self._written(self.out_bytes)

    async def _write(self, piece: bytes, size: int) -> None:
        """Write `piece`, which accounts for `size` bytes, and then everything that waits."""
        try:
            while piece or self._frames:
                self.began = trio.current_time()
                if not piece:
                    piece, size = self._next_piece()
                await self.stream.write(piece)
                piece = b""
                if self.ended:
                    return
                self._written(size)
                if self._frames:  # a write that does not wait lets no other task run
                    await trio.lowlevel.checkpoint()
                else:
                    self._emptied(self)
        except LinkLost:
            self.ended = True
            self.scope.cancel()
        finally:
            self.began = None

    def _next_piece(self) -> tuple[bytes, int]:
        """Return the bytes of the next frames to be written together, and their number."""
        if self.out_bytes <= WRITE:  # all frames fit into one write
            piece = b"".join(self._frames)
            self._frames.clear()
            return piece, len(piece)
        frames = [self._frames.popleft()]
        size = len(frames[0])
        while self._frames and size + len(self._frames[0]) <= WRITE:
            frames.append(self._frames.popleft())
            size += len(frames[-1])
        return b"".join(frames), size

    def _written(self, size: int) -> None:
        was_full = self._outgoing.full
        self.out_bytes -= size
        self._outgoing.total -= size
        self.changed.unpark_all()
        if was_full and not self._outgoing.full:
            self._outgoing.room()
