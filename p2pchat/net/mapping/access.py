"""Sockets that reach the router of this network from our own address there, and nothing else.

UDP is read from the router's address only. HTTP is one request to one of its ports, without following where it points,
with bounds on time, on the head and on the body.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio

from p2pchat.net.mapping import upnp
from p2pchat.net.mapping.grants import Uplink
from p2pchat.net.mapping.http import BadHttp, HttpAnswer, read_answer
from p2pchat.net.mapping.upnp import Location

HTTP_SECONDS = 5.0
"""Seconds for one request over HTTP, from connecting to the last byte."""
_DATAGRAM_BYTES = 2_048
_PIECE_BYTES = 64 * 1024


class NoRouter(Exception):
    """The router cannot be reached in this way, or says what cannot be read."""


class Datagrams(Protocol):
    """UDP with the router."""

    async def send(self, packet: bytes, to: str = "") -> None:
        """Send to the router, or to the group that hears searches. Raises NoRouter."""
        ...

    async def receive(self) -> bytes:
        """Wait for a packet from the router, at most 2,048 bytes of it. Raises NoRouter."""
        ...


class RouterAccess(Protocol):
    """Reaches a router. The tests have one without sockets."""

    def asking(self, uplink: Uplink, port: int) -> AbstractAsyncContextManager[Datagrams]:
        """Return UDP with one port of the router."""
        ...

    def searching(self, uplink: Uplink) -> AbstractAsyncContextManager[Datagrams]:
        """Return UDP with the router, whatever port it answers from."""
        ...

    async def fetch(
        self, uplink: Uplink, at: Location, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """GET, or POST with a body, and return the answer, whatever its status. Raises NoRouter."""
        ...


class _Udp:
    """`Datagrams` over a socket. to: where packets go that name nothing else; None if it is connected."""

    def __init__(self, sock: trio.socket.SocketType, uplink: Uplink, to: tuple[str, int] | None = None) -> None:
        self._sock = sock
        self._router = str(uplink.router)
        self._to = to

    async def send(self, packet: bytes, to: str = "") -> None:
        try:
            if self._to is None:
                await self._sock.send(packet)
            else:
                await self._sock.sendto(packet, (to or self._to[0], self._to[1]))
        except OSError as error:
            raise NoRouter from error

    async def receive(self) -> bytes:
        while True:
            try:
                packet, source = await self._sock.recvfrom(_DATAGRAM_BYTES)
            except OSError as error:
                raise NoRouter from error
            if source[0] == self._router:
                return bytes(packet)


class Sockets:
    """`RouterAccess` with sockets."""

    @asynccontextmanager
    async def asking(self, uplink: Uplink, port: int) -> AsyncIterator[Datagrams]:
        """Connected, so that the kernel passes on what this port sent, and tells when it is closed."""
        with await _udp(uplink) as sock:
            try:
                await sock.connect((str(uplink.router), port))
            except OSError as error:
                raise NoRouter from error
            yield _Udp(sock, uplink)

    @asynccontextmanager
    async def searching(self, uplink: Uplink) -> AsyncIterator[Datagrams]:
        with await _udp(uplink) as sock:
            try:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, uplink.own.packed)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            except OSError as error:  # the interface is gone
                raise NoRouter from error
            yield _Udp(sock, uplink, (str(uplink.router), upnp.PORT))

    async def fetch(
        self, uplink: Uplink, at: Location, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        with trio.move_on_after(HTTP_SECONDS):
            try:
                stream = await trio.open_tcp_stream(str(uplink.router), at.port, local_address=str(uplink.own))
                async with stream:
                    return await exchange(stream, f"{uplink.router}:{at.port}", at.path, body, headers or {})
            except (OSError, trio.BrokenResourceError, BadHttp) as error:
                raise NoRouter from error
        raise NoRouter


async def exchange(
    stream: trio.abc.Stream, host: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> HttpAnswer:
    """Send one request over a stream, and read its answer. Raises BadHttp."""
    given = {"Host": host, "Connection": "close", **headers}
    if body is not None:
        given["Content-Length"] = str(len(body))
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", *(f"{name}: {given[name]}" for name in given)]
    await stream.send_all("".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii") + (body or b""))
    said = b""
    while True:
        data = await stream.receive_some(_PIECE_BYTES)
        said += data
        if (answer := read_answer(said, ended=not data)) is not None:
            return answer


async def _udp(uplink: Uplink) -> trio.socket.SocketType:
    try:
        sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise NoRouter from error
    try:
        await sock.bind((str(uplink.own), 0))
    except OSError as error:
        sock.close()
        raise NoRouter from error
    return sock
