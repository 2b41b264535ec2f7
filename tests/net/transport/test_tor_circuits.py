"""By which circuit of Tor somebody comes: one line, read strictly, from loopback only, and limits by circuit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.transport.tor_circuits import MAX_LINE, circuit_of
from tests.conftest import run

LINE = b"PROXY TCP6 fc00:dead:beef:4dad::0:29a ::1 666 42\r\n"
MULTISTREAM = b"\x13/multistream/1.0.0\n"


def receiving(*pieces: bytes) -> Callable[[int], Awaitable[bytes]]:
    left = list(pieces)

    async def receive(at_most: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if not left:
            return b""
        piece, left[0] = left[0][:at_most], left[0][at_most:]
        if not left[0]:
            del left[0]
        return piece

    return receive


async def read(*pieces: bytes) -> tuple[str, bytes]:
    return await circuit_of(receiving(*pieces))


def test_a_circuit_is_named_whatever_pieces_its_line_comes_in() -> None:
    async def main() -> None:
        assert await read(LINE) == ("0000029a", b"")
        assert await read(LINE + MULTISTREAM) == ("0000029a", MULTISTREAM)
        assert await read(*(bytes([byte]) for byte in LINE), MULTISTREAM) == ("0000029a", b"")
        assert await read(LINE.replace(b"fc00:dead:beef:4dad::0:29a", b"fd00::ffff:1")) == ("ffff0001", b"")

    run(main)


def test_without_such_a_line_nothing_is_lost() -> None:
    async def main() -> None:
        for said in (MULTISTREAM, b"GET / HTTP/1.1\r\n\r\n", b"POST /", b"P", b""):
            assert await read(said) == ("", said)

    run(main)


@pytest.mark.parametrize(
    "said",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY TCP6 fc00:: ::1 1 2\n",
        b"PROXY TCP6 fc00::1::2 ::1 1 2\r\n",
        b"PROXY TCP6 fc00::1 ::1 1\r\n",
        b"PROXY TCP6  ::1 1 2\r\n",
        b"PROXY TCP6 ",
        b"PROXY " + b"a" * 10_000,
        b"PROXY TCP6 " + b":" * 39 + b" ::1 1 2\r\n",
    ],
)
def test_a_line_that_is_not_tors_ends_the_connection(said: bytes) -> None:
    async def main() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await read(said)

    run(main)


def test_no_more_is_read_than_a_line_may_have() -> None:
    async def main() -> None:
        asked: list[int] = []

        async def receive(at_most: int) -> bytes:
            asked.append(at_most)
            await trio.lowlevel.checkpoint()
            return b"PROXY "[len(asked) - 1 : len(asked)] or b"x"

        with pytest.raises(trio.BrokenResourceError):
            await circuit_of(receive)
        assert asked == list(range(MAX_LINE, 0, -1))

    run(main)


async def come(host: LibP2PHost, said: bytes) -> trio.SocketStream:
    """A connection that has said so, when the host has answered."""
    stream = await trio.open_tcp_stream("127.0.0.1", host.port)
    await stream.send_all(said + MULTISTREAM)
    return stream


async def answer(stream: trio.SocketStream) -> bytes:
    try:
        return await stream.receive_some(len(MULTISTREAM))
    except trio.BrokenResourceError:
        return b""


@pytest.mark.parametrize("web_path", ["", "/"])
def test_each_circuit_has_limits_of_its_own(web_path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who comes by 127.0.0.1 without a circuit's name shares one place, and the operator is told once."""

    async def main() -> None:
        limits = HostLimits(inbound_per_place=1)
        host = LibP2PHost(bytes([9]) * 32, ["/ip4/127.0.0.1/tcp/0"], limits=limits, web_path=web_path, tor="onion")
        async with trio.open_nursery() as nursery:
            await nursery.start(host.run)
            one = await come(host, LINE)
            assert await answer(one) == MULTISTREAM
            two = await come(host, LINE.replace(b"29a", b"29b"))
            assert await answer(two) == MULTISTREAM
            assert host._running is not None
            pool = host._running.inbound.direct
            assert [pool.held(f"onion 0000029{last}") for last in "ab"] == [1, 1]
            third = await come(host, LINE)
            assert await answer(third) == MULTISTREAM
            assert await answer(one) == b"", "the oldest of this circuit made room"
            for _ in range(2):
                assert await answer(await come(host, b"")) == MULTISTREAM
            assert pool.held("127.0.0.1") == 1
            nursery.cancel_scope.cancel()

    run(main)
    assert [text for text in caplog.messages if "circuit" in text] == [
        "a connection from this machine names no circuit of Tor: all such ones share the limits of one"
    ]


def test_a_host_that_tor_brings_nobody_to_believes_no_such_line() -> None:
    async def main() -> None:
        host = LibP2PHost(bytes([9]) * 32, ["/ip4/127.0.0.1/tcp/0"])
        async with trio.open_nursery() as nursery:
            await nursery.start(host.run)
            stream = await come(host, LINE)
            assert (await answer(stream))[:1] in (b"", MULTISTREAM[:1])
            assert host._running is not None
            assert host._running.inbound.direct.held("onion 0000029a") == 0
            nursery.cancel_scope.cancel()

    run(main)


def test_whoever_comes_by_tor_is_no_proxy_on_the_same_machine() -> None:
    async def main() -> None:
        addresses, proxies = ["/ip4/127.0.0.1/tcp/0"], ["127.0.0.1"]
        host = LibP2PHost(bytes([9]) * 32, addresses, web_path="/", tor="onion", proxies=proxies)
        async with trio.open_nursery() as nursery:
            await nursery.start(host.run)
            stream = await trio.open_tcp_stream("127.0.0.1", host.port)
            words = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            words += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: 192.0.2.7\r\n"
            await stream.send_all(LINE + b"GET / HTTP/1.1\r\nHost: a\r\n" + words + b"\r\n")
            assert (await stream.receive_some(12)) == b"HTTP/1.1 101"
            await trio.testing.wait_all_tasks_blocked()
            assert host._running is not None
            held = host._running.inbound.direct.held
            assert (held("onion 0000029a"), held("192.0.2.7")) == (1, 0)
            nursery.cancel_scope.cancel()

    run(main)
