"""Readers who follow a log, in a process of their own: `python -m benchmarks.log_readers`, as `benchmarks.mail`."""

from __future__ import annotations

import hashlib
import time

import trio

from benchmarks.mail import AT_ONCE, PING, Client, next_order, say
from p2pchat.core import logs, mailbox
from p2pchat.core import primitives as prim
from p2pchat.core.frames import Frame
from p2pchat.core.logs import LogKeys, LogRead, LogRole, OpenLog
from p2pchat.net.frames import write_frames
from p2pchat.net.libp2p.log_filter import quiet


def group_log() -> LogKeys:
    """Return the keys of the log that everybody here reads."""
    seeds = [hashlib.sha256(role.encode()).digest() for role in ("fetch", "put", "admin")]
    return LogKeys(seeds[0], seeds[1], prim.sign_public(seeds[2]), seeds[2])


async def open_log(client: Client, role: int) -> None:
    """Open the log as handle 0; the answer is not waited for."""
    keys = group_log()
    signature = logs.sign_open_log(keys.seed(role), role, client.hello.relay, client.hello.challenge, keys.log)
    opening = logs.encode_open_log(OpenLog(0, role, keys.log, signature))
    await write_frames(client.stream, [Frame(mailbox.OPEN_LOG, opening)])


class Readers:
    """Readers who follow the log."""

    def __init__(self) -> None:
        self.clients: list[Client] = []

    async def connect(self, at: str, count: int, nursery: trio.Nursery) -> None:
        """Connect so many."""
        limit = trio.CapacityLimiter(AT_ONCE)

        async def one() -> None:
            async with limit:
                client = await Client.connect(at, nursery)
                await open_log(client, LogRole.READ)
                read = logs.encode_read(LogRead(1, 0, logs.MAX_WANTED, True, 0))
                await write_frames(client.stream, [Frame(mailbox.READ, read)])
                while not any(frame.type == mailbox.END for frame in await client.frames()):
                    pass
                self.clients.append(client)

        async with trio.open_nursery() as connecting:
            for _ in range(count):
                connecting.start_soon(one)

    async def hear(self, count: int) -> list[float]:
        """Wait until each has so many more items; when each had them, by the clock that all processes share."""
        heard: list[float] = []

        async def one(client: Client) -> None:
            left = count
            while left > 0:
                for frame in await client.frames():
                    if frame.type == mailbox.BEHIND:
                        raise RuntimeError("a reader was left behind")
                    if frame.type == mailbox.ITEMS:
                        left -= len(logs.decode_items(frame.body).items)
            heard.append(time.monotonic())

        async with trio.open_nursery() as nursery:
            for client in self.clients:
                nursery.start_soon(one, client)
        return heard

    async def ping(self) -> None:
        """Say something now and then, so that nobody is let go."""
        while True:
            await trio.sleep(PING)
            for client in self.clients:
                await write_frames(client.stream, [Frame(mailbox.PING, b"")])


async def _read() -> None:
    quiet()
    order = await next_order()
    readers = Readers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readers.ping)
        await readers.connect(order["relay"], order["count"], nursery)
        say("connected")
        while True:
            order = await next_order()
            say("heard", at=await readers.hear(order["count"]))


if __name__ == "__main__":
    trio.run(_read)
