"""Yamux (its specification is hashicorp/yamux, spec.md) with libp2p's objects and our own loops.

libp2p's way of reading a frame takes two reads of five layers, three locks and a dozen formatted log lines, and keeps
the last frame of every connection until the next one comes; a write takes four locks, each a turn of the scheduler. A
relay has thousands of connections and pays for that with much of its time and memory (docs/decisions/0024).
What libp2p calls from outside is as it was: streams are its `YamuxStream`, with its dictionaries and events.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError, MuxedStreamReset
from libp2p.stream_muxer.yamux import yamux

from p2pchat.core.delivery import Route
from p2pchat.net.admission import budget
from p2pchat.net.admission.limits import WINDOW
from p2pchat.net.allowance import Allowance
from p2pchat.net.libp2p.secure_channel import WRITE_TIMEOUT, NoiseChannel, RawPipe, shielded
from p2pchat.net.transport.pipes import Meter

log = logging.getLogger("p2pchat.net")

PATIENT_TIMES = 10
"""How many times as long the answer to a ping may take while other bytes come."""
WINDOW_TIMEOUT = 5.0
"""Seconds a stream may wait for its other end to make room."""
_HEAD = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
_MAX_FRAME = 60_000 + 2 * _HEAD.size  # a joined write of ours, and so one Noise message
_SYN, _ACK, _FIN, _RST = yamux.FLAG_SYN, yamux.FLAG_ACK, yamux.FLAG_FIN, yamux.FLAG_RST


class Substream(yamux.YamuxStream):
    """libp2p's stream, whose window has one account: libp2p's negotiation reads as we do, by `GuardedYamux.take`.

    `recv_window`: bytes that the other end may still send. With what is buffered and what was read since the last
    update of the window, that is `window`, always: `WINDOW`, or more after `widen`. `unacknowledged`: the other end
    began it, and was not told yet that it has come.
    """

    unacknowledged = False
    window = WINDOW

    async def widen(self, window: int) -> None:
        """Let the other end send so many bytes, more than it may now, before we have read. Raises what a write does."""
        assert isinstance(self.muxed_conn, GuardedYamux)
        self.muxed_conn.wire.widen()
        more, self.window = window - self.window, window
        self.recv_window += more
        await self.send_window_update(more)

    async def read(self, n: int | None = -1) -> bytes:
        """Read 1 to `n` bytes, or whatever the window holds where no number is given. Raises what libp2p does."""
        conn = self.muxed_conn
        assert isinstance(conn, GuardedYamux)
        if n == 0:
            return b""
        return await conn.take(self, WINDOW if n is None or n < 0 else n)

    async def close(self) -> None:
        """Send a FIN, after the acknowledgement that is owed."""
        await acknowledge(self)
        await super().close()

    async def reset(self) -> None:
        """Send a RST, after the acknowledgement that is owed."""
        await acknowledge(self)
        await super().reset()


async def acknowledge(stream: yamux.YamuxStream) -> None:
    """Tell the other end by a frame of its own that its stream has come, unless it was told."""
    conn = stream.muxed_conn
    assert isinstance(conn, GuardedYamux)
    if acknowledgement := conn._acknowledgement(stream):
        await conn._write_frame(acknowledgement)


def give_up(conn: GuardedYamux) -> None:
    """Close a connection at once: it has gone silent."""
    conn.silent = True
    if conn.meter is not None:
        conn.meter.read()  # the socket will not tell any more
    conn.abandon()


async def wait_readable(stream: yamux.YamuxStream) -> None:
    """Wait until there is something to read on a stream. Raises MuxedStreamEOF or MuxedStreamReset."""
    conn = stream.muxed_conn
    assert isinstance(conn, GuardedYamux)
    await trio.lowlevel.checkpoint_if_cancelled()
    while not _readable(conn, stream):
        await acknowledge(stream)  # whoever began it may wait for that
        event = conn.stream_events[stream.stream_id]
        await event.wait()
        if conn.stream_events.get(stream.stream_id) is event:
            conn.stream_events[stream.stream_id] = trio.Event()


def _readable(conn: GuardedYamux, stream: yamux.YamuxStream) -> bool:
    """Whether there is something to read. Raises MuxedStreamEOF or MuxedStreamReset where nothing comes any more."""
    if conn.event_shutting_down.is_set():
        raise MuxedStreamEOF("Connection shut down")
    if stream.reset_received:
        raise MuxedStreamReset("Stream was reset")
    buffer = conn.stream_buffers.get(stream.stream_id)
    if buffer is None or (stream.recv_closed and not buffer):
        raise MuxedStreamEOF("Stream is closed for receiving")
    return bool(buffer)


def take_now(stream: yamux.YamuxStream, at_most: int) -> bytes:
    """Take up to `at_most` bytes out of what has come on a stream (see `wait_readable`)."""
    buffer = stream.conn.stream_buffers[stream.stream_id]
    data = bytes(buffer) if len(buffer) <= at_most else bytes(memoryview(buffer)[:at_most])
    del buffer[: len(data)]
    stream._pending_recv_release += len(data)
    return data


class GuardedYamux(yamux.Yamux):
    """Yamux that survives cancellation and holds peers to their limits.

    `serve`: is handed every stream that the other end begins, and sees to it that it is acknowledged, which the first
    `put` does; without it, streams are acknowledged at once and wait in libp2p's channel. `silent`: it was ended
    because nothing came any more. `short`: what may still go over a connection that carries one stream, and ends with
    it; None for all others.
    """

    serve: Callable[[Substream], None] | None = None
    run_task: Callable[[Callable[[], Awaitable[None]]], None] | None = None
    """Starts a task that lives no longer than the host."""

    def __init__(self, conn: NoiseChannel, peer_id: ID, max_unread: int) -> None:
        super().__init__(conn, peer_id, is_initiator=conn.is_initiator)
        self._sealed = conn
        self.account = conn.wire.account
        self._max_unread = max_unread
        self.carried = 0  # streams that carry a connection: each may fill its window besides
        self.patience = WRITE_TIMEOUT
        self._abandoned = False
        self._head = b""  # of a frame whose head has not come whole
        self._coming: tuple[int, int] = (0, 0)  # the stream and the flags of the frame whose body is coming
        self._left = 0  # bytes of that body that have not come
        self._room: dict[int, trio.Event] = {}  # streams whose writer waits for window
        self.silent = False
        self.meter: Meter | None = None  # of a connection that was dialled, not over a circuit
        self.short: Allowance | None = None
        self._unsent = b""  # of a write that could not wait: sealed, and to go before everything else

    @property
    def route(self) -> Route:
        """How the bytes travel: `DIRECT` or `CIRCUIT`."""
        return self._sealed.wire.route

    @property
    def wire(self) -> RawPipe:
        """The pipe that carries the connection."""
        return self._sealed.wire

    @property
    def alive(self) -> bool:
        """False as soon as one side has seen the connection end; a silent end takes longer to notice."""
        return not (self._abandoned or self.event_shutting_down.is_set())

    def abandon(self) -> None:
        """Close the socket under it at once; the read loop then does the rest."""
        self._abandoned = True
        self._sealed.wire.abandon()

    async def prove(self, seconds: float) -> None:
        """Ping the other end, and end the connection if neither the answer nor any other byte comes for so many
        seconds: the answer may wait behind something large, but not for ever. Raises what a write does.
        """
        if self._ping_event is None or self._ping_event.is_set():
            self._ping_event = trio.Event()
        answered = self._ping_event  # of several who ask at once, all are content with one answer
        began = trio.current_time()
        await self._write_frame(_HEAD.pack(0, yamux.TYPE_PING, _SYN, 0, 0))
        while self.alive and not answered.is_set():
            silent_at = min(max(began, self.wire.moved), began + (PATIENT_TIMES - 1) * seconds) + seconds
            if trio.current_time() >= silent_at:
                log.info("a connection went silent")
                give_up(self)
                return
            with trio.move_on_at(silent_at):
                await answered.wait()

    # --- in --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read until the connection ends. (libp2p's also asks for round trip times, which nothing here uses, and looks
        for streams that it forgot to forget.)"""
        self._established = True
        self.event_started.set()
        try:
            await self.handle_incoming()
        finally:
            with suppress(trio.ClosedResourceError):
                self.new_stream_send_channel.close()

    async def handle_incoming(self) -> None:
        """Take in what comes until the connection ends. Whatever a stranger sends may end no more than that."""
        try:
            # what was read is held by nobody while the next is waited for
            while self.alive and await self._take_in(await self._sealed.message()):
                pass
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends may end no more than its connection
            log.debug("a connection ended: %s", type(error).__name__)
        except BaseException:
            self.abandon()
            with trio.CancelScope(shield=True):  # waits for nothing: it is closed
                await self._cleanup_on_error()
            raise
        await self._cleanup_on_error()

    async def _take_in(self, data: bytes) -> bool:
        """Take in what one message holds: frames, or pieces of them. Returns False where it ends the connection."""
        at, account = 0, self.account
        while at < len(data):
            if self._left:
                piece = memoryview(data)[at : at + self._left]
                at += len(piece)
                self._body(piece)
                continue
            if account.due:
                await account.settle()
            head = self._head + data[at : at + _HEAD.size - len(self._head)]
            at += len(head) - len(self._head)
            if len(head) < _HEAD.size:
                self._head = head
                break
            self._head = b""
            if not await self._frame(*_HEAD.unpack(head)):
                return False
        return bool(data)

    async def _frame(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> bool:
        """Take in the head of a frame. Returns False where nothing after it can be understood or believed."""
        if version or kind > yamux.TYPE_GO_AWAY:
            return False
        self.account.charge(budget.FRAME)
        if kind == yamux.TYPE_PING:
            if flags & _SYN:
                self.account.charge(budget.PONG)
                await self._write_frame(_HEAD.pack(0, yamux.TYPE_PING, _ACK, 0, length))
            elif flags & _ACK:
                self._ping_event.set()
            return True
        if kind == yamux.TYPE_GO_AWAY:
            return False
        if flags & _SYN and not flags & _RST and not await self._opened(stream_id):
            return False
        if kind == yamux.TYPE_WINDOW_UPDATE:
            stream = self.streams.get(stream_id)
            if stream is not None:
                stream.send_window += length
                self._wake_writer(stream_id)
            self._ended(stream_id, flags)
            return True
        if length and not self._may_send(stream_id, length):
            log.warning("a peer sent more than it may; its connection is closed")
            return False
        self._coming, self._left = (stream_id, flags), length
        if not length:
            self._ended(stream_id, flags)
        return True

    def _may_send(self, stream_id: int, length: int) -> bool:
        """Whether so many bytes fit into what was granted to a stream, and to all of them together. One that is gone
        may have been granted a whole window before it went."""
        stream = self.streams.get(stream_id)
        unread = sum(map(len, self.stream_buffers.values()))
        granted = WINDOW if stream is None else stream.recv_window
        return length <= granted and unread + length <= self._max_unread + self.carried * WINDOW

    async def _opened(self, stream_id: int) -> bool:
        """Begin a stream of the other end's. Returns False where that is none of its numbers, or taken."""
        if stream_id == 0 or stream_id % 2 == self.next_stream_id % 2 or stream_id in self.streams:
            return False
        self.account.charge(budget.STREAM)  # settled before the next frame: what is sent with this one comes with it
        stream = Substream(stream_id, self, False)
        self._add(stream)
        stream.unacknowledged = True
        if self.serve is not None:
            self.serve(stream)
        else:
            await acknowledge(stream)
            await self.new_stream_send_channel.send(stream)
        return True

    def _acknowledgement(self, stream: yamux.YamuxStream) -> bytes:
        """Return the frame that has to go before whatever else is sent on a stream; b"" where it has gone."""
        if not isinstance(stream, Substream) or not stream.unacknowledged:
            return b""
        stream.unacknowledged = False
        return _HEAD.pack(0, yamux.TYPE_WINDOW_UPDATE, _ACK, stream.stream_id, 0)

    def _body(self, piece: memoryview) -> None:
        """Take in a piece of the body of the frame that is coming; what is for a stream that is gone is dropped."""
        stream_id, flags = self._coming
        self._left -= len(piece)
        buffer = self.stream_buffers.get(stream_id)
        if buffer is not None:
            buffer += piece
            self.streams[stream_id].recv_window -= len(piece)
            self.stream_events[stream_id].set()
            self.account.carried(len(piece))
        else:
            self.account.charge(len(piece) / budget.BYTES_A_UNIT)
        if not self._left:
            self._ended(stream_id, flags)

    def _ended(self, stream_id: int, flags: int) -> None:
        """Take in what a frame's flags say about the end of its stream."""
        stream = self.streams.get(stream_id)
        if stream is None or not flags & (_FIN | _RST):
            return
        if flags & _FIN:
            stream.recv_closed = True
            stream.closed = stream.closed or stream.send_closed
        if flags & _RST:
            stream.closed = stream.reset_received = True
        self.stream_events[stream_id].set()
        if stream.closed:
            self._finalize_stream_locked(stream, fully_closed=True)

    async def take(self, stream: yamux.YamuxStream, at_most: int) -> bytes:
        """Read 1 to `at_most` bytes; libp2p's errors. Only the waiting can be cancelled: what was taken is returned.

        Grants new window when half of it is used. (libp2p does so after every read: a frame each.)
        """
        await wait_readable(stream)
        data = take_now(stream, at_most)
        window = stream.window if isinstance(stream, Substream) else WINDOW
        if stream._pending_recv_release >= window // 2:
            granted, stream._pending_recv_release = stream._pending_recv_release, 0
            stream.recv_window += granted
            with shielded(WRITE_TIMEOUT), suppress(Exception):
                await stream.send_window_update(granted)
        return data

    # --- out -------------------------------------------------------------------------------------------------------

    async def open_stream(self) -> Substream:
        """Begin a stream. Raises MuxedStreamError where the connection ends."""
        await self.stream_backlog_semaphore.acquire()
        stream = Substream(self.next_stream_id, self, True)
        stream._owns_backlog_slot = True
        self.next_stream_id += 2
        try:
            if not self.alive:
                raise MuxedStreamError("Connection is shutting down")
            self._add(stream)
            await self._write_frame(_HEAD.pack(0, yamux.TYPE_WINDOW_UPDATE, _SYN, stream.stream_id, 0))
        except BaseException as error:
            self._finalize_stream_locked(stream, fully_closed=True)
            if isinstance(error, Exception):
                raise MuxedStreamError(f"no stream could be begun: {type(error).__name__}") from error
            raise
        return stream

    def _add(self, stream: Substream) -> None:
        self.streams[stream.stream_id] = stream
        self.stream_buffers[stream.stream_id] = bytearray()
        self.stream_events[stream.stream_id] = trio.Event()

    async def put(self, stream: yamux.YamuxStream, data: bytes) -> None:
        """Write all of `data` on a stream. Cancelled, part of it may be on its way.

        Raises ConnectionClosedError, and MuxedStreamError, also where the other end makes no room for `WINDOW_TIMEOUT`
        seconds.
        """
        sent = 0
        while sent < len(data):
            await self._until_window(stream, min(len(data) - sent, _MAX_FRAME - 2 * _HEAD.size))
            piece = data[sent : sent + min(stream.send_window, _MAX_FRAME - 2 * _HEAD.size)]
            stream.send_window -= len(piece)
            sent += len(piece)
            head = self._acknowledgement(stream) + _HEAD.pack(0, yamux.TYPE_DATA, 0, stream.stream_id, len(piece))
            await self._write_frame(head + piece)

    async def _until_window(self, stream: yamux.YamuxStream, size: int) -> None:
        """Wait until the window has room for so many bytes: a frame for each remnant of a window would cost both ends
        twice the work.
        """
        while True:
            if stream.send_closed or stream.closed or not self.alive:
                raise MuxedStreamError("Stream is closed for sending")
            if stream.send_window >= size:
                return
            with trio.move_on_after(WINDOW_TIMEOUT) as waiting:
                await self._room.setdefault(stream.stream_id, trio.Event()).wait()
            if waiting.cancelled_caught:
                raise MuxedStreamError("the other end makes no room")

    def _wake_writer(self, stream_id: int) -> None:
        waiting = self._room.pop(stream_id, None)
        if waiting is not None:
            waiting.set()

    async def _write_frame(self, data: bytes) -> None:
        """Write one whole frame. Cancelled only while it waits for its turn; after `patience` the connection ends."""
        try:
            self._write_lock.acquire_nowait()
        except trio.WouldBlock:
            await self._write_lock.acquire()
        try:
            written = False
            try:
                if self._unsent:
                    await self._send_the_rest()
                write, rest = self._begin(data)
                written = not rest
                if rest:
                    with shielded(self.patience):
                        await write(rest)
                        written = True
            finally:
                if not written:
                    self.abandon()  # half a frame may be out, so nothing more can be sent
            if not written:
                raise ConnectionClosedError("the peer takes nothing", transport="tcp")
        finally:
            self._write_lock.release()

    def _begin(self, data: bytes) -> tuple[Callable[[bytes], Awaitable[None]], bytes]:
        """Write what goes at once, as nearly everything does: a scope would cost more. Gives (what writes the rest, the
        rest)."""
        if not data:
            return self._sealed.wire.write, b""
        if isinstance(self._sealed, NoiseChannel):
            return self._sealed.wire.write, self._sealed.write_now(data)
        return self.secured_conn.write, data

    def goes_at_once(self, stream: yamux.YamuxStream, size: int) -> bool:
        """Whether `put` of `size` bytes waits for nothing but room in the socket, and that for `patience` seconds at
        most.
        """
        return size <= min(stream.send_window, _MAX_FRAME - 2 * _HEAD.size) and not self._write_lock.locked()

    def put_now(self, stream: yamux.YamuxStream, data: bytes) -> bool:
        """Write all of `data` on a stream without waiting, or nothing.

        Returns False where somebody else writes, where the window has no room for it, or where the stream is over:
        `put` waits, or says so. What the socket does not take at once is written before everything else, by a task of
        its own.
        """
        if self.run_task is None or self._unsent or not self.goes_at_once(stream, len(data)):
            return False
        if stream.send_closed or stream.closed or not self.alive:
            return False
        stream.send_window -= len(data)
        head = self._acknowledgement(stream) + _HEAD.pack(0, yamux.TYPE_DATA, 0, stream.stream_id, len(data))
        try:
            self._unsent = self._sealed.write_now(head + data)
        except ConnectionClosedError:
            self.abandon()
            return False
        if self._unsent:
            self.run_task(self._flush)
        return True

    async def _flush(self) -> None:
        """Write what `put_now` has left."""
        with suppress(ConnectionClosedError):
            await self._write_frame(b"")

    async def _send_the_rest(self) -> None:
        """Write what `put_now` has left, by whoever writes next. Raises ConnectionClosedError."""
        rest, self._unsent = self._unsent, b""
        with shielded(self.patience) as scope:
            await self._sealed.wire.write(rest)
        if scope.cancelled_caught:
            raise ConnectionClosedError("the peer takes nothing", transport="tcp")

    # --- the end of streams ----------------------------------------------------------------------------------------

    def _finalize_stream_locked(self, stream: yamux.YamuxStream, *, fully_closed: bool) -> None:
        """Also drop what nobody reads any more, which libp2p keeps for a minute, and wake who waits for room."""
        if fully_closed and (stream.reset_received or stream.send_closed):
            self.stream_buffers.pop(stream.stream_id, None)
        super()._finalize_stream_locked(stream, fully_closed=fully_closed)
        if fully_closed:
            self._wake_writer(stream.stream_id)

    async def forget(self, stream: yamux.YamuxStream) -> None:
        """Drop, after our FIN, what is buffered and whatever still comes, and wake a reader."""
        self._drop(stream)
        stream.recv_closed = stream.closed = True
        self._finalize_stream_locked(stream, fully_closed=True)
        await trio.lowlevel.checkpoint()

    def cut(self, stream: yamux.YamuxStream) -> None:
        """Wake whoever reads or writes a stream with an error, at once. `kill` has still to tell the peer."""
        stream.reset_received = stream.recv_closed = stream.send_closed = stream.closed = True
        self._drop(stream)

    def _drop(self, stream: yamux.YamuxStream) -> None:
        self.stream_buffers.pop(stream.stream_id, None)
        event = self.stream_events.get(stream.stream_id)
        if event is not None:
            event.set()
        self._wake_writer(stream.stream_id)

    async def kill(self, stream: yamux.YamuxStream) -> None:
        """End a stream both ways, whatever state it is in; never raises, never waits long."""
        known = stream.stream_id in self.streams
        self.cut(stream)
        with shielded(WRITE_TIMEOUT), suppress(Exception):
            if known:
                await acknowledge(stream)
                await self._write_frame(_HEAD.pack(0, yamux.TYPE_WINDOW_UPDATE, _RST, stream.stream_id, 0))
            await self._finalize_stream(stream, fully_closed=True)

    async def _cleanup_on_error(self) -> None:
        self.event_shutting_down.set()
        for stream_id in list(self._room):
            self._wake_writer(stream_id)
        await super()._cleanup_on_error()
