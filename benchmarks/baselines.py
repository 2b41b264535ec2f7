"""What the same machine does in the same run without any of our work: plain TCP under trio, another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

T = TypeVar("T")

_SERVER = """
import sys, trio
async def echo(stream):
    async for data in stream:
        await stream.send_all(data)
async def acked(stream):
    rest = b""
    async for data in stream:
        rest += data
        whole, acks = len(rest) // 200, []
        for start in range(whole):
            acks.append(rest[200 * start : 200 * start + 16])
        rest = rest[200 * whole :]
        await stream.send_all(b"".join(acks))
async def main():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners({"echo": echo, "acked": acked}[sys.argv[1]], listeners)
trio.run(main)
"""
_WINDOW = 63


def echo(times: int) -> list[float]:
    """Milliseconds for 200 bytes there and back, one at a time."""

    async def main(stream: trio.SocketStream) -> list[float]:
        took = []
        for _ in range(times):
            began = time.perf_counter()
            await stream.send_all(bytes(200))
            await stream.receive_some(1000)
            took.append((time.perf_counter() - began) * 1000)
        return took

    return _against("echo", main)


def acked(count: int) -> float:
    """Messages of 200 bytes a second, each acked by name, in a window of 63."""

    async def main(stream: trio.SocketStream) -> float:
        began = time.perf_counter()
        sent = done = acks = 0
        while done < count:
            some = min(_WINDOW - (sent - done), count - sent)
            if some:
                await stream.send_all(b"".join(number.to_bytes(16, "big") + bytes(184) for number in range(some)))
                sent += some
            acks += len(await stream.receive_some(65536))
            done = acks // 16
        return count / (time.perf_counter() - began)

    return _against("acked", main)


def _against(what: str, main: Callable[[trio.SocketStream], Awaitable[T]]) -> T:
    process = subprocess.Popen([sys.executable, "-c", _SERVER, what], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        async def run() -> T:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                return await main(stream)

        return trio.run(run)
    finally:
        process.kill()
        process.wait()
