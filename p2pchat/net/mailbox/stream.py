"""One stream to a relay's mailbox (docs/protocol/mailbox.md): opened, read, written, and ended when the relay is
silent.

`fetch` and `deposit` say what travels on it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import NamedTuple, TypeVar

import trio

from p2pchat.core import mailbox
from p2pchat.core.delivery import Route
from p2pchat.core.frames import WRITE, Frame
from p2pchat.core.ids import PeerKey
from p2pchat.core.logs import Log, OpenLog, encode_open_log, sign_open_log
from p2pchat.core.mailbox import Hello, Open, Queue
from p2pchat.core.names import mailbox_name, relay_pass
from p2pchat.core.relays import Relay
from p2pchat.errors import CannotOpen, LinkLost, NotServed, P2PChatError, PeerError, Refused, Unreachable
from p2pchat.lib.times import HOUR_MS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import multiaddrs
from p2pchat.net.frames import FrameReader, write_frames
from p2pchat.net.multiaddrs import family_of, with_pass
from p2pchat.net.ports import Host, Routed, Stream

PING_AFTER_SECONDS = 60.0
FIRST_HOP_SECONDS = 5.0
"""Seconds in which a circuit has to lead to a relay of ours that may also be reached directly."""
SHORT_PING_AFTER_SECONDS = 150.0
"""The same over a short connection: just before a relay takes the silence for an end."""
USEFUL_AFTER_SECONDS = 30.0
"""Seconds after which one that ends because it is used up was useful, even if nothing came."""
SHORT_CHECK_SECONDS = 10.0
"""Seconds between two looks at what is left of a short connection that is quiet."""
LOST_AFTER_SECONDS = 25.0
"""Seconds of silence after which a relay that owes an answer is given up."""
STALLED_AFTER_SECONDS = 1.5
"""Seconds without a word from a relay that owes us an answer, after which the connection has to show that it works: a
relay may be slow, but its end of the connection answers at once."""
PROOF_TIMEOUT = 3.0
"""Seconds without a byte after which it does not."""
DOUBT_SECONDS = 4.0
"""The same, where the network has changed since the last word."""
STUCK_AFTER = 120.0
"""Seconds without the answer after which a relay is given up even if it sends other frames."""
CHECK_SECONDS = 5.0
"""Seconds between two checks of these limits."""
MAX_ADDRESSES = 4
"""Addresses of a relay that are tried."""
MAX_QUEUED = 8192
"""Frames that may wait to be written. Our own requests stay far below; the bound is for answers that a relay
provokes."""
_HEAD_BYTES = 5  # of a frame
_PUSH_BYTES = 4_200  # of the smallest blob, sealed for the way
_PACKET_BYTES = 1_200  # of one packet, as far as one can know
_SPARE_PACKETS = 2  # for the short way: what is said there, and acknowledges the other
MAX_PINGS = 64
"""Pings that a relay may send at once, and then one a second."""

Opened = TypeVar("Opened")


def addresses_to_dial(packed: Sequence[bytes], *, chosen: bool) -> list[str]:
    """Return the addresses at which a relay is tried directly. chosen: whether the user has named them."""
    readable = multiaddrs.unpack_known(packed, circuits=False)
    return multiaddrs.with_websockets(readable[:MAX_ADDRESSES], chosen=chosen)


async def open_mail_stream(
    host: Host,
    relay: PeerKey,
    addresses: Sequence[str],
    token: bytes,
    *,
    only: Route | None = None,
    chosen: bool = True,
    lasting: bool = False,
) -> MailStream:
    """Open a stream and receive the relay's hello. only, chosen, lasting: as in `Host.open`.

    Raises Unreachable or LinkLost if it does not answer, CannotOpen for an invalid hello, and Refused if it does not
    accept the token, or wants one and there is none (b"").
    """
    opened = with_pass(addresses, relay_pass(relay, token))
    try:
        stream = await host.open(
            relay, opened, mailbox_name(relay, token), only=only, chosen=chosen, relay=True, lasting=lasting
        )
    except NotServed:
        raise Refused("it does not take our token" if token else "it serves only those who have its token") from None
    try:
        reader = FrameReader(stream, mailbox.FROM_RELAY)
        frame = await reader.read_one()
        if frame.type != mailbox.HELLO:
            raise CannotOpen
        hello = mailbox.decode_hello(frame.body)
        if hello.relay != relay:
            raise CannotOpen
    except BaseException:
        await stream.close()
        raise
    return MailStream(stream, reader, hello)


class MailRoute(NamedTuple):
    """How a relay may be reached, for one way of using it. addresses: its own. circuits: through relays of our own.
    entries: through relays that the user did not choose. chosen, hidden: as in `core.relays.Relay`. hops: 2 if only a
    circuit may lead there.
    """

    addresses: Sequence[str]
    token: bytes
    circuits: Sequence[str]
    entries: Sequence[str]
    chosen: bool = True
    hidden: bool = False
    hops: int = 1


async def open_as_mail(host: Host, relay: PeerKey, way: MailRoute, *, lasting: bool = False) -> MailStream:
    """Open a stream: by a circuit where that is required; to a relay of ours with mail of hidden contacts by a circuit
    if one leads there soon; else directly. Raises as `open_mail_stream` does.
    """
    by_circuit = partial(open_by_circuit, host, relay, way.circuits, way.entries, way.token, lasting=lasting)
    if way.hops > 1 or (way.hidden and not way.chosen):
        return await by_circuit()
    if way.hidden:
        with suppress(LinkLost, Unreachable), trio.move_on_after(FIRST_HOP_SECONDS):
            return await by_circuit()
    return await open_mail_stream(host, relay, way.addresses, way.token, chosen=way.chosen, lasting=lasting)


async def open_by_circuit(
    host: Host,
    relay: PeerKey,
    circuits: Sequence[str],
    entries: Sequence[str],
    token: bytes,
    *,
    lasting: bool = False,
) -> MailStream:
    """Open a stream as `open_mail_stream` does, by a circuit (`first_circuit`)."""

    async def opened(ways: Sequence[str], chosen: bool) -> MailStream:
        return await open_mail_stream(host, relay, ways, token, only=Route.CIRCUIT, chosen=chosen, lasting=lasting)

    return await first_circuit(circuits, entries, opened)


async def first_circuit(
    circuits: Sequence[str], entries: Sequence[str], opened: Callable[[Sequence[str], bool], Awaitable[Opened]]
) -> Opened:
    """Open something by a circuit: through relays of our own (`circuits`) or, if none of these leads there, through
    others that we have chosen ourselves (`entries`). opened: called with circuits, and whether they are through relays
    of our own. Raises what it raises, and Unreachable where there is no circuit.
    """
    failure: PeerError = Unreachable("none of your relays leads there: add one that its operator has named")
    for ways, chosen in ((circuits, True), (entries, False)):
        if ways:
            try:
                return await opened(ways, chosen)
            except (LinkLost, Unreachable) as error:
                failure = error
    raise failure


class StreamWays(NamedTuple):
    """What it takes to have a stream of one's own to a relay, beside that of its mail.

    with_host: the host from which a relay is reached, for as long as it is used. connect: opens a stream there. usable:
    whether there is a way to a relay: there is none to this node. nursery: where tasks run. clock: ms since the epoch.
    """

    with_host: Callable[[Relay], AbstractAsyncContextManager[Host]]
    connect: Callable[[Host, Relay], Awaitable[MailStream]]
    usable: Callable[[Relay], bool]
    nursery: trio.Nursery
    clock: Callable[[], int]
    random: Callable[[int], bytes]


class SaidHour:
    """The time of a relay's clock: `hour` since the epoch, or 0 if it was not sent. It is only a hint for people. Any
    thread may use it.
    """

    def __init__(self, hour: int = 0) -> None:
        self._hour = hour
        self._seconds = trio.lowlevel.current_clock().current_time
        self._at = self._seconds()

    def ahead(self, now: int) -> int | None:
        """Return by how many hours the relay's clock is ahead of ours, which is at `now` (ms); None if the relay did
        not say.
        """
        since = int((self._seconds() - self._at) * 1000)
        return self._hour + (since - now) // HOUR_MS if self._hour else None


class MailStream:
    """A mailbox stream after the hello.

    opens: the number of queues that were opened on it. silent: whether it was given up because the relay was silent.
    stalled: whether the connection, which had brought something, does not answer. careful: whether to ask for little
    and write little at once, since the one before has stalled. short: whether its connection is a short one; ending:
    whether no more is asked for, since what is left of that is too little. useful: whether a blob came or went.
    answer_ms: how long the relay took for its first answer, and later for its last pong.
    """

    def __init__(self, stream: Stream, reader: FrameReader, hello: Hello) -> None:
        self.hello = hello
        self.opens = 0
        self.silent = self.stalled = self.careful = self.ending = self.useful = False
        self._allowance = stream.short
        self.answer_ms: int | None = None
        self._stream = stream
        self._reader = reader
        self._scope = trio.CancelScope()
        self._failure: P2PChatError | None = None
        self._queue: list[Frame] = []
        self._wake = Wakeup()
        self._asked = Wakeup()
        self._number = 0
        self._unanswered: set[int] = set()
        self._owed: dict[int, float] = {}  # by kind of answer: since when it has been due
        self._began = self._heard = trio.current_time()
        self._doubted = self._proven = -math.inf
        self._moved = False
        self._full = False
        self._pings = 0

    # --- what is said

    def post(self, kind: int, body: bytes) -> None:
        """Write a frame of type `kind` after what already waits; if too much waits, end the stream."""
        if len(self._queue) >= MAX_QUEUED:
            self.end(LinkLost("it takes nothing"))
            return
        self._queue.append(Frame(kind, body))
        self._wake.set()

    def ask(self, kind: int, body: bytes) -> None:
        """Write a frame of type `kind` that the relay has to answer; call `answered` when it has."""
        self._owe(kind)
        self.post(kind, body)

    def _owe(self, kind: int) -> None:
        self._owed.setdefault(kind, trio.current_time())
        self._asked.set()

    def answered(self, kind: int, *, left: bool) -> None:
        """Note an answer to a frame of type `kind`; `left`: whether more answers are due."""
        if kind in self._owed and (self.answer_ms is None or kind == mailbox.PING):
            self.answer_ms = round(1000 * (trio.current_time() - self._owed[kind]))
        if left:
            self._owed[kind] = trio.current_time()
        else:
            self._owed.pop(kind, None)
            self.useful = self.useful or kind in (mailbox.PUT, mailbox.DELETE)
            self._end_if_settled()

    @property
    def short(self) -> bool:
        """Whether its connection is a short one."""
        return self._allowance is not None

    @property
    def family(self) -> str:
        """`IPv4` or `IPv6`, by which its connection goes; "" over a circuit."""
        return family_of(self._stream.place) if isinstance(self._stream, Routed) else ""

    def takes(self, size: int) -> bool:
        """Return whether something may be asked for that has `size` bytes one way and a short answer. If not, the
        stream ends as soon as all answers have come, for another one on a new connection; nothing is lost by that.
        """
        if not self.ending and self._allowance is not None:
            waiting = sum(_HEAD_BYTES + len(frame.body) for frame in self._queue)
            size += waiting
            if not self._allowance.fits(size, _SPARE_PACKETS + size // _PACKET_BYTES):
                self.wind_up()
        return not self.ending

    def wind_up(self) -> None:
        """Ask for nothing more, and end once all answers have come; where more has come than had room, only those to
        deposits are waited for.
        """
        self.ending = True
        if self._allowance is not None and not self._allowance.fits(0, 0) and mailbox.PUT not in self._owed:
            self.end()
        self._end_if_settled()

    def _end_if_settled(self) -> None:
        """End where nothing is due any more; with an error, so that one does not begin again at once, where the
        handshakes were all that had room.
        """
        if self.ending and not self._owed and not self._queue:
            good = self.useful or trio.current_time() >= self._began + USEFUL_AFTER_SECONDS
            self.end(None if good else LinkLost("too little gets through"))

    def doubt(self) -> None:
        """Have the relay show within `DOUBT_SECONDS` that it is still there: the network has changed."""
        self._doubted = trio.current_time()
        if mailbox.PING not in self._owed:
            self.ask(mailbox.PING, b"")

    def number(self) -> int:
        """Return the next number for a put, a fetch or a delete, 32 bits, beginning again after the largest."""
        self._number = (self._number + 1) & 0xFFFF_FFFF
        return self._number

    @property
    def room(self) -> int:
        """The number of queues that can still be opened on this stream."""
        return mailbox.MAX_HANDLES - self.opens

    def open(self, role: int, seed: bytes, queue: Queue | Log) -> int:
        """Open a queue or a log with the private key for this role, and return its handle. There must be room."""
        handle = self.opens
        self.opens += 1
        self._unanswered.add(handle)
        self._owe(mailbox.OPEN)
        if isinstance(queue, Log):
            signature = sign_open_log(seed, role, self.hello.relay, self.hello.challenge, queue)
            self.post(mailbox.OPEN_LOG, encode_open_log(OpenLog(handle, role, queue, signature)))
        else:
            opening = Open(handle, role, queue, mailbox.sign_open(seed, role, self.hello, queue))
            self.post(mailbox.OPEN, mailbox.encode_open(opening))
        return handle

    def opened(self, handle: int) -> None:
        """Note the answer to an `open`. Raises CannotOpen if none is due for this handle."""
        if handle not in self._unanswered:
            raise CannotOpen
        self._unanswered.remove(handle)
        self.answered(mailbox.OPEN, left=bool(self._unanswered))

    async def exchange(self, kind: int, body: bytes, answer: int) -> bytes:
        """Send one frame, on a stream that is used for nothing else, and return the body of the answer, of type
        `answer`. Raises LinkLost, or CannotOpen for another frame.
        """
        await write_frames(self._stream, [Frame(kind, body)])
        while True:
            frame = await self._reader.read_one()
            if frame.type == answer:
                return frame.body
            if frame.type not in (mailbox.PING, mailbox.PONG):
                raise CannotOpen

    # --- its life

    async def run(
        self,
        take: Callable[[Frame], None],
        room: Callable[[], Awaitable[None]],
        tasks: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        """Run the stream until it ends. Return if `end` was called without an error, else raise the reason.

        take: handles a frame of the relay; it may raise PeerError or Refused. room: waits while nothing should be read.
        tasks: run concurrently; each may raise the same.
        """
        with self._scope:
            async with trio.open_nursery() as nursery:
                for task in (partial(self._read, take, room), self._write, self._watch, *tasks):
                    nursery.start_soon(self._until_failure, task)
        if self._failure is not None:
            raise self._failure

    def end(self, failure: P2PChatError | None = None) -> None:
        """End the stream, because of an error or because we want to (None). The first of several errors counts."""
        self._failure = self._failure or failure
        self._scope.cancel()

    async def close(self) -> None:
        """Close both directions of the stream."""
        await self._stream.close()

    async def _until_failure(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except (PeerError, Refused) as error:
            self.end(error)

    async def _read(self, take: Callable[[Frame], None], room: Callable[[], Awaitable[None]]) -> None:
        while True:
            self._full = True
            await room()
            self._full = False
            frames = await self._reader.read_some()
            self._heard, self._moved, self.stalled = trio.current_time(), True, False
            for frame in frames:
                if frame.type == mailbox.PING:
                    self._pinged()
                elif frame.type == mailbox.PONG:
                    if mailbox.PING not in self._owed:
                        raise CannotOpen
                    self.answered(mailbox.PING, left=False)
                else:
                    take(frame)
            self.takes(_PUSH_BYTES)  # the relay may push one more at any time

    def _pinged(self) -> None:
        self._pings += 1
        if self._pings > MAX_PINGS + trio.current_time() - self._began:
            raise CannotOpen
        self.post(mailbox.PONG, b"")

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            frames, self._queue = self._queue, []
            await write_frames(self._stream, frames, 0 if self.careful and not self.short else WRITE)
            self._end_if_settled()

    async def _watch(self) -> None:
        """End the stream if the relay is silent for too long, because a cut cable gives no notice. Silence does not
        count while we do not read. If no answer is owed, wake for the next ping alone.
        """
        quiet = SHORT_PING_AFTER_SECONDS if self.short else PING_AFTER_SECONDS
        while True:
            if self._owed:
                soon = self._proof_due() - trio.current_time()
                await trio.sleep(min(CHECK_SECONDS, max(STALLED_AFTER_SECONDS, soon)))
            else:
                look = SHORT_CHECK_SECONDS if self.short else quiet
                with trio.move_on_at(min(self._heard + quiet, trio.current_time() + look)):
                    await self._asked.wait()
            self.takes(_PUSH_BYTES)  # what keeps a connection alive takes packets too
            self._asked.clear()
            now = trio.current_time()
            if self._full:
                self._owed = dict.fromkeys(self._owed, now)
            elif self._owed:
                longest = min(self._owed.values())
                patience = DOUBT_SECONDS if self._doubted > self._heard else LOST_AFTER_SECONDS
                if now >= max(self._heard, longest, self._doubted) + patience or now >= longest + STUCK_AFTER:
                    self.silent = True
                    raise LinkLost("it went silent")
                if now >= self._proof_due():
                    self.stalled = self._moved
                    await self._stream.prove(PROOF_TIMEOUT)
                    self._proven = trio.current_time()
            if now >= self._heard + quiet and mailbox.PING not in self._owed:
                self.ask(mailbox.PING, b"")

    def _proof_due(self) -> float:
        """Return when the connection has to show that it works, if the relay says nothing until then."""
        silent_since = max(self._heard, min(self._owed.values(), default=self._heard))
        return max(silent_since + STALLED_AFTER_SECONDS, self._proven + CHECK_SECONDS)
