"""The metrics: numbers only, over as little HTTP as there can be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pchat.errors import NodeError
from p2pchat.relay import metrics
from p2pchat.relay.config import BadSetting

NUMBERS: dict[str, Any] = {
    **{name: float(at) for at, name in enumerate([*metrics.COUNTERS, *metrics.GAUGES], start=1)},
    **{name: {"too fast": 1, "no reservation": 2} for name in metrics.BY_REASON},
}


@asynccontextmanager
async def served(numbers: dict[str, Any]) -> AsyncIterator[int]:
    listening = await metrics.listeners("127.0.0.1:0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(metrics.serve, listening, lambda: numbers)
        yield listening[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def ask(port: int, request: bytes) -> bytes:
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        while some := await stream.receive_some(65_536):
            answer += some
    return answer


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(60):
            await main()

    trio.run(bounded)


def test_every_number_is_there_and_the_only_label_is_the_reason_of_a_refusal() -> None:
    async def main() -> None:
        async with served(NUMBERS) as port:
            head, _, body = (await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).decode().partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 200 OK")
            lines = dict(line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
            for name in metrics.COUNTERS:
                assert float(lines[f"p2pchat_relay_{name}_total"]) == NUMBERS[name]
            for name in metrics.GAUGES:
                assert float(lines[f"p2pchat_relay_{name}"]) == NUMBERS[name]
            for name in metrics.BY_REASON:
                for reason, count in NUMBERS[name].items():
                    assert float(lines.pop(f'p2pchat_relay_{name}_total{{reason="{reason}"}}')) == count
            assert not any("{" in name for name in lines)

    run(main)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /healthz?x HTTP/1.0\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\r\n\r\n", b"405"),
        (b"\xff" * 8192, b"405"),
    ],
)
def test_requests(request_: bytes, status: bytes) -> None:
    async def main() -> None:
        async with served(NUMBERS) as port:
            assert (await ask(port, request_)).split(b" ")[1] == status

    run(main)


def test_a_relay_that_is_not_well_says_so() -> None:
    async def main() -> None:
        async with served({**NUMBERS, "healthy": 0}) as port:
            assert b" 503 " in await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")

    run(main)


@pytest.mark.parametrize("where", ["9464", "localhost", ":9464", "localhost:", "localhost:x", "localhost:70000"])
def test_addresses_that_are_none(where: str) -> None:
    with pytest.raises(BadSetting):
        trio.run(metrics.listeners, where)


def test_a_port_that_is_taken_is_said() -> None:
    async def main() -> None:
        async with served(NUMBERS) as port:
            with pytest.raises(NodeError):
                await metrics.listeners(f"127.0.0.1:{port}")

    run(main)


def test_a_health_check_waits_for_nobody() -> None:
    """Three hundred connect and say nothing; as many as there may be scrapes ask and read nothing."""

    async def main() -> None:
        async with served(NUMBERS) as port, trio.open_nursery() as nursery:
            began, silent = trio.current_time(), []
            for _ in range(300):
                silent.append(await trio.open_tcp_stream("127.0.0.1", port))
            assert b"200 OK" in await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")
            assert b"200 OK" in await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            assert trio.current_time() == began
            ended = 0

            async def count(stream: trio.SocketStream) -> None:
                nonlocal ended
                assert await stream.receive_some(1) == b""
                ended += 1

            for stream in silent:
                nursery.start_soon(count, stream)
            while ended < 300 - metrics.MAX_SILENT:  # the oldest have made room
                await trio.lowlevel.checkpoint()
            assert trio.current_time() == began
            clock.jump(metrics.TIMEOUT)

    clock = MockClock()
    trio.run(main, clock=clock)
