"""A mailbox and its clients on pipes in memory, for tests. Time is a `MockClock`'s, and the disk is waited for inline.

The client is as plain as a client can be; it also runs over a real host's stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from p2pchat.core import logs, mailbox
from p2pchat.core import primitives as prim
from p2pchat.core.delivery import Route
from p2pchat.core.envelope import envelope_id
from p2pchat.core.frames import Frame, FrameParser, pack
from p2pchat.core.ids import EnvelopeId, PeerKey
from p2pchat.core.logs import Item, LogKeys, LogRead, OpenLog
from p2pchat.core.mailbox import Blob, End, Hello, Open, Put, Queue
from p2pchat.errors import LinkLost
from p2pchat.net.admission.budget import Account
from p2pchat.net.allowance import Allowance
from p2pchat.net.ports import Stream
from p2pchat.relay.box_store import BoxQuota, BoxStore
from p2pchat.relay.limits import RelayLimits
from p2pchat.relay.log_store import LogStore, log_quota
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.store import MailboxStore, Quota

RELAY = PeerKey(b"\xaa" * 32)
NOW = 1_800_001_234_567  # in the middle of an hour
PATIENCE = 15.0
LIMITS = RelayLimits(stamp_bits=4)
FILES = BoxQuota(total_bytes=64 << 20, box_bytes=16 << 20)
LOGS = log_quota(total_bytes=64 << 20, log_bytes=16 << 20)


def blob(number: int | str, size: int = 4096) -> bytes:
    """A blob that is the same for the same number."""
    return hashlib.shake_128(str(number).encode()).digest(size)


@dataclass(frozen=True)
class Keys:
    """The two seeds of a queue."""

    name: str
    flags: int = 0

    @property
    def fetch(self) -> bytes:
        return hashlib.sha256(f"fetch {self.name}".encode()).digest()

    @property
    def put(self) -> bytes:
        return hashlib.sha256(f"put {self.name}".encode()).digest()

    @property
    def queue(self) -> Queue:
        return Queue(prim.sign_public(self.fetch), prim.sign_public(self.put), self.flags)


def group_log(name: str = "group", *, admin: bool = True) -> LogKeys:
    """The keys of a log, those of its admins too unless `admin` is False."""
    seeds = [hashlib.sha256(f"{role} of {name}".encode()).digest() for role in ("fetch", "put", "admin")]
    return LogKeys(seeds[0], seeds[1], prim.sign_public(seeds[2]), seeds[2] if admin else b"")


class Pipe:
    """One direction of bytes, with room for so many."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._data = bytearray()
        self._changed = trio.lowlevel.ParkingLot()
        self.ended = False

    def end(self) -> None:
        self.ended = True
        self._changed.unpark_all()

    async def read(self, at_most: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._data and not self.ended:
            await self._changed.park()
        data = bytes(self._data[:at_most])
        del self._data[:at_most]
        self._changed.unpark_all()
        return data

    async def write(self, data: bytes) -> None:
        with trio.move_on_after(PATIENCE) as waiting:
            waiting.shield = True
            await trio.lowlevel.checkpoint()
            while data and not self.ended:
                some = data[: self._room - len(self._data)]
                self._data += some
                data = data[len(some) :]
                self._changed.unpark_all()
                if data:
                    await self._changed.park()
        if data:
            self.end()
            raise LinkLost


class PipeStream:
    """`ports.Stream` over two pipes."""

    route = Route.DIRECT
    short: Allowance | None = None

    def __init__(self, peer: PeerKey, incoming: Pipe, outgoing: Pipe, inbound: bool) -> None:
        self.peer = peer
        self.inbound = inbound
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self, at_most: int) -> bytes:
        return await self._incoming.read(at_most)

    async def write(self, data: bytes) -> None:
        await self._outgoing.write(data)

    async def prove(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    def sever(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self._incoming.end()
        self._outgoing.end()


class MailClient:
    """One stream to a relay, spoken byte by byte. What is pushed while something else is awaited waits in `pushed`."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.pushed: list[Blob] = []
        self.items: list[tuple[int, Item]] = []
        """What came of logs, each with its handle, since it was last asked for."""
        self.behind: list[int] = []
        """The handles of logs that are not followed any more."""
        self._parser = FrameParser(mailbox.FROM_RELAY)
        self._frames: list[Frame] = []
        self._number = 0
        self._results: dict[int, int] = {}
        self._hello: Hello | None = None

    @property
    def hello(self) -> Hello:
        assert self._hello is not None
        return self._hello

    async def frame(self) -> Frame:
        """The next frame; LinkLost where the relay ended it."""
        while not self._frames:
            data = await self.stream.read(65_536)
            if not data:
                raise LinkLost
            self._frames += self._parser.feed(data)
        return self._frames.pop(0)

    async def send(self, *frames: Frame) -> None:
        await self.stream.write(b"".join(map(pack, frames)))

    async def greeted(self) -> MailClient:
        frame = await self.frame()
        assert frame.type == mailbox.HELLO
        self._hello = mailbox.decode_hello(frame.body)
        return self

    async def answer(self, kind: int) -> Frame:
        """The next frame of that type; blobs before it were pushed, and items of logs are in `items`."""
        while (frame := await self.frame()).type != kind:
            self._pushed(frame)
        return frame

    def _pushed(self, frame: Frame) -> None:
        match frame.type:
            case mailbox.ITEMS:
                read = logs.decode_items(frame.body)
                self.items += [(read.handle, item) for item in read.items]
            case mailbox.BEHIND:
                self.behind.append(logs.decode_handle(frame.body))
            case _:
                assert frame.type == mailbox.BLOB, frame.type
                self.pushed.append(mailbox.decode_blob(frame.body))

    async def open(self, handle: int, role: int, keys: Keys, /, **changes: Any) -> int:
        """Open a queue; the code."""
        seed = keys.put if role == mailbox.TO_PUT else keys.fetch
        opening = Open(handle, role, keys.queue, mailbox.sign_open(seed, role, self.hello, keys.queue))
        await self.send(Frame(mailbox.OPEN, mailbox.encode_open(opening._replace(**changes))))
        answered, code = mailbox.decode_opened((await self.answer(mailbox.OPENED)).body)
        assert answered == handle
        return code

    async def put(self, handle: int, *blobs: bytes, hours: int = 24, stamp: int = 0) -> list[int]:
        """Deposit; the codes, in order."""
        numbers = [await self.post(handle, one, hours, stamp) for one in blobs]
        return await self.results(numbers)

    async def post(self, handle: int, one: bytes, hours: int = 24, stamp: int = 0) -> int:
        """Send a deposit and wait for nothing; its number."""
        self._number += 1
        await self.send(Frame(mailbox.PUT, mailbox.encode_put(Put(self._number, handle, hours, stamp, one))))
        return self._number

    async def results(self, numbers: list[int]) -> list[int]:
        while not self._results.keys() >= set(numbers):
            self._results.update(mailbox.decode_results((await self.answer(mailbox.RESULTS)).body))
        return [self._results.pop(number) for number in numbers]

    async def fetch(
        self, want: int, *queues: tuple[int, int], small: bool = False
    ) -> tuple[list[Blob], list[Blob], End]:
        """(blobs, padding, end)."""
        await self.send(Frame(mailbox.FETCH, mailbox.encode_fetch(1, want, queues, small=small)))
        return await self.fetched()

    async def fetched(self) -> tuple[list[Blob], list[Blob], End]:
        blobs: list[Blob] = []
        while (frame := await self.frame()).type == mailbox.BLOB:
            blobs.append(mailbox.decode_blob(frame.body))
        assert frame.type == mailbox.END, frame.type
        padding = [one for one in blobs if one.handle == mailbox.NO_HANDLE]
        return [one for one in blobs if one.handle != mailbox.NO_HANDLE], padding, mailbox.decode_end(frame.body)

    async def watch(self, *queues: tuple[int, int], push: int = mailbox.MAX_PUSHED, small: bool = False) -> None:
        await self.send(Frame(mailbox.FETCH, mailbox.encode_fetch(1, 0, queues, push, small=small)))
        assert mailbox.decode_end((await self.answer(mailbox.END)).body).code == mailbox.DONE

    async def next_pushed(self) -> Blob:
        """The next blob that is pushed."""
        if not self.pushed:
            frame = await self.frame()
            assert frame.type == mailbox.BLOB
            self.pushed.append(mailbox.decode_blob(frame.body))
        return self.pushed.pop(0)

    async def delete(self, handle: int, upto: int) -> int:
        """Delete; the code."""
        self._number += 1
        await self.send(Frame(mailbox.DELETE, mailbox.encode_delete(mailbox.Deletion(self._number, handle, upto))))
        return (await self.results([self._number]))[0]

    async def forget(self, handle: int, *blobs: bytes) -> int:
        """Have blobs forgotten; the code."""
        self._number += 1
        forgetting = mailbox.Forgetting(self._number, handle, _names(blobs, mailbox.NAMES_A_FORGET))
        await self.send(Frame(mailbox.FORGET, mailbox.encode_forget(forgetting)))
        return (await self.results([self._number]))[0]

    async def have(self, handle: int, *blobs: bytes) -> list[bool] | int:
        """Ask which blobs are in a file box; or the code of a refusal."""
        have = mailbox.Having(self._next(), handle, _names(blobs, mailbox.NAMES_A_FORGET))
        await self.send(Frame(mailbox.HAVE, mailbox.encode_have(have)))
        had = mailbox.decode_had((await self.answer(mailbox.HAD)).body)
        assert had.number == have.number
        assert not any(had.held[len(blobs) :])
        return had.held[: len(blobs)] if had.code == mailbox.DONE else had.code

    async def get(self, handle: int, *blobs: bytes) -> list[bytes | None] | int:
        """Get blobs of a file box by their names; or the code of a refusal."""
        await self.ask_for(handle, *blobs)
        return await self.got(len(blobs))

    async def ask_for(self, handle: int, *blobs: bytes) -> None:
        """Send a get and wait for nothing."""
        get = mailbox.Getting(self._next(), handle, _names(blobs, mailbox.NAMES_A_GET))
        await self.send(Frame(mailbox.GET, mailbox.encode_get(get)))

    async def got(self, count: int) -> list[bytes | None] | int:
        """The answer to a get of so many blobs."""
        blobs, _, end = await self.fetched()
        by_place = {one.place: one.blob for one in blobs}
        assert list(by_place) == sorted(by_place)
        return [by_place.get(place) for place in range(count)] if end.code == mailbox.DONE else end.code

    async def open_log(self, handle: int, role: int, keys: LogKeys, /, **changes: Any) -> int:
        """Open a log; the code."""
        signature = logs.sign_open_log(keys.seed(role), role, self.hello.relay, self.hello.challenge, keys.log)
        opening = OpenLog(handle, role, keys.log, signature)._replace(**changes)
        await self.send(Frame(mailbox.OPEN_LOG, logs.encode_open_log(opening)))
        answered, code = mailbox.decode_opened((await self.answer(mailbox.OPENED)).body)
        assert answered == handle
        return code

    async def read(
        self, handle: int, after: int = 0, want: int = logs.MAX_WANTED, *, follow: bool = False
    ) -> tuple[list[Item], End]:
        """Read a log; what came of it, and the end of the answer."""
        await self.send(Frame(mailbox.READ, logs.encode_read(LogRead(self._next(), handle, want, follow, after))))
        end = mailbox.decode_end((await self.answer(mailbox.END)).body)
        return self.read_of(handle), end

    def read_of(self, handle: int) -> list[Item]:
        """What came of a log since this was last asked."""
        items = [item for opened, item in self.items if opened == handle]
        self.items = [(opened, item) for opened, item in self.items if opened != handle]
        return items

    async def next_items(self, count: int, handle: int = 0) -> list[bytes]:
        """The next blobs that are pushed of a log, so many."""
        while sum(opened == handle for opened, _ in self.items) < count:
            self._pushed(await self.frame())
        return [blob for _, blob in self.read_of(handle)]

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def ping(self) -> None:
        """Return when the relay has taken all that was sent before."""
        await self.send(Frame(mailbox.PING, b""))
        await self.answer(mailbox.PONG)

    async def has_ended(self) -> bool:
        """Wait for the end of the stream."""
        try:
            while True:
                await self.frame()
        except LinkLost:
            return True


def _names(blobs: Sequence[bytes], count: int) -> tuple[EnvelopeId, ...]:
    """The names of these blobs, filled up to so many."""
    return (*map(envelope_id, blobs), *[EnvelopeId(bytes(16))] * (count - len(blobs)))


async def inline(function: Callable[..., Any], *args: Any) -> Any:
    """A disk that takes no time, but lets others run."""
    await trio.lowlevel.checkpoint()
    return function(*args)


@dataclass
class Relay:
    """A mailbox that runs. `clock` is its wall clock, in ms; `uptime` goes with it, unless it is set, in seconds."""

    mailbox: MailboxServer
    store: MailboxStore
    nursery: trio.Nursery
    clock: list[int]
    uptime: list[float]
    peer: PeerKey = RELAY
    boxes: BoxStore | None = None
    logs: LogStore | None = None
    serving: dict[int, trio.Event] = field(default_factory=dict)

    def stream(self, room: int = 1 << 18) -> PipeStream:
        """A new stream to it, with room for so many bytes each way."""
        there, back = Pipe(room), Pipe(room)
        done = trio.Event()

        async def serve() -> None:
            theirs = PipeStream(PeerKey(b"\xcc" * 32), there, back, True)
            try:
                await self.mailbox.serve(theirs)
            finally:
                await theirs.close()
                done.set()

        self.nursery.start_soon(serve)
        ours = PipeStream(self.peer, back, there, False)
        self.serving[id(ours)] = done
        return ours

    async def client(self, room: int = 1 << 18) -> MailClient:
        return await MailClient(self.stream(room)).greeted()

    async def gone(self, client: MailClient) -> None:
        """Close a client's stream and wait until the relay has let go of it."""
        await client.stream.close()
        await self.serving[id(client.stream)].wait()


@asynccontextmanager
async def relay(
    folder: Path,
    limits: RelayLimits = LIMITS,
    quota: Quota | None = None,
    place_of: Callable[[Stream], str] = lambda stream: "",
    in_thread: Callable[..., Awaitable[Any]] = inline,
    account_of: Callable[[Stream], Account] = lambda stream: Account(),
    now: int = NOW,
    peer: PeerKey = RELAY,
    files: BoxQuota | None = FILES,
    logs_quota: Quota | None = LOGS,
    write_now: Callable[[Stream, bytes], bool] = lambda stream, data: False,
) -> AsyncIterator[Relay]:
    """A relay with its store in `folder`; the same folder is the same relay. files: None for no file boxes; logs_quota:
    for no logs.
    """
    clock = [now]
    uptime: list[float] = []
    store = MailboxStore.open(folder / "blobs.db", quota or replace(Quota(), least_free=0), now)
    boxes = None if files is None else BoxStore.open(folder / "files.db", files, now)
    stored = None if logs_quota is None else log_store(folder / "logs.db", now, logs_quota)
    server = MailboxServer(
        peer,
        store,
        limits,
        lambda: clock[0],
        prim.system_entropy().random,
        place_of,
        in_thread,
        account_of,
        lambda: uptime[0] if uptime else clock[0] / 1000,
        write_now=write_now,
        boxes=boxes,
        logs_store=stored,
    )
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield Relay(server, store, nursery, clock, uptime, peer, boxes, stored)
            nursery.cancel_scope.cancel()
    finally:
        for each in (store, boxes, stored):
            if each is not None:
                each.close()


def log_store(path: Path, now: int, quota: Quota = LOGS) -> LogStore:
    """A store of logs."""
    store = LogStore.open(path, quota, now)
    assert isinstance(store, LogStore)
    return store


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run with a clock that jumps when everybody waits."""

    async def bounded() -> None:
        with trio.fail_after(100_000):
            await main()

    trio.run(bounded, clock=MockClock(autojump_threshold=0))


async def opened(at: Relay, role: int, keys: Keys = Keys("bob"), room: int = 1 << 18) -> MailClient:
    """Return a client of the relay that has opened a queue as handle 0. room: bytes that its stream can hold."""
    client = await at.client(room)
    assert await client.open(0, role, keys) == mailbox.DONE
    return client


async def opened_log(at: Relay, role: int, keys: LogKeys | None = None, room: int = 1 << 18) -> MailClient:
    """Return a client of the relay that has opened a log as handle 0. room: bytes that its stream can hold."""
    client = await at.client(room)
    assert await client.open_log(0, role, keys or group_log()) == mailbox.DONE
    return client
