"""WebSocket (RFC 6455) as one more pipe under Noise, for networks that let through only what looks like the web.

Binary messages carry the bytes; where one ends means nothing. wsproto keeps the protocol's state, we move the bytes:
libp2p's own way buffers whole messages of any size, and its listener cannot share our socket.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectData,
    Request,
)

from p2pchat.net import web
from p2pchat.net.pipes import CHUNK

_CLOSE_PATIENCE = 1.0
_PONG_PATIENCE = 10.0
MAX_UNREAD = 2**20
"""Bytes behind a refused request that are read and forgotten."""


class NotWebSocket(trio.BrokenResourceError):
    """The other side does not speak it as we do."""


class WebSocket:
    """`pipes.Pipe` over an upgraded connection."""

    route = "direct"

    def __init__(self, transport: trio.abc.Stream, protocol: WSConnection, cut: Callable[[], None]) -> None:
        self._transport = transport
        self._protocol = protocol
        self._cut = cut
        self._sending = trio.Lock()
        self._received = bytearray()
        self._ended = False

    async def receive(self) -> bytes:
        while True:
            ping = self._sort()
            if ping is not None:
                await self._pong(ping)
            if self._received:
                piece = bytes(self._received[:CHUNK])
                del self._received[: len(piece)]
                return piece
            if self._ended:
                return b""
            data = await self._transport.receive_some(CHUNK)
            if not data:
                self._ended = True
                continue
            try:
                self._protocol.receive_data(data)
            except Exception as error:
                raise NotWebSocket from error

    def _sort(self) -> Ping | None:
        """Take what has come apart; the last ping is the only one that has to be answered."""
        ping = None
        try:
            for event in self._protocol.events():
                if isinstance(event, BytesMessage):
                    self._received += event.data
                elif isinstance(event, Ping):
                    ping = event
                elif isinstance(event, CloseConnection):
                    self._ended = True
                    return None
                elif not isinstance(event, Pong):
                    raise NotWebSocket
        except NotWebSocket:
            raise
        except Exception as error:  # whatever wsproto says about bytes that are no frames
            raise NotWebSocket from error
        return ping

    async def _pong(self, ping: Ping) -> None:
        """Not to be cancelled: half a frame would break everything after it."""
        with trio.CancelScope(deadline=trio.current_time() + _PONG_PATIENCE, shield=True) as scope:
            await self._send(ping.response())
        if scope.cancelled_caught:
            raise trio.BrokenResourceError

    async def send(self, data: bytes) -> None:
        await self._send(BytesMessage(data=data))

    async def _send(self, event: Event) -> None:
        async with self._sending:
            try:
                framed = self._protocol.send(event)
            except Exception as error:
                raise trio.BrokenResourceError from error
            await self._transport.send_all(framed)

    async def close(self) -> None:
        try:
            with trio.move_on_after(_CLOSE_PATIENCE), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._send(CloseConnection(code=1000))
        finally:
            self._cut()

    def abandon(self) -> None:
        self._cut()


async def accept(stream: trio.SocketStream, head: bytes, path: str) -> tuple[WebSocket, tuple[str, ...]]:
    """Answer a client whose first bytes were `head` as a web server does, until it asks for the WebSocket at `path`
    ("/": at any path). Also gives who it was forwarded for, nearest last, as it says.

    Has no deadline of its own. Raises NotWebSocket, having answered in HTTP.
    """
    asked = await web.until_upgrade(stream, head, path)
    if asked is None:
        await _linger(stream)
        raise NotWebSocket
    request, rest = asked
    protocol = WSConnection(ConnectionType.SERVER)
    try:
        if not isinstance(await _event(stream, protocol, request.raw + rest), Request):
            raise NotWebSocket
    except NotWebSocket:
        await stream.send_all(web.answer(400, stays=False))
        await _linger(stream)
        raise
    await stream.send_all(protocol.send(AcceptConnection()))
    return WebSocket(stream, protocol, stream.socket.close), _forwarded(request.headers.get("x-forwarded-for", ""))


async def _linger(stream: trio.SocketStream) -> None:
    """Let the answer arrive: closing with bytes unread would turn it into a reset on its way."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(_CLOSE_PATIENCE):
        await stream.send_eof()
        left = MAX_UNREAD
        while left > 0 and (some := await stream.receive_some(min(left, CHUNK))):
            left -= len(some)


async def connect(stream: trio.SocketStream, host: str, tls: ssl.SSLContext | None, path: str = "/") -> WebSocket:
    """Ask whoever is at the other end of `stream` for a WebSocket at `path`; with `tls` it must prove to be `host`
    first.

    Has no deadline of its own. Raises NotWebSocket, or what trio and ssl do.
    """
    transport: trio.abc.Stream = stream
    if tls is not None:
        transport = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
    protocol = WSConnection(ConnectionType.CLIENT)
    await transport.send_all(protocol.send(Request(host=f"[{host}]" if ":" in host else host, target=path)))
    if not isinstance(await _event(transport, protocol, b""), AcceptConnection):
        raise NotWebSocket
    return WebSocket(transport, protocol, stream.socket.close)


def system_tls() -> ssl.SSLContext:
    """Whoever the system trusts, and no other."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _event(transport: trio.abc.Stream, protocol: WSConnection, head: bytes) -> Event:
    """The first thing the other side says, in at most MAX_HEAD bytes."""
    size = 0
    while True:
        try:
            if head:
                protocol.receive_data(head)
            for event in protocol.events():
                if not isinstance(event, RejectData):
                    return event
        except Exception as error:  # wsproto and h11 have several for what is no HTTP
            raise NotWebSocket from error
        size += len(head)
        if size >= web.MAX_HEAD:
            raise NotWebSocket
        head = bytes(await transport.receive_some(web.MAX_HEAD - size))
        if not head:
            raise NotWebSocket


def _forwarded(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())
