"""What a connection runs on: a TCP socket, a WebSocket, or a circuit. `libp2p.secure_channel` gives libp2p its view."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Protocol

import trio

from p2pchat.core.delivery import Route

if TYPE_CHECKING:
    from p2pchat.net.admission.budget import Account

CHUNK = 2**16

# A cut cable says nothing: the kernel asks after 30 s of silence, and gives up 30 s later.
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 0), 30),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", 0), 10),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", 0), 3),
)


class Pipe(Protocol):
    """Two directions of bytes. One task receives and one sends at a time; a broken one raises trio's
    BrokenResourceError or ClosedResourceError."""

    @property
    def route(self) -> Route:
        """How the bytes travel: `DIRECT` or `CIRCUIT`."""
        ...

    async def receive(self) -> bytes:
        """Wait for 1 to `CHUNK` bytes; b"" at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        ...

    async def close(self) -> None:
        """Send a close frame if the transport has one, then close the connection."""
        ...

    def abandon(self) -> None:
        """Close it now, without waiting: whoever receives or sends is woken with an error."""
        ...

    def bill(self, account: Account) -> None:
        """Charge what it costs to make bytes of what comes to `account`, where that is not one read of a socket."""
        ...


class TcpPipe:
    """A TCP connection; `head`: what was received on it already."""

    route = Route.DIRECT

    def __init__(self, stream: trio.SocketStream, head: bytes = b"") -> None:
        self._stream = stream
        self._head = head

    async def receive(self) -> bytes:
        """Wait for 1 to `CHUNK` bytes; b"" at the end. Raises BrokenResourceError."""
        if self._head:
            head, self._head = self._head, b""
            return head
        # not trio's way, which reserves the whole chunk for every attempt: a relay makes thousands a second
        sock, buffer = self._stream.socket, _buffer()
        waited = False
        while True:
            try:
                size = os.readv(sock.fileno(), [buffer])
            except BlockingIOError:
                await trio.lowlevel.wait_readable(sock.fileno())
                waited = True
            except OSError as error:
                raise trio.BrokenResourceError from error
            else:
                data = bytes(memoryview(buffer)[:size])
                if not waited:  # others have their turn too
                    await trio.lowlevel.cancel_shielded_checkpoint()
                return data

    async def send(self, data: bytes) -> None:
        # not trio's way, which has a turn of the loop for every write, also where all of it goes at once
        """Send all of `data`. Raises BrokenResourceError."""
        sent = self.send_now(data)
        while sent < len(data):
            await trio.lowlevel.wait_writable(self._stream.socket.fileno())
            sent += self.send_now(data[sent:])

    def send_now(self, data: bytes) -> int:
        """Send what goes without waiting, and return how many bytes those were. Raises BrokenResourceError."""
        try:
            return os.write(self._stream.socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def close(self) -> None:
        """Close the socket."""
        await self._stream.aclose()

    def abandon(self) -> None:
        """Close the socket now: whoever receives or sends is woken with an error."""
        self._stream.socket.close()

    def bill(self, account: Account) -> None:
        """Charge nothing: whoever receives books each read of the socket."""
        pass


_BUFFERS: trio.lowlevel.RunVar[bytearray] = trio.lowlevel.RunVar("p2pchat_receive")


def _buffer() -> bytearray:
    """One for all sockets of a loop: nobody else has a turn between filling it and copying from it."""
    try:
        return _BUFFERS.get()
    except LookupError:
        buffer = bytearray(CHUNK)
        _BUFFERS.set(buffer)
        return buffer


def keep_alive(stream: trio.SocketStream) -> None:
    """Let the kernel notice when the other end is gone without a word."""
    for level, option, value in _KEEP_ALIVE:
        if option:
            stream.setsockopt(level, option, value)
