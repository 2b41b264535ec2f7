"""For the tests of mailboxes' clients: an engine's end that remembers, streams in memory, relays that lie.

The relay is the program's own, in memory (`tests.support.boxes`) or behind a real host; liars say what the test says.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import trio

from p2pchat.core import mailbox, names
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame, FrameParser, pack
from p2pchat.core.ids import PeerKey, QueueId, RelayName
from p2pchat.core.logs import LogKeys
from p2pchat.core.mailbox import Hello
from p2pchat.core.relays import OwnQueue, Relay, TheirQueue
from p2pchat.errors import LinkLost, NotServed, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.allowance import Allowance, Traffic
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.mailbox.pool import MailboxPool
from p2pchat.net.ports import Recognizer, Stream
from p2pchat.relay.box_store import BoxStore
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.store import MailboxStore, Quota
from tests.support.boxes import FILES, LIMITS, NOW, Keys, Pipe, PipeStream, log_store
from tests.support.boxes import RELAY as RELAY

WHERE = "/ip4/10.0.0.9/tcp/4001"
AT_RELAY = Relay(RELAY, (multiaddrs.pack(WHERE),))


def own(keys: Keys, after: int = 0) -> OwnQueue:
    return OwnQueue(keys.fetch, keys.queue.put, keys.flags, after)


def theirs(keys: Keys) -> TheirQueue:
    return TheirQueue(keys.queue.fetch, keys.put, keys.flags)


class Letters:
    """The engine's end: remembers what it is told, and commits nothing by itself unless `takes`."""

    def __init__(self) -> None:
        self.boxes: MailboxPool | None = None
        self.takes = False
        self.held: trio.Event | None = None
        self.came: dict[bytes, list[tuple[int, bytes]]] = {}
        self.batches: list[int] = []
        self.codes: dict[int, int] = {}
        self.lost: list[int] = []
        self.told: list[str] = []
        self.of_logs: dict[bytes, list[tuple[int, bytes]]] = {}
        self.ended_at: dict[bytes, int] = {}
        self.told_of_logs: list[str] = []
        self.log_batches: list[int] = []
        self._changed = trio.lowlevel.ParkingLot()

    async def collected(self, relay: bytes, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        self.came.setdefault(qid, []).extend(blobs)
        self.batches.append(len(blobs))
        self._changed.unpark_all()
        if self.held is not None:
            await self.held.wait()
        if self.takes:
            assert self.boxes is not None
            self.boxes.taken(RelayName(relay), qid, blobs[-1][0])

    def deposited(self, relay: bytes, done: Sequence[tuple[int, int]]) -> None:
        for number, code in done:
            assert number not in self.codes
            assert number not in self.lost
            self.codes[number] = code
        self._changed.unpark_all()

    def undeposited(self, relay: bytes, numbers: Sequence[int]) -> None:
        for number in numbers:
            assert number not in self.codes
            assert number not in self.lost
            self.lost.append(number)
        self._changed.unpark_all()

    def relay_up(self, relay: bytes) -> None:
        self.told.append("up")
        self._changed.unpark_all()

    def relay_down(self, relay: bytes, *, tried: bool) -> None:
        said = "down" if tried else "left"
        if self.told[-1:] != [said]:  # it is said after every attempt
            self.told.append(said)
            self._changed.unpark_all()

    def relays_told(self, relay: bytes, descriptors: Sequence[bytes]) -> None:
        self.listed = descriptors

    async def log_items(
        self, relay: bytes, log: QueueId, items: Sequence[tuple[int, bytes]], upto: int, *, more: bool
    ) -> None:
        assert upto == items[-1][0] if items else True
        self.of_logs.setdefault(log, []).extend(items)
        self.log_batches.append(len(items))
        self.ended_at = {**self.ended_at, log: upto} if not more else self.ended_at
        self._changed.unpark_all()
        if self.held is not None:
            await self.held.wait()

    def logs_up(self, relay: bytes) -> None:
        self.told_of_logs.append("up")
        self._changed.unpark_all()

    def logs_down(self, relay: bytes, problem: str) -> None:
        self.told_of_logs.append(problem)
        self._changed.unpark_all()

    def items(self, keys: LogKeys) -> list[bytes]:
        return [blob for _, blob in self.of_logs.get(keys.log.id, [])]

    def blobs(self, keys: Keys) -> list[bytes]:
        return [blob for _, blob in self.came.get(keys.queue.id, [])]

    def last(self, keys: Keys) -> int:
        return self.came[keys.queue.id][-1][0]

    async def until(self, check: Callable[[], bool]) -> None:
        """Wait until what was told is so."""
        while not check():
            await self._changed.park()

    async def until_told(self, *told: str) -> None:
        await self.until(lambda: self.told == list(told))


# --- a relay behind a real host ---------------------------------------------------------------------------------------


@dataclass
class Served:
    """A mailbox and the host that serves it."""

    host: LibP2PHost
    mailbox: MailboxServer
    store: MailboxStore

    @property
    def relay(self) -> Relay:
        return Relay(self.host.peer, tuple(map(multiaddrs.pack, self.host.addresses())))


@asynccontextmanager
async def serving(host: LibP2PHost, folder: Path) -> AsyncIterator[Served]:
    """A relay on this host; the same folder is the same relay's."""
    store = MailboxStore.open(folder / f"{host.peer.hex()[:8]}.db", replace(Quota(), least_free=0), NOW)
    boxes = BoxStore.open(folder / f"{host.peer.hex()[:8]}.files", FILES, NOW)
    logs = log_store(folder / f"{host.peer.hex()[:8]}.logs", NOW)
    server = MailboxServer(host.peer, store, LIMITS, lambda: NOW, Random(5).randbytes, boxes=boxes, logs_store=logs)
    host.handle(names.MAILBOX, server.serve)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            await nursery.start(host.run)
            yield Served(host, server, store)
            nursery.cancel_scope.cancel()
    finally:
        for each in (store, boxes, logs):
            each.close()


# --- streams in memory ------------------------------------------------------------------------------------------------


@dataclass
class Lines:
    """A host whose streams lead where the test says: `there` gives the next one, or raises Unreachable.

    dialled: when, in seconds since the beginning. cut: bytes vanish, both ways. token: what the relay asks for. others:
    where the streams to other relays lead. short: each stream has a short connection, of which handshakes have taken
    the bytes `filled`.
    """

    there: Callable[[], PipeStream]
    peer: PeerKey = field(default_factory=lambda: PeerKey(b"\xbb" * 32))
    dialled: list[float] = field(default_factory=list)
    addresses_tried: list[str] = field(default_factory=list)
    disconnected: int = 0
    streams: list[_Line] = field(default_factory=list)
    began: float = field(default_factory=trio.current_time)
    patience: float = 0.0
    token: bytes = b""
    short: bool = False
    filled: int = 800
    others: dict[PeerKey, Callable[[], PipeStream]] = field(default_factory=dict)

    def addresses(self) -> tuple[str, ...]:
        return ()

    def milliseconds(self) -> int:
        """Since the beginning."""
        return round(1000 * (trio.current_time() - self.began))

    def recognize(self, recognizer: Recognizer) -> None:
        raise NotImplementedError

    def mark_proven(self, peer: PeerKey) -> None:
        pass

    def found_at(self, peer: PeerKey) -> str:
        return ""

    async def open(self, peer: PeerKey, addresses: Sequence[str], protocol: str, **how: object) -> Stream:
        if protocol != names.mailbox_name(peer, self.token):
            raise NotServed
        self.dialled.append(trio.current_time() - self.began)
        self.addresses_tried = list(addresses)
        await trio.sleep(self.patience)
        line = _Line(self.others.get(peer, self.there)())
        if self.short:
            line.filled, line.short = self.filled, Allowance(line.traffic)
        self.streams.append(line)
        return line

    async def disconnect(self, peer: PeerKey, *, only: Route | None = None) -> None:
        self.disconnected += 1
        await trio.lowlevel.checkpoint()


class _Line:
    """A stream that can be cut, and remembers what was written. frozen: whether its connection answers nothing."""

    route = Route.DIRECT
    inbound = False
    short: Allowance | None = None

    def __init__(self, inner: PipeStream) -> None:
        self.peer = inner.peer
        self.inner = inner
        self.cut = self.frozen = False
        self.closed = False
        self.said: list[Frame] = []
        self.filled = 0
        self.carried = [0, 0]
        self.pieces = [0, 0]
        self._parser = FrameParser(mailbox.FROM_CLIENT)

    def traffic(self) -> Traffic:
        """What a connection with this stream would have carried: handshakes, and an acknowledgement of every other
        packet.
        """
        packets = [5 + size // 1_400 + count for size, count in zip(self.carried, self.pieces, strict=True)]
        bytes_in, bytes_out = (self.filled + size for size in self.carried)
        return Traffic(bytes_in, packets[0] + packets[1] // 2, bytes_out, packets[1] + packets[0] // 2)

    def of(self, kind: int) -> list[Frame]:
        """The frames of one type that were written on it."""
        return [frame for frame in self.said if frame.type == kind]

    async def read(self, at_most: int) -> bytes:
        while (data := await self.inner.read(at_most)) and self.cut:
            pass
        self.carried[0] += len(data)
        self.pieces[0] += 1
        return data

    async def write(self, data: bytes) -> None:
        self.said += self._parser.feed(data)
        self.carried[1] += len(data)
        self.pieces[1] += 1
        if self.cut:
            return
        await self.inner.write(data)

    async def prove(self, seconds: float) -> None:
        await trio.sleep(seconds if self.frozen else 0)
        if self.frozen:
            await self.inner.close()

    def sever(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True
        await self.inner.close()


def unreachable() -> PipeStream:
    raise Unreachable


@dataclass
class Scene:
    """A client in memory, and the engine behind it."""

    boxes: MailboxPool
    letters: Letters
    lines: Lines
    nursery: trio.Nursery

    @property
    def health(self) -> tuple[str, str]:
        """(state, problem) of the relay."""
        found = self.boxes.relay_health()[RelayName(RELAY)]
        return found.state, found.problem


@asynccontextmanager
async def client(
    there: Callable[[], PipeStream], token: bytes = b"", letters: Letters | None = None
) -> AsyncIterator[Scene]:
    """A client whose streams lead `there`, where they ask for this token."""
    letters = letters or Letters()
    lines = Lines(there, token=token)
    async with trio.open_nursery() as nursery:
        letters.boxes = MailboxPool(
            lines,
            letters,
            nursery,
            lambda: NOW + lines.milliseconds(),
            Random(1).randbytes,
            log_callbacks=letters,
        )
        yield Scene(letters.boxes, letters, lines, nursery)
        nursery.cancel_scope.cancel()


# --- relays that lie --------------------------------------------------------------------------------------------------

HELLO = Hello(RELAY, b"\x77" * 32, 4, 720, 16_384, 64 << 20)


class Liar:
    """The relay's end of one stream, spoken frame by frame."""

    def __init__(self, stream: PipeStream) -> None:
        self.stream = stream
        self._parser = FrameParser(mailbox.FROM_CLIENT)
        self._frames: list[Frame] = []

    async def say(self, *frames: tuple[int, bytes]) -> None:
        with suppress(LinkLost):
            await self.stream.write(b"".join(pack(Frame(kind, body)) for kind, body in frames))

    async def greet(self, **changes: Any) -> None:
        await self.say((mailbox.HELLO, mailbox.encode_hello(replace(HELLO, **changes))))

    async def hear(self, kind: int) -> bytes:
        """The body of the next frame of this type."""
        while True:
            while not self._frames:
                data = await self.stream.read(65_536)
                if not data:
                    raise LinkLost
                self._frames += self._parser.feed(data)
            frame = self._frames.pop(0)
            if frame.type == kind:
                return frame.body

    async def hear_opens(self, count: int = 8) -> list[mailbox.Open]:
        """So many queues are opened, and may be."""
        opens = [mailbox.decode_open(await self.hear(mailbox.OPEN)) for _ in range(count)]
        await self.say(*[(mailbox.OPENED, mailbox.encode_opened(one.handle, mailbox.DONE)) for one in opens])
        return opens

    async def hear_fetch(self) -> mailbox.Fetch:
        return mailbox.decode_fetch(await self.hear(mailbox.FETCH))

    async def blob(self, handle: int, place: int, size: int = 4096) -> None:
        await self.say((mailbox.BLOB, mailbox.encode_blob(mailbox.Blob(handle, place, b"\x55" * size))))

    async def end(self, number: int, code: int = mailbox.DONE, more: bool = False) -> None:
        await self.say((mailbox.END, mailbox.encode_end(mailbox.End(number, code, more))))

    async def following(self, keys: Keys) -> int:
        """Go on until the client follows; the handle of this queue of its."""
        opens = await self.hear_opens()
        await self.end((await self.hear_fetch()).number)
        await self.end((await self.hear_fetch()).number)
        return next(one.handle for one in opens if one.queue == keys.queue)


Script = Callable[[Liar], Awaitable[None]]


@asynccontextmanager
async def lied_to(*scripts: Script, room: int = 1 << 18) -> AsyncIterator[Scene]:
    """A client, and a relay whose streams follow these scripts, the last one again and again."""
    async with trio.open_nursery() as nursery:
        left = itertools.chain(scripts, itertools.repeat(scripts[-1]))

        async def follow(script: Script, stream: PipeStream) -> None:
            with suppress(LinkLost):
                await script(Liar(stream))
            await stream.close()

        def there() -> PipeStream:
            forth, back = Pipe(room), Pipe(room)
            nursery.start_soon(follow, next(left), PipeStream(PeerKey(b"\xbb" * 32), forth, back, True))
            return PipeStream(RELAY, back, forth, False)

        async with client(there) as scene:
            yield scene
        nursery.cancel_scope.cancel()
