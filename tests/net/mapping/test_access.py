"""HTTP and UDP with a router that is hostile, or not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

import pytest
import trio
from trio.testing import memory_stream_pair

from p2pchat.net.mapping import access
from p2pchat.net.mapping.access import NoRouter, Sockets, exchange
from p2pchat.net.mapping.grants import Uplink
from p2pchat.net.mapping.http import BadHttp, HttpAnswer
from p2pchat.net.mapping.upnp import Location
from tests.support.virtual_time import real

LOOPBACK = Uplink(IPv4Address("127.0.0.1"), IPv4Address("127.0.0.1"))


async def answered(said: bytes, body: bytes | None = None) -> tuple[HttpAnswer, bytes]:
    """What becomes of an answer, and what was asked."""
    ours, theirs = memory_stream_pair()
    await theirs.send_all(said)
    await theirs.send_eof()
    answer = await exchange(ours, "192.168.1.1:5000", "/x", body, {"SOAPAction": '"y"'})
    await ours.send_eof()
    return answer, b"".join([piece async for piece in theirs])


@real
async def test_one_request_is_sent_and_its_answer_read() -> None:
    answer, asked = await answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<a>")
    assert answer == HttpAnswer(200, b"<a>")
    assert asked == b'GET /x HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nConnection: close\r\nSOAPAction: "y"\r\n\r\n'
    answer, asked = await answered(b"HTTP/1.0 500 Internal\r\n\r\n<f/>", b"<b/>")
    assert answer == HttpAnswer(500, b"<f/>")
    assert asked.startswith(b"POST /x HTTP/1.1\r\n")
    assert asked.endswith(b"Content-Length: 4\r\n\r\n<b/>")


@real
async def test_an_answer_without_end_is_cut_off() -> None:
    for said in (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 1_000_000, b""):
        with pytest.raises(BadHttp):
            await answered(said)


@asynccontextmanager
async def listening(say: bytes) -> AsyncIterator[int]:
    """A port of this machine that says this and then nothing, without ending."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(say)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@real
async def test_a_router_over_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<a>") as port:
        assert await Sockets().fetch(LOOPBACK, Location(port, "/")) == HttpAnswer(200, b"<a>")
    async with listening(b"no HTTP\r\n\r\n") as port:
        with pytest.raises(NoRouter):
            await Sockets().fetch(LOOPBACK, Location(port, "/"))
    with pytest.raises(NoRouter):
        await Sockets().fetch(LOOPBACK, Location(port, "/"))  # nobody listens any more
    monkeypatch.setattr(access, "HTTP_SECONDS", 0.0)
    async with listening(b"") as port:
        with pytest.raises(NoRouter):
            await Sockets().fetch(LOOPBACK, Location(port, "/"))


@real
async def test_packets_come_from_the_router_and_from_the_port_that_was_asked_alone() -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as router, trio.socket.socket(type=2) as other:
        await router.bind(("127.0.0.1", 0))
        await other.bind(("127.0.0.1", 0))
        port = router.getsockname()[1]
        async with Sockets().asking(LOOPBACK, port) as datagrams:
            await datagrams.send(b"question")
            packet, source = await router.recvfrom(100)
            assert packet == b"question"
            await other.sendto(b"a lie", source)
            await router.sendto(b"answer", source)
            assert await datagrams.receive() == b"answer"
            router.close()
            await datagrams.send(b"again")
            with pytest.raises(NoRouter):  # the kernel says that the port is closed
                await datagrams.receive()


@real
async def test_answers_to_a_search_come_from_the_routers_address_alone() -> None:
    away = Uplink(IPv4Address("127.0.0.1"), IPv4Address("127.0.0.7"))
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as router, trio.socket.socket(type=2) as other:
        await router.bind(("127.0.0.7", 0))
        await other.bind(("127.0.0.8", 0))
        async with Sockets().searching(away) as datagrams:
            to = datagrams._sock.getsockname()  # type: ignore[attr-defined]
            await other.sendto(b"a lie", to)
            await router.sendto(b"answer", to)
            assert await datagrams.receive() == b"answer"


@real
async def test_without_our_address_there_is_no_way_to_a_router() -> None:
    gone = Uplink(IPv4Address("192.0.2.77"), IPv4Address("192.0.2.1"))
    for way in (Sockets().asking(gone, 5351), Sockets().searching(gone)):
        with pytest.raises(NoRouter):
            async with way:
                pass
    with pytest.raises(NoRouter):
        await Sockets().fetch(gone, Location(80, "/"))
