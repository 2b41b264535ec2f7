"""WebSocket: on one port with raw TCP, dialled where raw TCP does not work, and bounded."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage

from p2pchat.core import names
from p2pchat.core.ids import PeerKey
from p2pchat.errors import Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.admission.arrivals import Arrivals
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.libp2p import dial
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.transport import lookups, websocket
from tests.conftest import run
from tests.support.certificates import certificate, server_tls
from tests.support.hosts import ECHO, Middle, echo, live_connections, make, read_exactly, running, until_apart, works
from tests.support.relays import echoes, meeting
from tests.support.virtual_time import patience


def ws(host: LibP2PHost) -> str:
    return host.addresses()[0] + "/ws"


async def tcp(host: LibP2PHost) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", host.port)


async def drain(stream: trio.abc.ReceiveStream) -> bytes:
    data = b""
    with suppress(trio.BrokenResourceError):
        while some := await stream.receive_some(65536):
            data += some
    return data


# --- one port -----------------------------------------------------------------------------------------------------


def test_raw_tcp_and_websocket_on_one_port() -> None:
    async def main() -> None:
        a, b, c = make(1), make(2), make(9, web=True)
        async with running(a, b, c):
            raw = await a.open(c.peer, c.addresses(), ECHO)
            web = await b.open(c.peer, [ws(c)], ECHO)
            assert await echoes(raw)
            assert await echoes(web)
            assert web.route == "direct"
            assert len(live_connections(c, a)) == len(live_connections(c, b)) == 1
            assert c.addresses() == (f"/ip4/127.0.0.1/tcp/{c.port}",)
            await b.disconnect(c.peer)
            await until_apart(c, b)
            assert await echoes(raw)

    run(main)


def test_much_goes_through_a_websocket() -> None:
    async def main() -> None:
        sent = bytes(range(256)) * 8192
        a, c = make(1), make(9, web=True)
        async with running(a, c), trio.open_nursery() as nursery:
            stream = await a.open(c.peer, [ws(c)], ECHO)
            nursery.start_soon(stream.write, sent)
            assert await read_exactly(stream, len(sent)) == sent

    run(main)


def test_a_websocket_in_pieces_of_one_byte() -> None:
    async def main() -> None:
        a, c = make(1), make(9, web=True)
        middle = Middle(c, piece=1)
        async with running(a, c), trio.open_nursery() as nursery:
            await nursery.start(middle.run)
            for address in (middle.address, middle.address + "/ws"):
                stream = await a.open(c.peer, [address], ECHO)
                assert await echoes(stream)
                await a.disconnect(c.peer)
            nursery.cancel_scope.cancel()

    run(main)


def test_nobody_speaks_it_unless_asked_to() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            with pytest.raises(Unreachable):
                await a.open(b.peer, [ws(b)], ECHO)

    run(main)


def test_a_circuit_by_a_relay_that_only_websocket_reaches() -> None:
    async def main() -> None:
        async with meeting(web=True) as here:
            ways = [multiaddrs.circuit(ws(here.relay), here.relay.peer)]
            stream = await here.alice.open(here.bob.peer, ways, ECHO)
            assert stream.route == "circuit"
            assert await echoes(stream)

    run(main)


def test_a_relay_known_by_its_raw_address_is_also_tried_by_websocket() -> None:
    """A firewall that takes the connection and lets nothing through but HTTP."""
    clock = MockClock()

    async def main() -> None:
        async with meeting(web=True) as here, trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

            async def firewall(outer: trio.SocketStream) -> None:
                head = bytes(await outer.receive_some(4096))
                if head.startswith(b"GET "):
                    inner = await tcp(here.relay)
                    await inner.send_all(head)
                    async with trio.open_nursery() as both:
                        both.start_soon(_pass, inner, outer)
                        both.start_soon(_pass, outer, inner)
                else:
                    await trio.sleep_forever()

            nursery.start_soon(trio.serve_listeners, firewall, listeners)
            port = listeners[0].socket.getsockname()[1]

            async def call() -> None:
                way = multiaddrs.circuit(f"/ip4/127.0.0.1/tcp/{port}", here.relay.peer)
                stream = await here.alice.open(here.bob.peer, [way], ECHO, chosen=True)
                assert await echoes(stream)
                clock.rate = 10
                nursery.cancel_scope.cancel()

            nursery.start_soon(call)
            await wait_all_tasks_blocked(0.05)
            clock.jump(dial.WEBSOCKET_AFTER)

    run(main, clock)


async def _pass(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while data := await source.receive_some(65536):
            await sink.send_all(data)


def test_raw_tcp_comes_first() -> None:
    texts = ["/ip4/10.0.0.1/tcp/9/wss", "/ip4/10.0.0.1/tcp/9/ws", "/ip4/10.0.0.1/tcp/9", "/dns4/a/tcp/1"]
    found = [target.text() for target in dial.targets(texts)]
    assert found == ["/ip4/10.0.0.1/tcp/9", "/dns4/a/tcp/1", "/ip4/10.0.0.1/tcp/9/wss", "/ip4/10.0.0.1/tcp/9/ws"]


# --- names and certificates ---------------------------------------------------------------------------------------


def test_names_are_looked_up_and_what_they_stand_for_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["0.0.0.0", "224.0.0.1", "fe80::1", "127.0.0.1", "127.0.0.1", "::ffff:10.0.0.1"]

    async def main() -> None:
        a, c = make(1), make(9, web=True)

        def look_up(name: str, family: int) -> list[str]:
            assert name == "relay.example"
            return list(said)

        monkeypatch.setattr(lookups, "_resolve", look_up)
        async with running(a, c):
            name = multiaddrs.Name("dns4", "relay.example")
            assert await dial.resolve(name, 9, chosen=True) == ["127.0.0.1"]
            assert await dial.resolve(name, 9, chosen=False) == []
            for over in ("", "/ws"):
                where = [f"/dns4/relay.example/tcp/{c.port}{over}"]
                assert await echoes(await a.open(c.peer, where, ECHO, chosen=True))
                await a.disconnect(c.peer)
                with pytest.raises(Unreachable):
                    await a.open(c.peer, where, ECHO)
            said.clear()
            with pytest.raises(Unreachable):
                await a.open(c.peer, ["/dns/relay.example/tcp/9"], ECHO, chosen=True)

    run(main)


@pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("elsewhere.example", True), ("localhost", False)])
def test_wss_goes_to_whom_the_system_trusts_by_that_name(tmp_path: Path, name: str, trusted: bool) -> None:
    theirs, both = certificate(tmp_path, name)
    server = server_tls(both)

    def client() -> ssl.SSLContext:
        context = websocket.system_tls()
        if trusted:
            context.load_verify_locations(theirs)
        return context

    async def main() -> None:
        a = LibP2PHost(bytes([1]) * 32, ["/ip4/127.0.0.1/tcp/0"], tls=client)
        c = make(9, web=True)
        async with running(a, c), trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

            async def proxy(outer: trio.SocketStream) -> None:
                """A reverse proxy, which ends TLS and passes on the rest."""
                inner, outside = await tcp(c), trio.SSLStream(outer, server, server_side=True, https_compatible=True)

                async def inwards() -> None:
                    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                        while data := await outside.receive_some(65536):
                            await inner.send_all(data)

                async with trio.open_nursery() as both:
                    both.start_soon(inwards)
                    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                        while data := await inner.receive_some(65536):
                            await outside.send_all(data)

            nursery.start_soon(trio.serve_listeners, proxy, listeners)
            address = f"/dns4/localhost/tcp/{listeners[0].socket.getsockname()[1]}/wss"
            if name == "localhost" and trusted:
                assert await echoes(await a.open(c.peer, [address], ECHO, chosen=True))
            else:
                with pytest.raises(Unreachable):
                    await a.open(c.peer, [address], ECHO, chosen=True)
            nursery.cancel_scope.cancel()

    run(main)


def test_the_systems_way_verifies() -> None:
    context = websocket.system_tls()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


# --- strangers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 3000,
        bytes(9000),
    ],
)
def test_http_that_is_no_websocket_frees_its_slot(garbage: bytes) -> None:
    async def main() -> None:
        a, c = make(1), make(9, HostLimits(inbound=2), web=True)
        async with running(a, c):
            for _ in range(3):
                stream = await tcp(c)
                async with stream:
                    with suppress(trio.BrokenResourceError):
                        await stream.send_all(garbage)
                        await stream.send_eof()
                    assert (await drain(stream)).startswith(b"HTTP/1.1 40")
            assert await works(a, c)
            assert c._running is not None
            assert c._running.inbound.direct.taken == 1

    run(main)


def test_with_a_token_there_is_a_websocket_at_its_path_only() -> None:
    """Everywhere else is a web server without a site, to whoever asks for a WebSocket too."""
    opened = names.relay_pass(bytes(32), b"token")

    async def main() -> None:
        a = make(1)
        c = LibP2PHost(bytes([9]) * 32, ["/ip4/127.0.0.1/tcp/0"], web_path=names.web_path(opened))
        c.handle(ECHO, echo)
        async with running(a, c):
            (known,) = multiaddrs.with_pass([ws(c)], opened)
            assert await echoes(await a.open(c.peer, [known], ECHO))
            await a.disconnect(c.peer)
            for other in (ws(c), *multiaddrs.with_pass([ws(c)], bytes(10))):
                with pytest.raises(Unreachable):
                    await a.open(c.peer, [other], ECHO)

    run(main)


@pytest.mark.parametrize("garbage", [b"", b"G", b"GE", b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"get "])
def test_other_garbage_frees_its_slot(garbage: bytes) -> None:
    async def main() -> None:
        a, c = make(1), make(9, HostLimits(inbound=2), web=True)
        async with running(a, c):
            for _ in range(3):
                stream = await tcp(c)
                async with stream:
                    with suppress(trio.BrokenResourceError):
                        await stream.send_all(garbage)
                        await stream.send_eof()
                    await drain(stream)
            assert await works(a, c)

    run(main)


@pytest.mark.parametrize("begun", [b"", b"GE", b"GET ", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_slow_stranger_is_closed_and_others_are_served_meanwhile(begun: bytes) -> None:
    """However many bytes come one by one, all of them together have one deadline."""
    clock = MockClock()

    async def main() -> None:
        a, c = make(1), make(9, web=True)
        async with trio.open_nursery() as nursery:
            await nursery.start(a.run)
            await nursery.start(c.run)
            slow = [await tcp(c) for _ in range(10)]
            for stream in slow:
                await stream.send_all(begun)
            assert await works(a, c)
            await wait_all_tasks_blocked(0.05)
            clock.jump(6)
            for stream in slow:
                await stream.send_all(b"GET "[len(begun) : len(begun) + 1] or b"x")
            await wait_all_tasks_blocked(0.05)
            clock.jump(10)
            for stream in slow:
                await drain(stream)
            clock.rate = 10
            nursery.cancel_scope.cancel()

    run(main, clock)


class Web:
    """A client that speaks WebSocket and then what it likes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.got = b""
        self.pongs = 0
        self.closed = False

    async def upgrade(self, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        request = Request(host="a", target="/", extra_headers=headers or [])
        await self.stream.send_all(self.protocol.send(request))
        while True:
            self.protocol.receive_data(await self.stream.receive_some(65536))
            for event in self.protocol.events():
                assert isinstance(event, AcceptConnection)
                return

    async def some(self) -> bool:
        """Take what comes; False at the end."""
        data = b""
        with suppress(trio.BrokenResourceError):
            data = bytes(await self.stream.receive_some(65536))
        if not data:
            return False
        self.protocol.receive_data(data)
        for event in self.protocol.events():
            if isinstance(event, BytesMessage):
                self.got += event.data
            self.pongs += isinstance(event, Pong)
            self.closed |= isinstance(event, CloseConnection)
        return True


def _web(main: Callable[[Web], Awaitable[None]]) -> None:
    async def inside() -> None:
        a, c = make(1), make(9, web=True)
        async with running(a, c):
            async with await tcp(c) as stream:
                web = Web(stream)
                await web.upgrade()
                await main(web)
            assert await works(a, c)

    run(inside)


MULTISTREAM = b"\x13/multistream/1.0.0\n"


def test_pings_are_answered_between_and_inside_messages() -> None:
    async def main(web: Web) -> None:
        send = web.stream.send_all
        await send(web.protocol.send(Ping(payload=b"1")) + web.protocol.send(Ping(payload=b"2")))
        await send(web.protocol.send(BytesMessage(data=MULTISTREAM[:5], message_finished=False)))
        await send(web.protocol.send(Ping(payload=b"3")))
        await send(web.protocol.send(BytesMessage(data=MULTISTREAM[5:])))
        while web.got != MULTISTREAM or not web.pongs:
            assert await web.some()

    _web(main)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",  # longer than a length can be
        b"\x82\x01x",  # not masked
        b"\x83\x80\0\0\0\0",  # an opcode that there is not
        b"\xc2\x80\0\0\0\0",  # a reserved bit
        b"\x89\xfe\xff\xff\0\0\0\0",  # a ping of 65,535 bytes
        b"\x80\x80\0\0\0\0",  # the rest of no message
        b"\x88\x81\0\0\0\0x",  # a goodbye of one byte
        b"\x88\x80\0\0\0\0",  # a goodbye
    ],
)
def test_frames_that_are_none_end_the_connection_at_once(frame: bytes) -> None:
    async def main() -> None:
        web, _, theirs = _pair()
        await theirs.send_all(frame)
        with patience(), suppress(websocket.NotWebSocket):
            assert await web.receive() == b""

    run(main)


def test_text_is_not_for_us() -> None:
    async def main() -> None:
        web, client, theirs = _pair()
        await theirs.send_all(client.send(TextMessage(data="hello")))
        with patience(), pytest.raises(websocket.NotWebSocket):
            await web.receive()

    run(main)


def _pair() -> tuple[websocket.WebSocket, WSConnection, trio.abc.Stream]:
    """A server's end, its client's state, and the stream to write to as the client."""
    server, client = WSConnection(ConnectionType.SERVER), WSConnection(ConnectionType.CLIENT)
    server.receive_data(client.send(Request(host="a", target="/")))
    assert len(list(server.events())) == 1
    client.receive_data(server.send(AcceptConnection()))
    assert len(list(client.events())) == 1
    ours, theirs = memory_stream_pair()
    return websocket.WebSocket(ours, lambda: None), client, theirs


def test_a_message_of_any_length_takes_no_more_than_its_pieces() -> None:
    """A frame that announces 2**40 bytes: what comes of it is passed on, and nothing waits for the rest."""

    async def main(web: Web) -> None:
        await web.stream.send_all(b"\x82\xff" + (2**40).to_bytes(8, "big") + bytes(4) + MULTISTREAM)
        while web.got != MULTISTREAM:
            assert await web.some()

    _web(main)


def test_empty_frames_mean_nothing() -> None:
    async def main(web: Web) -> None:
        await web.stream.send_all(b"\x82\x80\0\0\0\0" * 5000 + web.protocol.send(BytesMessage(data=MULTISTREAM)))
        while web.got != MULTISTREAM:
            assert await web.some()

    _web(main)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 101 a\r\n\r\n", b"x" * 9000, b"HTTP/1.1 1"])
def test_a_server_that_speaks_something_else_is_no_way(answer: bytes) -> None:
    async def main() -> None:
        a = make(1)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def serve(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):
                await stream.receive_some(65536)
                await stream.send_all(answer)

        async with running(a), trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, listeners)
            with pytest.raises(Unreachable):
                await a.open(
                    PeerKey(bytes(32)), [f"/ip4/127.0.0.1/tcp/{listeners[0].socket.getsockname()[1]}/ws"], ECHO
                )
            nursery.cancel_scope.cancel()

    run(main)


# --- reverse proxies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("proxies", "expected"), [(("127.0.0.1",), "192.0.2.7"), ((), "127.0.0.1")])
def test_a_proxy_that_we_know_is_believed_about_its_clients(proxies: tuple[str, ...], expected: str) -> None:
    async def main() -> None:
        c = LibP2PHost(bytes([9]) * 32, ["/ip4/127.0.0.1/tcp/0"], web_path="/", proxies=proxies)
        async with running(c), await tcp(c) as stream:
            web = Web(stream)
            await web.upgrade([(b"X-Forwarded-For", b"10.0.0.1"), (b"x-forwarded-for", b"198.51.100.1, 192.0.2.7")])
            await stream.send_all(web.protocol.send(BytesMessage(data=MULTISTREAM)))
            while web.got != MULTISTREAM:
                assert await web.some()
            assert c._running is not None
            assert c._running.inbound.direct.held(expected) == 1

    run(main)


def test_whom_a_proxy_brings_waits_in_the_line_of_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever knows the path could fill the only line that there is for all who come by the proxy."""
    waiting: list[str] = []

    async def turn(arrivals: Arrivals, number: int, place: str) -> None:
        waiting.append(place)
        await trio.sleep_forever()

    monkeypatch.setattr(Arrivals, "turn", turn)

    async def main() -> None:
        limits = HostLimits(inbound_per_place=2)
        c = LibP2PHost(bytes([9]) * 32, ["/ip4/127.0.0.1/tcp/0"], limits=limits, web_path="/", proxies=["127.0.0.1"])
        async with running(c), AsyncExitStack() as stack:
            for client in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "198.51.100.2"):
                expected = len(waiting) + 1
                stream = await stack.enter_async_context(await tcp(c))
                await stream.send_all(f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode())
                while len(waiting) < expected:
                    await trio.lowlevel.checkpoint()
            assert c._running is not None
            held = c._running.inbound.direct.held
            assert waiting == ["192.0.2.1"] * 3 + ["198.51.100.2"]
            assert (held("192.0.2.1"), held("198.51.100.2"), held("127.0.0.1")) == (2, 1, 0)

    run(main)


def test_a_proxy_brings_many_and_each_place_has_its_limit() -> None:
    async def main() -> None:
        limits = HostLimits(inbound_per_place=1)
        c = LibP2PHost(bytes([9]) * 32, ["/ip4/127.0.0.1/tcp/0"], limits=limits, web_path="/", proxies=["127.0.0.1"])

        async def come(client: bytes, stream: trio.SocketStream) -> bool:
            web = Web(stream)
            await web.upgrade([(b"X-Forwarded-For", client)])
            await stream.send_all(web.protocol.send(BytesMessage(data=MULTISTREAM)))
            while web.got != MULTISTREAM:
                if not await web.some():
                    return False
            return True

        async with running(c), await tcp(c) as one, await tcp(c) as two, await tcp(c) as three:
            assert await come(b"192.0.2.1", one)
            assert await come(b"192.0.2.2", two)
            assert await come(b"192.0.2.1", three)
            assert await drain(one) == b""  # the oldest of this place made room
            assert c._running is not None
            assert c._running.inbound.direct.taken == 2

    run(main)
