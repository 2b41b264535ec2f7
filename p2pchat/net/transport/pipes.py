"""The transports that a connection runs on: a TCP socket, a WebSocket, or a circuit. `libp2p.secure_channel` adapts
them to libp2p.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import trio

from p2pchat.core.delivery import Route
from p2pchat.net.allowance import Traffic

if TYPE_CHECKING:
    from p2pchat.net.admission.budget import Account

CHUNK = 2**16
WIDE_CHUNK = 2**18
"""Bytes that are read at once of a connection that brings files."""
_TCP_INFO = struct.Struct("@2xB97xI16xQQII")
"""tcpi_retransmits, tcpi_total_retrans, tcpi_bytes_acked, tcpi_bytes_received, tcpi_segs_out, tcpi_segs_in"""
_STUCK_AFTER = 2
"""Time-outs of the kernel in a row, each twice as long as the one before, after which nothing gets through."""

# A cut cable gives no notice: the kernel sends a probe after 30 s of silence, and gives up 30 s later.
_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, getattr(trio.socket, "TCP_NOTSENT_LOWAT", 0), 2**14),  # as trio's streams have it
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0), 30),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", 0), 10),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", 0), 3),
)
_NO_FILE = -1


class Pipe(Protocol):
    """A byte stream in two directions. One task at a time receives, and one sends. A broken pipe raises trio's
    BrokenResourceError or ClosedResourceError.
    """

    @property
    def route(self) -> Route:
        """How the bytes travel: `DIRECT` or `CIRCUIT`."""
        ...

    async def receive(self) -> bytes:
        """Wait for 1 to `CHUNK` bytes, `WIDE_CHUNK` after `widen`; b"" at the end."""
        ...

    def widen(self) -> None:
        """Receive more at once from now on, where that spares turns of the loop."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        ...

    async def close(self) -> None:
        """Send a close frame if the transport has one, then close the connection."""
        ...

    def abandon(self) -> None:
        """Close the pipe at once: a task that receives or sends gets an error."""
        ...

    def bill(self, account: Account) -> None:
        """Charge the cost of decoding incoming data to `account`, if it is more than one read of a socket."""
        ...


class TcpPipe:
    """A TCP connection. sock: connected and non-blocking; closed with this object. head: bytes already received."""

    route = Route.DIRECT

    def __init__(self, sock: socket.socket | trio.socket.SocketType, head: bytes = b"") -> None:
        self._socket = sock
        self._file = sock.fileno()
        self._buffer = _buffer()
        self._chunk = CHUNK
        self._head = head

    async def receive(self, at_most: int | None = None) -> bytes:
        """Wait for 1 to `at_most` bytes; b"" at the end. Raises BrokenResourceError."""
        if self._head:
            head, self._head = self._head, b""
            return head
        # trio would allocate the whole chunk for each attempt, of which a relay makes thousands a second
        buffer = self._buffer
        space = [memoryview(buffer)[: at_most or self._chunk]]
        waited = False
        while True:
            try:
                size = os.readv(self._file, space)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._file)
                waited = True
            except OSError as error:
                raise trio.BrokenResourceError from error
            else:
                data = bytes(memoryview(buffer)[:size])
                if not waited:  # let other tasks run
                    await trio.lowlevel.cancel_shielded_checkpoint()
                return data

    def widen(self) -> None:
        """Receive `WIDE_CHUNK` at once from now on."""
        self._chunk = WIDE_CHUNK

    async def send(self, data: bytes) -> None:
        """Send all of `data`. Raises BrokenResourceError."""
        # trio would take a turn of the loop for each write, even if the socket takes all of it at once
        rest = memoryview(data)
        while rest := rest[self.send_now(rest) :]:
            await trio.lowlevel.wait_writable(self._file)

    def send_now(self, data: bytes | memoryview) -> int:
        """Send what the socket takes without waiting, and return the number of bytes. Raises BrokenResourceError."""
        try:
            return os.write(self._file, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def close(self) -> None:
        """Close the socket."""
        self.abandon()
        await trio.lowlevel.checkpoint()

    def abandon(self) -> None:
        """Close the socket at once: a task that receives or sends gets an error."""
        self._file = _NO_FILE
        close(self._socket)

    def bill(self, account: Account) -> None:
        """Charge nothing: each read of the socket is charged by the caller."""
        pass


_BUFFERS: trio.lowlevel.RunVar[bytearray] = trio.lowlevel.RunVar("p2pchat_receive")


def _buffer() -> bytearray:
    """Return the receive buffer shared by all sockets of the loop: no other task runs between filling it and copying
    from it.
    """
    try:
        return _BUFFERS.get()
    except LookupError:
        buffer = bytearray(WIDE_CHUNK)
        _BUFFERS.set(buffer)
        return buffer


class Meter:
    """Counts what the TCP connection of a socket has carried; after its end, what was counted last. stuck: whether what
    went out was not acknowledged when one looked last, although it was sent again. resent: how many packets were.
    """

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock
        self._last = Traffic()
        self.stuck = False
        self.resent = 0

    def read(self) -> Traffic:
        """Ask the kernel (`struct tcp_info`, linux/tcp.h). Where it does not say, all counts are 0."""
        with suppress(OSError, AttributeError, struct.error):
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            timeouts, self.resent, bytes_out, bytes_in, packets_out, packets_in = _TCP_INFO.unpack(info)
            self.stuck = timeouts >= _STUCK_AFTER
            self._last = Traffic(bytes_in, packets_in, bytes_out, packets_out)
        return self._last


def close(sock: socket.socket | trio.socket.SocketType) -> None:
    """Close a socket, notifying trio first, since otherwise tasks that wait for it would wait forever."""
    if sock.fileno() != _NO_FILE:
        trio.lowlevel.notify_closing(sock.fileno())
        sock.close()


def tune(sock: socket.socket | trio.socket.SocketType) -> None:
    """Set the options of a connection: data is sent at once, and the kernel notices when the other end has vanished.

    On Linux a listener passes these options on to the connections that it accepts.
    """
    for level, option, value in _OPTIONS:
        if option:
            sock.setsockopt(level, option, value)
