"""A SOCKS5 proxy (RFC 1928, RFC 1929) for tests: in this loop, or as a process that prints what it is asked for.

python -m tests.support.socks HOST PORT [NAME=IP[:PORT] …]
"""

from __future__ import annotations

import ipaddress
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import trio

from p2pchat.lib.proxy_address import ProxyAddress

ANONYMOUS, BY_PASSWORD, NO_METHOD = 0, 2, 255
GRANTED, REFUSED = 0, 5


class Asked(NamedTuple):
    """What a client asked for. user: "" where it named none."""

    host: str
    port: int
    user: str


@dataclass
class SocksServer:
    """names: where a name leads, "IP" or "IP:PORT". method: how clients have to say who they are. answer: said in place
    of a reply. The user `mallory` is refused, and whoever comes with another password than before.

    What leads to a name that ends in .onion begins with the line of Tor's that names the circuit: one for each user.
    """

    names: dict[str, str] = field(default_factory=dict)
    method: int = BY_PASSWORD
    answer: bytes = b""
    told: Callable[[Asked], object] = lambda asked: None
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    passwords: dict[str, bytes] = field(default_factory=dict)

    @property
    def address(self) -> ProxyAddress:
        return ProxyAddress("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"socks5://127.0.0.1:{self.port}"

    async def serve(self, client: trio.SocketStream) -> None:
        """Serve one client until either side ends."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            async with client:
                user = await self._greet(client)
                _, _, _, kind = await _exactly(client, 4)
                host = await _host(client, kind)
                asked = Asked(host, int.from_bytes(await _exactly(client, 2), "big"), user)
                self.asked.append(asked)
                self.told(asked)
                if self.answer:
                    await client.send_all(self.answer)
                    return
                await self._join(client, asked)

    async def _greet(self, client: trio.SocketStream) -> str:
        _, count = await _exactly(client, 2)
        offered = await _exactly(client, count)
        method = self.method if self.method in offered else NO_METHOD
        await client.send_all(bytes([5, method]))
        if method == NO_METHOD:
            raise EOFError
        if method != BY_PASSWORD:
            return ""
        _, size = await _exactly(client, 2)
        user = (await _exactly(client, size)).decode()
        password = await _exactly(client, (await _exactly(client, 1))[0])
        right = user != "mallory" and self.passwords.setdefault(user, password) == password
        await client.send_all(bytes([1, not right]))
        return user

    async def _join(self, client: trio.SocketStream, asked: Asked) -> None:
        try:
            ip, _, port = self.names.get(asked.host, asked.host).partition(":")
            there = await trio.open_tcp_stream(ip, int(port or asked.port))
            if asked.host.endswith(".onion"):
                circuit = list(self.passwords).index(asked.user) + 0x10000
                line = f"PROXY TCP6 fc00:dead:beef:4dad::{circuit >> 16:x}:{circuit & 0xFFFF:x} ::1 1 {asked.port}\r\n"
                await there.send_all(line.encode())
        except OSError:
            await client.send_all(bytes([5, REFUSED, 0, 1]) + bytes(6))
            return
        async with there, trio.open_nursery() as nursery:
            await client.send_all(bytes([5, GRANTED, 0, 1]) + bytes(6))
            nursery.start_soon(_pass_on, client, there)
            nursery.start_soon(_pass_on, there, client)


async def _host(client: trio.SocketStream, kind: int) -> str:
    if kind == 3:
        return (await _exactly(client, (await _exactly(client, 1))[0])).decode()
    return str(ipaddress.ip_address(await _exactly(client, 4 if kind == 1 else 16)))


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await stream.receive_some(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


async def _pass_on(source: trio.SocketStream, target: trio.SocketStream) -> None:
    """Pass bytes on until either end is gone; a group of errors would end the proxy with all its other clients."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for data in source:
            await target.send_all(data)
        await target.send_eof()


@asynccontextmanager
async def socks_server(server: SocksServer | None = None) -> AsyncIterator[SocksServer]:
    """Run a proxy on a free port of loopback."""
    server = server or SocksServer()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


async def _run(host: str, port: int, names: dict[str, str]) -> None:
    server = SocksServer(names, told=lambda asked: print(json.dumps(asked), flush=True))
    listeners = await trio.open_tcp_listeners(port, host=host)
    print(json.dumps("ready"), flush=True)
    await trio.serve_listeners(server.serve, listeners)


if __name__ == "__main__":
    trio.run(_run, sys.argv[1], int(sys.argv[2]), dict(pair.split("=", 1) for pair in sys.argv[3:]))
