"""What stands between py-libp2p 0.8.1 and strangers: each piece contains one of its faults.

| fault as shipped                                                         | contained by                        |
|--------------------------------------------------------------------------|-------------------------------------|
| a stream handler raises: the whole node ends                              | StreamGuard                         |
| any number of inbound streams per peer                                    | StreamGuard                         |
| a cancelled write leaves half a frame: the connection and all its streams end | GuardedYamux._write_frame       |
| a write to a peer that takes nothing waits for ever                       | the same, after WRITE_PATIENCE      |
| a peer that ignores its window fills our memory                           | GuardedYamux._read_data_body        |
| a read cancelled while it grants new window loses what it had read        | GuardedYamux.take                   |
| a peer that is gone without a word is asked and never missed              | GuardedYamux.watch                  |
| windows grow to 16 MiB a stream before anything was read                  | limit_windows                       |
| a stream closed by us keeps taking data until the peer closes it too      | GuardedYamux.forget                 |
| a stranger announces a message of any length: that much memory            | Wire.read, Brief                    |
| a message that comes in over 100 pieces ends the connection               | Wire.read                           |
| an identity key of half a million bits: seconds of CPU                    | only_ed25519                        |
| inbound connections take a slot until the node ends                       | host: its own accept loop, Slots    |
| the end of one circuit ends others; a relay serves anybody without limit  | hop: nothing of libp2p's relay      |

Each has a test in tests/net that fails without it, so that a newer libp2p can retire it.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import trio
from libp2p.abc import IMuxedConn, INetStream, IRawConnection, ISecureConn
from libp2p.crypto import serialization
from libp2p.crypto.keys import KeyType
from libp2p.custom_types import TProtocol, TSecurityOptions
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import MultiselectClientError, MultiselectError
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.exceptions import MuxerUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader

from p2pchat.errors import LinkLost
from p2pchat.net.limits import WINDOW as WINDOW
from p2pchat.net.pipes import Pipe

log = logging.getLogger("p2pchat.net")

WRITE_PATIENCE = 10.0  # seconds one frame may take to leave this machine before the connection counts as dead
PING_AFTER = 10.0  # seconds between two questions to the other end of a connection that is watched
PONG_PATIENCE = 15.0  # seconds it may take to answer
MAX_READ = 2**16  # the largest piece any layer above the socket has a reason to ask for: a Noise message
MAX_NEGOTIATION = 1024  # bytes of one multistream-select message; ours are below 40


def shielded(seconds: float) -> trio.CancelScope:
    """A scope that no cancellation from outside reaches, and that ends by itself after `seconds`."""
    scope = trio.CancelScope(deadline=trio.current_time() + seconds)
    scope.shield = True
    return scope


# --- bytes --------------------------------------------------------------------------------------------------------


class Wire(ReadWriteCloser):
    """One pipe, as libp2p wants it: `read(n)` gives exactly n bytes, or fewer only at the end.

    place: where it comes from, as far as limits go.
    """

    def __init__(self, pipe: Pipe, place: str = "") -> None:
        self._pipe = pipe
        self.place = place
        self._buffer = bytearray()
        self._writing = trio.Lock()

    @property
    def route(self) -> str:
        return self._pipe.route

    async def read(self, n: int | None = None) -> bytes:
        """Every caller in libp2p reads a length it knows. One above MAX_READ was announced by a peer who means harm."""
        if n is None or not 0 <= n <= MAX_READ:
            raise ConnectionClosedError("a peer announced too much", transport="tcp")
        try:
            while len(self._buffer) < n:
                some = await self._pipe.receive()
                if not some:
                    break
                self._buffer += some
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke", transport="tcp") from error
        piece = bytes(self._buffer[:n])
        del self._buffer[:n]
        return piece

    async def write(self, data: bytes) -> None:
        try:
            async with self._writing:
                await self._pipe.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke", transport="tcp") from error

    async def close(self) -> None:
        await self._pipe.close()

    def abandon(self) -> None:
        """Close it now, without waiting: whoever reads or writes is woken with an error."""
        self._pipe.abandon()

    def get_remote_address(self) -> tuple[str, int] | None:
        """libp2p wants to know for its logs only."""
        return None


class Brief(ReadWriteCloser):
    """A view of a stream for protocol negotiation, which has no size limit of its own."""

    def __init__(self, inner: ReadWriteCloser | INetStream | ISecureConn) -> None:
        self._inner = inner

    async def read(self, n: int | None = None) -> bytes:
        if n is None or n > MAX_NEGOTIATION:
            raise ConnectionClosedError("a peer announced too much", transport="tcp")
        return await self._inner.read(n)

    async def write(self, data: bytes) -> None:
        await self._inner.write(data)

    async def close(self) -> None:
        await self._inner.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._inner.get_remote_address()


# --- the muxer ----------------------------------------------------------------------------------------------------


class GuardedYamux(yamux.Yamux):
    """Yamux that survives cancellation and holds peers to their limits."""

    def __init__(self, conn: ISecureConn, peer_id: ID, wire: Wire, max_unread: int) -> None:
        super().__init__(conn, peer_id, is_initiator=conn.is_initiator)
        self._wire = wire
        self._max_unread = max_unread
        self.carried = 0  # streams that carry a connection: each may fill its window besides
        self.patience = WRITE_PATIENCE
        self._abandoned = False

    @property
    def route(self) -> str:
        return self._wire.route

    @property
    def place(self) -> str:
        """Where the connection comes from, as far as limits go."""
        return self._wire.place

    @property
    def alive(self) -> bool:
        """False as soon as one side has seen the connection end; a silent end takes longer to notice."""
        return not (self._abandoned or self.event_shutting_down.is_set())

    async def watch(self) -> None:
        """Wait for the end of the connection. One whose other end answers nothing for `PING_AFTER` + `PONG_PATIENCE`
        seconds is ended. For one task at a time.
        """
        ping = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_PING, yamux.FLAG_SYN, 0, 0)
        with suppress(Exception):  # of a write: it is over
            while self.alive:
                self._ping_event = trio.Event()
                await self._write_frame(ping)
                with trio.move_on_after(PONG_PATIENCE) as waiting:
                    await self._ping_event.wait()
                if waiting.cancelled_caught:
                    log.info("a connection went silent")
                    self.abandon()
                    break
                with trio.move_on_after(PING_AFTER):
                    await self.event_closed.wait()
        await self.event_closed.wait()

    async def _measure_rtt_loop(self) -> None:
        """libp2p asks every 30 s how long the way is, which nothing here needs, and misses no answer."""

    async def _write_frame(self, data: bytes) -> None:
        """Write one whole frame. Cancelled only while it waits for its turn; after `patience` the connection ends."""
        async with self._write_lock:
            written = False
            try:
                with shielded(self.patience):
                    await self.secured_conn.write(data)
                    written = True
            finally:
                if not written:
                    self.abandon()  # half a frame may be out, so nothing more can be sent
            if not written:
                raise ConnectionClosedError("the peer takes nothing", transport="tcp")

    async def _read_data_body(self, length: int) -> bytes:
        unread = sum(len(buffer) for buffer in self.stream_buffers.values())
        if unread + length > self._max_unread + self.carried * WINDOW:
            log.warning("a peer sent more than it may; its connection is closed")
            raise trio.TooSlowError  # what makes the read loop of Yamux end the connection
        return await super()._read_data_body(length)

    def _sweep_stale_streams(self, now: float | None = None) -> int:
        """Also drop the events that a blocked reader puts back after its stream has gone."""
        for stream_id in self.stream_events.keys() - self.streams.keys():
            del self.stream_events[stream_id]
        return super()._sweep_stale_streams(now)

    async def take(self, stream: yamux.YamuxStream, at_most: int) -> bytes:
        """Read 1 to `at_most` bytes; libp2p's errors. Only the waiting can be cancelled: what was taken is returned.

        Grants new window when half of it is used. (libp2p does so after every read: a frame each.)
        """
        data = await self.read_stream(stream.stream_id, at_most)
        stream._pending_recv_release += len(data)
        if stream._pending_recv_release >= WINDOW // 2:
            granted, stream._pending_recv_release = stream._pending_recv_release, 0
            stream.recv_window += granted
            with shielded(WRITE_PATIENCE), suppress(Exception):
                await stream.send_window_update(granted)
        return data

    async def forget(self, stream: yamux.YamuxStream) -> None:
        """After our FIN: drop what is buffered and whatever still comes, and wake a reader."""
        async with self.streams_lock:
            stream.recv_closed = stream.closed = True
            self.stream_buffers.pop(stream.stream_id, None)
            event = self.stream_events.get(stream.stream_id)
            if event is not None:
                event.set()
            self._finalize_stream_locked(stream, fully_closed=True)

    def cut(self, stream: yamux.YamuxStream) -> None:
        """Wake whoever reads or writes a stream with an error, at once. `kill` has still to tell the peer."""
        stream.reset_received = stream.recv_closed = stream.send_closed = stream.closed = True
        self.stream_buffers.pop(stream.stream_id, None)
        event = self.stream_events.get(stream.stream_id)
        if event is not None:
            event.set()

    async def kill(self, stream: yamux.YamuxStream) -> None:
        """End a stream both ways, whatever state it is in; never raises, never waits long."""
        known = stream.stream_id in self.streams
        self.cut(stream)
        with shielded(WRITE_PATIENCE), suppress(Exception):
            if known:
                reset = (yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_RST, stream.stream_id, 0)
                await self._write_frame(struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, *reset))
            await self._finalize_stream(stream, fully_closed=True)

    def abandon(self) -> None:
        """Close the socket under it at once; the read loop then does the rest."""
        self._abandoned = True
        self._wire.abandon()


class Upgrader(TransportUpgrader):
    """Noise, then GuardedYamux, and nothing else whatever the peer proposes.

    (libp2p's own upgrader builds a plain Yamux whatever class it is given.)
    """

    def __init__(self, security: TSecurityOptions, max_unread: int) -> None:
        super().__init__(security, {TProtocol(yamux.PROTOCOL_ID): GuardedYamux})
        self._max_unread = max_unread

    async def upgrade_security(
        self, raw_conn: IRawConnection, is_initiator: bool, peer_id: ID | None = None
    ) -> ISecureConn:
        conn = await super().upgrade_security(raw_conn, is_initiator, peer_id)
        assert isinstance(raw_conn, RawConnection)
        assert isinstance(raw_conn.stream, Wire)
        vars(conn)["wire"] = raw_conn.stream
        return conn

    async def upgrade_connection(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        selector = self.muxer_multistream._selector
        try:
            await selector.select(Brief(conn), conn.is_initiator, self.muxer_multistream.negotiate_timeout)
        except (MultiselectError, MultiselectClientError) as error:
            raise MuxerUpgradeFailure("no common muxer") from error
        return GuardedYamux(conn, peer_id, vars(conn)["wire"], self._max_unread)


# --- limits -------------------------------------------------------------------------------------------------------


class Slots:
    """Counts what is open, in all and per place; a slot taken is given back by whoever took it.

    more: how many a place may have besides `each`.
    """

    def __init__(self, total: int, each: int, more: Mapping[str, int] | None = None) -> None:
        self._total = total
        self._each = each
        self._more = {} if more is None else more
        self._open: Counter[str] = Counter()
        self.taken = 0

    def take(self, place: str) -> bool:
        if self.taken >= self._total or self._open[place] >= self._each + self._more.get(place, 0):
            return False
        self._open[place] += 1
        self.taken += 1
        return True

    def give(self, place: str) -> None:
        self._open[place] -= 1
        self.taken -= 1
        if not self._open[place]:
            del self._open[place]


class StreamGuard:
    """Every inbound stream passes here: a cap per peer, and what a handler raises ends no more than its stream."""

    def __init__(self, serve: Callable[[INetStream], Awaitable[None]], slots: Slots) -> None:
        self._serve = serve
        self._slots = slots

    async def __call__(self, stream: INetStream) -> None:
        place = str(stream.muxed_conn.peer_id)
        if not self._slots.take(place):
            await reset(stream)
            return
        try:
            await self._serve(stream)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may only end this stream
            log.info("a stream handler failed: %s", type(error).__name__)
            await reset(stream)
        except BaseExceptionGroup as group:
            # A failure that met a cancellation: keep the cancellation, drop the failure.
            _, rest = group.split(Exception)
            await reset(stream)
            if rest is not None:
                raise rest from None
        finally:
            self._slots.give(place)


async def reset(stream: INetStream) -> None:
    """End a stream both ways at once; never raises, never waits long."""
    with shielded(WRITE_PATIENCE), suppress(Exception):
        await stream.reset()


def lost(error: BaseException) -> LinkLost:
    """Ours for theirs."""
    return LinkLost(f"the link ended ({type(error).__name__})")


def ended_cleanly(muxed: GuardedYamux, error: MuxedStreamError) -> bool:
    """Whether "end of stream" was the peer's FIN. libp2p says EOF also where the whole connection broke."""
    return isinstance(error, EOFError) and muxed.alive


# --- settings that libp2p has only as module constants ------------------------------------------------------------


def only_ed25519() -> None:
    """Refuse every other kind of identity key in the Noise handshake, before it costs anything.

    A handshake has room for an RSA key of half a million bits; checking one signature with it takes seconds. Our peers
    are Ed25519 keys by definition.
    """
    for kind in (KeyType.RSA, KeyType.Secp256k1):
        serialization.key_type_to_public_key_deserializer.pop(kind.value, None)


def limit_windows() -> None:
    """Keep windows at WINDOW: the many small reads of a negotiation alone make libp2p grow them to 16 MiB a stream.
    The same constant bounds a single frame."""
    yamux.MAX_WINDOW_SIZE = WINDOW
