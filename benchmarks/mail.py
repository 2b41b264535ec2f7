"""Clients of a relay for measurements, in processes of their own: `python -m benchmarks.mail`.

One JSON object on stdin says what to do; what happened is written to stdout, one object a line. Every client is one
connection with a key of its own and one stream, and no host around it, so that thousands fit into a process.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from p2pchat.core import mailbox
from p2pchat.core import primitives as prim
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame, FrameParser
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import Hello, Open, Put, Queue
from p2pchat.core.names import MAILBOX
from p2pchat.net import multiaddrs
from p2pchat.net.admission.budget import Account
from p2pchat.net.admission.limits import WINDOW
from p2pchat.net.frames import write_frames
from p2pchat.net.libp2p import handshake, hardening
from p2pchat.net.libp2p.handshake import Identity
from p2pchat.net.libp2p.log_filter import quiet
from p2pchat.net.libp2p.secure_channel import RawPipe
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.transport import pipes

AT_ONCE = 4
"""Connections made at the same time."""
PING = 60.0


def seeds(name: str) -> tuple[bytes, bytes]:
    """The (fetch, put) seeds of a queue."""
    return hashlib.sha256(f"fetch {name}".encode()).digest(), hashlib.sha256(f"put {name}".encode()).digest()


class Line:
    """As much of `ports.Stream` as it takes to measure: a connection and the one stream on it."""

    route = Route.DIRECT
    inbound = False
    short = None

    def __init__(self, peer: PeerKey, muxed: GuardedYamux, inner: YamuxStream) -> None:
        self.peer = peer
        self._muxed = muxed
        self._inner = inner

    @classmethod
    async def open(cls, relay: str, nursery: trio.Nursery) -> Line:
        """Connect as somebody new. `nursery`: where the connection is looked after."""
        peer, address = multiaddrs.parse_full(relay)
        target = multiaddrs.parse(address)
        tcp = await trio.open_tcp_stream(str(target.ip), target.port)
        pair = create_new_key_pair(os.urandom(32))
        me = ID(multiaddrs.multihash(PeerKey(pair.public_key.to_bytes())))
        upgrader = hardening.Upgrader(me, pair, Identity(pair, os.urandom(32)), 24 * WINDOW)
        wire = RawPipe(pipes.TcpPipe(tcp.socket))
        theirs = ID(multiaddrs.multihash(peer))
        muxed = await upgrader.multiplex(await upgrader.secure(wire, theirs), theirs)
        nursery.start_soon(muxed.start)
        await muxed.event_started.wait()
        inner = await muxed.open_stream()
        made = cls(peer, muxed, inner)
        await handshake.propose(_Channel(made), MAILBOX.encode())
        return made

    async def read(self, at_most: int) -> bytes:
        return await self._muxed.take(self._inner, at_most)

    async def write(self, data: bytes) -> None:
        await self._muxed.put(self._inner, data)

    async def prove(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    def sever(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        await self._muxed.close()


class _Channel:
    """A stream while its ends agree on a protocol."""

    waiting = 0

    def __init__(self, line: Line) -> None:
        self._line = line
        self.account = Account()
        self.write = line.write

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()

    def peek(self, n: int) -> bytes:
        return b""

    def skip(self, n: int) -> None:
        raise AssertionError("nothing was peeked at")

    async def read(self, n: int | None = None) -> bytes:
        data = b""
        while len(data) < (n or 0):
            data += await self._line.read((n or 0) - len(data))
        return data


@dataclass
class Client:
    """One stream to the relay."""

    stream: Line
    hello: Hello
    parser: FrameParser

    @classmethod
    async def connect(cls, relay: str, nursery: trio.Nursery) -> Client:
        """Open the stream and hear the hello."""
        stream = await Line.open(relay, nursery)
        parser = FrameParser(mailbox.FROM_RELAY)
        frames: list[Frame] = []
        while not frames:
            frames = parser.feed(await stream.read(65_536))
        return cls(stream, mailbox.decode_hello(frames[0].body), parser)

    async def frames(self) -> list[Frame]:
        """What came; an error at the stream's end."""
        data = await self.stream.read(131_072)
        if not data:
            raise RuntimeError("the relay hung up")
        return self.parser.feed(data)

    async def open(self, handle: int, role: int, name: str) -> None:
        """Open a queue; the answer is not waited for."""
        fetch, put = seeds(name)
        queue = Queue(prim.sign_public(fetch), prim.sign_public(put))
        signature = mailbox.sign_open(fetch if role == mailbox.TO_FETCH else put, role, self.hello, queue)
        await write_frames(
            self.stream, [Frame(mailbox.OPEN, mailbox.encode_open(Open(handle, role, queue, signature)))]
        )

    async def watch(self, handle: int) -> None:
        """Have everything pushed."""
        await write_frames(self.stream, [Frame(mailbox.FETCH, mailbox.encode_fetch(0, 0, [(handle, 0)]))])


class Crowd:
    """The clients of one process. Client number n deposits in the queue `to` n, or watches it."""

    def __init__(self, relay: str, role: int, names: list[str]) -> None:
        self._relay = relay
        self._role = role
        self._names = names
        self.clients: list[Client] = []

    async def connect(self, nursery: trio.Nursery) -> None:
        """Connect all of them."""
        limit = trio.CapacityLimiter(AT_ONCE)

        async def one(name: str) -> None:
            async with limit:
                client = await Client.connect(self._relay, nursery)
                await client.open(0, self._role, name)
                if self._role == mailbox.TO_FETCH:
                    await client.watch(0)
                self.clients.append(client)

        async with trio.open_nursery() as connecting:
            for name in self._names:
                connecting.start_soon(one, name)

    async def ping(self) -> None:
        """Say something now and then, so that nobody is let go; the answers are left where they are."""
        while True:
            await trio.sleep(PING)
            for client in self.clients:
                await write_frames(client.stream, [Frame(mailbox.PING, b"")])

    async def deposit(self, each: int, window: int) -> None:
        """Every client deposits so many blobs with at most `window` not acknowledged."""
        async with trio.open_nursery() as nursery:
            for client in self.clients:
                nursery.start_soon(_deposit, client, each, window)

    async def take(self, each: int) -> None:
        """Every client takes so many pushed blobs and deletes them."""
        async with trio.open_nursery() as nursery:
            for client in self.clients:
                nursery.start_soon(_take, client, each)


async def _deposit(client: Client, each: int, window: int) -> None:
    sent = acked = 0
    while acked < each:
        batch: list[Frame] = []
        while sent < each and sent - acked < window and len(batch) < 14:
            sent += 1
            batch.append(Frame(mailbox.PUT, mailbox.encode_put(Put(sent, 0, 720, 0, os.urandom(4096)))))
        if batch:
            await write_frames(client.stream, batch)
        if sent == each or sent - acked >= window:
            for frame in await client.frames():
                if frame.type == mailbox.RESULTS:
                    results = mailbox.decode_results(frame.body)
                    acked += len(results)
                    if any(code for _, code in results):
                        raise RuntimeError(f"turned away: {results}")


async def _take(client: Client, each: int) -> None:
    taken = 0
    while taken < each:
        last = 0
        for frame in await client.frames():
            if frame.type == mailbox.BLOB:
                taken += 1
                last = mailbox.decode_blob(frame.body).place
        if last:
            await write_frames(
                client.stream, [Frame(mailbox.DELETE, mailbox.encode_delete(mailbox.Deletion(0, 0, last)))]
            )


async def _collect(client: Client, count: int) -> None:
    """Fetch everything in one queue, one page ahead, and delete it."""
    taken = 0
    after = 0

    async def ask() -> None:
        await write_frames(client.stream, [Frame(mailbox.FETCH, mailbox.encode_fetch(0, 512, [(0, after)]))])

    await ask()
    while taken < count:
        for frame in await client.frames():
            if frame.type == mailbox.BLOB and (blob := mailbox.decode_blob(frame.body)).handle == 0:
                taken += 1
                after = blob.place
            elif frame.type == mailbox.END and taken < count:
                delete = Frame(mailbox.DELETE, mailbox.encode_delete(mailbox.Deletion(0, 0, after)))
                await ask()
                await write_frames(client.stream, [delete])


def say(what: str, **more: Any) -> None:
    """Write one object to stdout."""
    print(json.dumps({"said": what, **more}), flush=True)


async def next_order() -> dict[str, Any]:
    """Wait for the next object on stdin; end this process at its end."""
    line = await trio.to_thread.run_sync(sys.stdin.readline)
    if not line:
        raise SystemExit
    found: dict[str, Any] = json.loads(line)
    return found


async def _main() -> None:
    quiet()
    order = await next_order()
    crowd = Crowd(order["relay"], order["role"], order["names"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.ping)
        await crowd.connect(nursery)
        say("connected")
        while True:
            order = await next_order()
            if order["do"] == "end":
                nursery.cancel_scope.cancel()
                return
            began = time.perf_counter()
            match order["do"]:
                case "deposit":
                    await crowd.deposit(order["each"], order["window"])
                case "take":
                    await crowd.take(order["each"])
                case _:
                    await _collect(crowd.clients[0], order["count"])
            say("done", seconds=time.perf_counter() - began)


if __name__ == "__main__":
    trio.run(_main)
