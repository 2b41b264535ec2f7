"""WebSocket (RFC 6455) as a pipe for networks that pass only what looks like web traffic.

Binary messages carry the bytes, and their boundaries mean nothing. wsproto handles the HTTP upgrade. The frames are
ours (`websocket_frames`), because wsproto takes 50 to 90 microseconds for each, and strangers can send any number.
libp2p's own WebSocket buffers whole messages of any size, and its listener cannot share our socket.
"""

from __future__ import annotations

import importlib
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from p2pchat.core.delivery import Route
from p2pchat.net.admission.budget import FRAME, PONG, Account
from p2pchat.net.transport import web, websocket_frames
from p2pchat.net.transport.pipes import CHUNK, WIDE_CHUNK
from p2pchat.net.transport.websocket_frames import BINARY, CLOSE, PING, BadFrame, Decoder, encode

if TYPE_CHECKING:
    from wsproto import WSConnection
    from wsproto.events import Event

_END_OF_HEAD = b"\r\n\r\n"
_CLOSE_TIMEOUT = 1.0
_NORMAL = (1000).to_bytes(2, "big")  # status code of a close frame (RFC 6455, §7.4)
_PONG_TIMEOUT = 10.0
MAX_UNREAD = 2**20
"""Bytes after a refused request that are read and dropped."""


class NotWebSocket(trio.BrokenResourceError):
    """The other side does not speak WebSocket, or not the subset that we use."""


class WebSocket:
    """A `pipes.Pipe` over an upgraded connection. client: whether this is the client's side. head: bytes received after
    the upgrade.
    """

    route = Route.DIRECT

    def __init__(
        self, transport: trio.abc.Stream, cut: Callable[[], None], *, client: bool = False, head: bytes = b""
    ) -> None:
        self._transport = transport
        self._cut = cut
        self._client = client
        self._decoder = Decoder(masked=not client)
        self._decoder.feed(head)
        self._sending = trio.Lock()
        self._account: Account | None = None
        self._ended = False
        self._chunk = CHUNK

    def widen(self) -> None:
        """Receive `WIDE_CHUNK` at once from now on."""
        self._chunk = WIDE_CHUNK

    def bill(self, account: Account) -> None:
        """Charge frames and pings to `account`, since one read of a socket can contain many."""
        self._account = account

    async def receive(self) -> bytes:
        """Wait for the payload of one binary frame or a piece of it; b"" at the end. Raises NotWebSocket for invalid
        frames.
        """
        while not self._ended:
            try:
                piece = self._decoder.next()
            except BadFrame as error:
                raise NotWebSocket from error
            if piece is None:
                data = await self._transport.receive_some(self._chunk)
                self._ended = not data
                self._decoder.feed(data)
                continue
            await self._charge(FRAME)
            if piece.opcode == BINARY and piece.data:
                return piece.data
            if piece.opcode == PING:
                await self._charge(PONG)
                await self._pong(piece.data)
            self._ended = piece.opcode == CLOSE
        return b""

    async def _charge(self, units: float) -> None:
        if self._account is not None:
            self._account.charge(units)
            if self._account.due:
                await self._account.settle()

    async def _pong(self, data: bytes) -> None:
        """Answer a ping, shielded from cancellation because half a frame would break everything after it."""
        with trio.CancelScope(deadline=trio.current_time() + _PONG_TIMEOUT, shield=True) as scope:
            await self._send(websocket_frames.PONG, data)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError

    async def send(self, data: bytes) -> None:
        """Send all of `data` as one binary frame."""
        await self._send(BINARY, data)

    async def _send(self, opcode: int, data: bytes) -> None:
        async with self._sending:
            await self._transport.send_all(encode(opcode, data, os.urandom(4) if self._client else b""))

    async def close(self) -> None:
        """Send a close frame, then close the connection."""
        try:
            with trio.move_on_after(_CLOSE_TIMEOUT), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._send(CLOSE, _NORMAL)
        finally:
            self._cut()

    def abandon(self) -> None:
        """Close the connection at once, without a close frame."""
        self._cut()


async def accept(stream: trio.SocketStream, head: bytes, path: str) -> tuple[WebSocket, tuple[str, ...]]:
    """Answer a client like a web server until it asks for the WebSocket at `path` ("/": any path). head: bytes already
    received. Also return the addresses for which the request says that it was forwarded, nearest last.

    There is no deadline. Raises NotWebSocket after an answer in HTTP.
    """
    asked = await web.until_upgrade(stream, head, path)
    if asked is None:
        await _linger(stream)
        raise NotWebSocket
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, Request

    request, rest = asked
    protocol = WSConnection(ConnectionType.SERVER)
    try:
        asked_event, rest = await _event(stream, protocol, request.raw + rest)
        if not isinstance(asked_event, Request):
            raise NotWebSocket
    except NotWebSocket:
        await stream.send_all(web.answer(400, stays=False))
        await _linger(stream)
        raise
    await stream.send_all(protocol.send(AcceptConnection()))
    return WebSocket(stream, stream.socket.close, head=rest), request.forwarded_for


async def _linger(stream: trio.SocketStream) -> None:
    """Wait for the client to close, so that the answer arrives: closing a socket with unread bytes resets the
    connection.
    """
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError), trio.move_on_after(_CLOSE_TIMEOUT):
        await stream.send_eof()
        left = MAX_UNREAD
        while left > 0 and (chunk := await stream.receive_some(min(left, CHUNK))):
            left -= len(chunk)


async def connect(stream: trio.SocketStream, host: str, tls: ssl.SSLContext | None, path: str = "/") -> WebSocket:
    """Ask the server at the other end of `stream` for a WebSocket at `path`. With `tls` it must first prove to be
    `host`.

    There is no deadline. Raises NotWebSocket, or the errors of trio and ssl.
    """
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, Request

    transport: trio.abc.Stream = stream
    if tls is not None:
        transport = trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
    protocol = WSConnection(ConnectionType.CLIENT)
    await transport.send_all(protocol.send(Request(host=f"[{host}]" if ":" in host else host, target=path)))
    answer, rest = await _event(transport, protocol, b"")
    if not isinstance(answer, AcceptConnection):
        raise NotWebSocket
    return WebSocket(transport, stream.socket.close, client=True, head=rest)


def prepare() -> None:
    """Import the HTTP libraries, which takes a moment, before somebody waits for them."""
    importlib.import_module("wsproto")


def system_tls() -> ssl.SSLContext:
    """Return TLS settings that trust the certificate authorities of the system, and no others."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _event(transport: trio.abc.Stream, protocol: WSConnection, head: bytes) -> tuple[Event, bytes]:
    """Return the first event of the other side, from at most `MAX_HEAD` bytes, and the bytes after it."""
    from wsproto.events import RejectData

    said = bytearray(head)
    while True:
        end = said.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        if end >= len(_END_OF_HEAD):
            break
        if len(said) >= web.MAX_HEAD:
            raise NotWebSocket
        chunk = await transport.receive_some(web.MAX_HEAD - len(said))
        if not chunk:
            raise NotWebSocket
        said += chunk
    try:
        protocol.receive_data(bytes(said[:end]))
        for event in protocol.events():
            if not isinstance(event, RejectData):
                return event, bytes(said[end:])
    except Exception as error:  # wsproto and h11 raise several kinds for invalid HTTP
        raise NotWebSocket from error
    raise NotWebSocket
