"""Real hosts on loopback for the tests of `net`, and the network between them that can be slowed and cut."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio
from libp2p.peer.id import ID

from p2pchat.net import multiaddrs
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.libp2p import connections
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.swarm import PeerConnection
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.ports import Stream
from tests.support.virtual_time import patience

if TYPE_CHECKING:
    from trio_typing import TaskStatus

ECHO = "/test/echo/1"
LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)


def make(
    number: int, limits: HostLimits | None = None, listen: Sequence[str] = LOOPBACK, *, web: bool = False
) -> LibP2PHost:
    """A host that echoes, for whom whoever asks for an echo has proven something. Different numbers are different
    peers."""
    host = LibP2PHost(bytes([number]) * 32, listen, limits=limits, web_path="/" if web else "")

    async def prove(stream: Stream) -> None:
        host.mark_proven(stream.peer)
        await echo(stream)

    host.handle(ECHO, prove)
    return host


async def echo(stream: Stream) -> None:
    while data := await stream.read(65536):
        await stream.write(data)


@asynccontextmanager
async def running(*hosts: LibP2PHost) -> AsyncIterator[None]:
    with patience():
        async with trio.open_nursery() as nursery:
            for host in hosts:
                await nursery.start(host.run)
            yield
            nursery.cancel_scope.cancel()


async def call(a: LibP2PHost, b: LibP2PHost, protocol: str = ECHO) -> Stream:
    return await a.open(b.peer, b.addresses(), protocol)


async def works(a: LibP2PHost, b: LibP2PHost) -> bool:
    """Whether b echoes to a, on a new stream."""
    stream = await call(a, b)
    await stream.write(b"are you there?")
    answer = await read_exactly(stream, 14)
    await stream.close()
    return answer == b"are you there?"


async def read_exactly(stream: Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        some = await stream.read(size - len(data))
        assert some, "the stream ended early"
        data += some
    return data


def live_connections(a: LibP2PHost, b: LibP2PHost) -> list[PeerConnection]:
    """a's live connections with b."""
    assert a._running is not None
    return connections.live(a._running.swarm, ID(multiaddrs.multihash(b.peer)))


def muxer(a: LibP2PHost, b: LibP2PHost) -> GuardedYamux:
    """The muxer under a's only connection with b."""
    (conn,) = live_connections(a, b)
    return conn.muxed_conn


async def until_apart(a: LibP2PHost, b: LibP2PHost) -> None:
    """Wait until a has no connection with b."""
    while live_connections(a, b):
        await trio.lowlevel.checkpoint()


class Middle:
    """A TCP relay in front of a host. `piece` cuts what it forwards into pieces; `cut` makes it swallow everything."""

    def __init__(self, target: LibP2PHost, piece: int = 65536) -> None:
        self._target = target
        self._piece = piece
        self.cut = False
        self.address = ""

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.address = f"/ip4/127.0.0.1/tcp/{listeners[0].socket.getsockname()[1]}"
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, outer: trio.SocketStream) -> None:
        inner = await trio.open_tcp_stream("127.0.0.1", self._target.port)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, outer, inner, nursery)
            nursery.start_soon(self._pass, inner, outer, nursery)

    async def _pass(self, source: trio.SocketStream, sink: trio.SocketStream, nursery: trio.Nursery) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(65536):
                for start in range(0, len(data), self._piece):
                    if not self.cut:
                        await sink.send_all(data[start : start + self._piece])
        nursery.cancel_scope.cancel()
