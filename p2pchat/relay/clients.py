"""One client of the mailbox: what it opened, and what waits to be written to it.

What goes without waiting is written at once, by whoever has it: a task for each write costs as much as the write. A
client that takes its bytes slowly has a writer, which ends when all is said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from p2pchat.core.frames import WRITE, Frame, pack
from p2pchat.core.ids import QueueId
from p2pchat.core.mailbox import Hello
from p2pchat.errors import LinkLost
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.net.admission.budget import Account
from p2pchat.net.ports import Stream
from p2pchat.relay.limits import Origin

MAX_WAITING = 1 << 20
"""Bytes that may wait to be written to one client: above it nothing is pushed to it, and it is not read."""
MAX_OUT = 64 << 20
"""Bytes that may wait to be written to all: above it nothing is read for them from the disk, and nothing is pushed."""
MAX_PUSHED = 256
"""Blobs pushed on one stream that were not deleted yet."""
SLOW_WRITE_SECONDS = 2.0
"""Seconds that one piece may take to be written while others wait for memory,"""
SLOW_WRITE_BYTES = 256 << 10
"""where so many bytes wait for it."""


@dataclass(eq=False, slots=True)
class OpenQueue:
    """A queue on one stream. `upto`: the last place pushed; `sent`: places pushed and not deleted yet; `reading`: what
    lies behind is being read from the disk.
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


@dataclass
class Outgoing:
    """What waits to be written to all clients together. `room` is called when it is less than `MAX_OUT` again;
    `write_now` writes to a stream all of some bytes, or nothing where that has to wait."""

    room: Callable[[], None]
    write_now: Callable[[Stream, bytes], bool]
    total: int = 0
    _gathered: dict[ClientStream, None] | None = None

    @property
    def full(self) -> bool:
        return self.total >= MAX_OUT

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Write what is sent to a client in here together, at the end."""
        self._gathered = {}
        try:
            yield
        finally:
            gathered, self._gathered = self._gathered, None
            for client in gathered:
                if not client.held:
                    client.flush()

    def gathers(self, client: ClientStream) -> bool:
        """Return whether what waits for this client is written at the end of `gathering`."""
        if self._gathered is None:
            return False
        self._gathered[client] = None
        return True


class ClientStream:
    """One stream. `waiting`: how many of its inputs are on their way to the disk; `scope`: cancelled, it ends at once;
    `draining`: it ends so when it has its answers; `changed`: whoever waits for anything of it parks there;
    `behind`: queues of which the disk has more than was pushed; `held`: what is sent waits for `flush`.
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
        "opened",
        "opens",
        "origin",
        "out_bytes",
        "pushed",
        "puts",
        "scope",
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
        self.fetching = False
        self.pushed = 0
        self.behind: dict[OpenQueue, None] = {}
        self.ended = False
        self.held = False
        self.scope = trio.CancelScope()
        self.draining = False
        self.changed = trio.lowlevel.ParkingLot()
        self.out_bytes = 0
        self.began: float | None = None  # when the piece under way was begun
        self._frames: deque[bytes] = deque()
        self._outgoing = outgoing
        self._nursery = nursery
        self._emptied = emptied

    @property
    def full(self) -> bool:
        """Whether more waits for it than it should."""
        return self.out_bytes >= MAX_WAITING

    @property
    def may_push(self) -> bool:
        """Whether more may be pushed to it."""
        return self.pushed < MAX_PUSHED and not self.full and not self._outgoing.full

    @property
    def slow(self) -> bool:
        """Whether it holds much memory for long."""
        return (
            self.out_bytes > SLOW_WRITE_BYTES
            and self.began is not None
            and trio.current_time() - self.began > SLOW_WRITE_SECONDS
        )

    @property
    def settled(self) -> bool:
        """Whether it has all its answers."""
        return not (self.waiting or self.out_bytes)

    def send(self, frame: Frame) -> None:
        """Write this after what waits already."""
        if self.ended:
            return
        packed = pack(frame)
        size = len(packed)
        self._frames.append(packed)
        self.out_bytes += size
        self._outgoing.total += size
        if not self.held:
            self.flush()

    def flush(self) -> None:
        """Write what waits, or begin to."""
        self.held = False
        if self.began is not None or not self._frames or self._outgoing.gathers(self):
            return
        self.began = trio.current_time()
        piece, size = self._next_piece()
        if not self._outgoing.write_now(self.stream, piece):
            self._nursery.start_soon(self._write, piece, size)
            return
        self._written(size)
        if self._frames:  # others have their turn
            self._nursery.start_soon(self._write, b"", 0)
        else:
            self.began = None
            self._emptied(self)

    def drain(self) -> None:
        """Read nothing more; `scope` becomes another one, in which it is waited until all is answered."""
        self.draining = True
        self.scope.cancel()

    def close(self) -> None:
        """Send nothing more, and forget what waited."""
        self.ended = True
        self._frames.clear()
        self._written(self.out_bytes)

    async def _write(self, piece: bytes, size: int) -> None:
        """Write this piece, and then all that waits."""
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
                if self._frames:  # others have their turn: a write that goes at once has none
                    await trio.lowlevel.checkpoint()
                else:
                    self._emptied(self)
        except LinkLost:
            self.ended = True
            self.scope.cancel()
        finally:
            self.began = None

    def _next_piece(self) -> tuple[bytes, int]:
        """Return the bytes of the next frames that go together, and how many bytes these are."""
        if self.out_bytes <= WRITE:  # which is all of it, unless some of it is under way
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
