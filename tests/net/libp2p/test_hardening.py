"""Each fault of libp2p that `guard` and `host` contain, provoked. Every test here fails when its containment is off."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.rsa import create_new_key_pair as create_rsa_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TMuxerOptions, TProtocol
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.admission.budget import Account
from p2pchat.net.admission.limits import WINDOW, HostLimits
from p2pchat.net.admission.places import PlaceSums
from p2pchat.net.libp2p import hardening
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.secure_channel import WRITE_TIMEOUT, RawPipe, shielded
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.ports import Handler, Stream
from p2pchat.net.transport.pipes import TcpPipe
from tests.conftest import run
from tests.support.hosts import (
    ECHO,
    Middle,
    call,
    live_connections,
    make,
    muxer,
    read_exactly,
    running,
    until_apart,
    works,
)

# --- handlers and streams -----------------------------------------------------------------------------------------


class _Oops(Exception):
    pass


async def _raise(stream: Stream) -> None:
    raise _Oops


async def _raise_from_two_tasks(stream: Stream) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_raise, stream)
        nursery.start_soon(_raise, stream)


@pytest.mark.parametrize("handler", [_raise, _raise_from_two_tasks])
def test_a_raising_handler_ends_only_its_stream(handler: Handler) -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        b.handle("/test/raise/1", handler)
        async with running(a, b):
            good = await call(a, b)
            for _ in range(3):
                bad = await call(a, b, "/test/raise/1")
                assert await _end(bad)
            await good.write(b"still")
            assert await read_exactly(good, 5) == b"still"

    run(main)


async def _end(stream: Stream) -> bool:
    """Whether a stream ends, in either way."""
    try:
        return await stream.read(1) == b""
    except LinkLost:
        return True


def test_a_cancelled_handler_that_also_failed_is_only_cancelled() -> None:
    async def main() -> None:
        async def both(stream: object) -> None:
            raise BaseExceptionGroup("", [KeyboardInterrupt(), _Oops()])

        class Stream:
            reset_received = False

            class muxed_conn:  # noqa: N801
                peer_id = ID(b"x")

            async def reset(self) -> None:
                await trio.lowlevel.checkpoint()

        with pytest.raises(BaseExceptionGroup) as caught:
            await hardening.StreamGuard(both, PlaceSums(1, 1))(Stream())  # type: ignore[arg-type]
        assert [type(each) for each in caught.value.exceptions] == [KeyboardInterrupt]

    run(main)


def test_a_peer_has_only_so_many_streams() -> None:
    async def main() -> None:
        a, b, c = make(1), make(2, HostLimits(streams_per_peer=2)), make(3)
        async with running(a, b, c):
            first, _second = await call(a, b), await call(a, b)
            with pytest.raises(Unreachable):
                await call(a, b)
            assert await works(c, b)  # others are not affected
            await first.close()
            await _eventually(a, b)

    run(main)


async def _eventually(a: LibP2PHost, b: LibP2PHost) -> None:
    """b takes a stream again, as soon as it has noticed that one ended."""
    while True:
        try:
            assert await works(a, b)
        except Unreachable:
            continue
        return


def test_a_stream_we_closed_takes_nothing_more() -> None:
    async def main() -> None:
        a, b = make(1), make(2)

        async def close(stream: Stream) -> None:
            await stream.close()

        b.handle("/test/close/1", close)
        async with running(a, b):
            stream = await call(a, b, "/test/close/1")
            assert await stream.read(1) == b""
            await stream.write(bytes(100_000))
            assert await works(a, b)  # so b has seen all of it
            assert sum(map(len, muxer(b, a).stream_buffers.values())) == 0

    run(main)


# --- cancellation -------------------------------------------------------------------------------------------------


def test_cancelled_writes_and_opens_leave_the_connection_alone() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            await works(a, b)
            (before,) = live_connections(a, b)
            for size in (1, 1000, 300_000):
                stream = await call(a, b)
                for patience in range(15):
                    with trio.CancelScope() as scope:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(stream.write, bytes(size))
                            nursery.start_soon(_open_and_close, a, b)
                            for _ in range(patience):
                                await trio.lowlevel.checkpoint()
                            scope.cancel()
                    await read_exactly(stream, size)
                await stream.close()
            assert await works(a, b)
            assert live_connections(a, b) == [before]

    run(main)


async def _open_and_close(a: LibP2PHost, b: LibP2PHost) -> None:
    await (await call(a, b)).close()


class _Sink:
    """A secured connection whose writes take until `go`, and which notes what was written to its end."""

    is_initiator = True

    def __init__(self, cord: _Cord | None = None) -> None:
        self.wire = cord or _Cord()
        self.go = trio.Event()
        self.written = b""
        self.begun = trio.Event()

    async def write(self, data: bytes) -> None:
        self.begun.set()
        await self.go.wait()
        self.written += data


class _Cord:
    abandoned = False

    def __init__(self) -> None:
        self.account = Account()

    def abandon(self) -> None:
        self.abandoned = True


def _muxer(sink: _Sink) -> GuardedYamux:
    return GuardedYamux(sink, ID(b"x"), 1000)  # type: ignore[arg-type]


def test_a_frame_once_begun_is_written_to_its_end() -> None:
    async def main() -> None:
        sink = _Sink()
        muxed = _muxer(sink)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxed._write_frame, b"frame")
            await sink.begun.wait()
            nursery.cancel_scope.cancel()
            sink.go.set()
        assert sink.written == b"frame"

    run(main)


def test_a_frame_that_waits_for_its_turn_can_be_cancelled() -> None:
    async def main() -> None:
        sink = _Sink()
        muxed = _muxer(sink)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxed._write_frame, b"first")
            await sink.begun.wait()
            with trio.CancelScope() as scope:
                scope.cancel()
                await muxed._write_frame(b"second")
            assert scope.cancelled_caught
            sink.go.set()
        assert sink.written == b"first"

    run(main)


def test_a_peer_that_takes_nothing_loses_its_connection() -> None:
    async def main() -> None:
        cord = _Cord()
        with trio.CancelScope() as outer:
            outer.cancel()
            with shielded(60), pytest.raises(ConnectionClosedError):
                await _muxer(_Sink(cord))._write_frame(b"frame")
        assert cord.abandoned
        assert trio.current_time() - start == WRITE_TIMEOUT

    clock = MockClock(autojump_threshold=0)
    start = clock.current_time()
    run(main, clock)


def test_a_write_to_a_peer_that_does_not_read_ends() -> None:
    clock = MockClock()

    async def main() -> None:
        a, b = make(1), make(2)
        hold = trio.Event()

        async def deaf(stream: Stream) -> None:
            await hold.wait()

        b.handle("/test/deaf/1", deaf)
        async with trio.open_nursery() as nursery:
            await nursery.start(a.run)
            await nursery.start(b.run)
            stream = await call(a, b, "/test/deaf/1")

            async def write() -> None:
                with pytest.raises(LinkLost):
                    await stream.write(bytes(10**6))
                hold.set()
                assert await works(a, b)
                nursery.cancel_scope.cancel()

            nursery.start_soon(write)
            await wait_all_tasks_blocked(0.05)
            clock.rate = 50

    run(main, clock)


def test_a_cancelled_read_loses_nothing() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            stream = await call(a, b)
            assert isinstance(stream, LibP2PStream)
            inner, busy = stream._inner, trio.Event()

            async def grant(increment: int, skip_lock: bool = False) -> None:
                busy.set()
                await trio.lowlevel.checkpoint()

            got: list[bytes] = []

            async def read() -> None:
                got.append(await stream.read(WINDOW))

            inner.send_window_update = grant  # type: ignore[method-assign]
            inner._pending_recv_release = WINDOW
            await stream.write(b"hello")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await busy.wait()
                nursery.cancel_scope.cancel()
            assert got == [b"hello"]

    run(main)


# --- what peers may send ------------------------------------------------------------------------------------------


def test_a_peer_that_ignores_its_window_is_cut_off() -> None:
    async def main() -> None:
        a, b = make(1), make(2, HostLimits(unread=10**6))
        hold = trio.Event()

        async def deaf(stream: Stream) -> None:
            await hold.wait()

        b.handle("/test/deaf/1", deaf)
        async with running(a, b):
            stream = await call(a, b, "/test/deaf/1")
            assert isinstance(stream, LibP2PStream)
            ours = muxer(a, b)
            chunk = bytes(50_000)
            header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, stream._inner.stream_id, len(chunk))
            with suppress(ConnectionClosedError):
                while True:
                    await ours._write_frame(header + chunk)
                    for conn in live_connections(b, a):
                        assert isinstance(conn.muxed_conn, GuardedYamux)
                        assert sum(map(len, conn.muxed_conn.stream_buffers.values())) <= 10**6
            hold.set()
            assert await works(a, b)

    run(main)


def _sockets() -> tuple[trio.SocketStream, trio.SocketStream]:
    one, two = trio.socket.socketpair()
    return trio.SocketStream(one), trio.SocketStream(two)


def test_nobody_makes_us_reserve_what_they_announce() -> None:
    async def main() -> None:
        ours, theirs = _sockets()
        wire = RawPipe(TcpPipe(ours.socket))
        await theirs.send_all(b"xx")
        with pytest.raises(ConnectionClosedError):
            await wire.read(2**40)
        assert await wire.read(2) == b"xx"

    run(main)


def test_a_protocol_name_has_a_limit() -> None:
    """Before a stream has a protocol, its peer may be anyone."""

    async def main() -> None:
        a, b = make(1), make(2, HostLimits(negotiation=10_000))  # so that it is not the time limit that ends it
        async with running(a, b):
            await works(a, b)
            inner = await muxer(a, b).open_stream()
            await inner.write(b"\xff\xff\x3f" + bytes(2000))
            with suppress(MuxedStreamReset, MuxedStreamEOF):
                while True:
                    await inner.read(1000)
            assert await works(a, b)

    run(main)


def test_a_message_may_come_in_many_small_pieces() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        middle = Middle(b, piece=1)
        async with running(a, b), trio.open_nursery() as nursery:
            await nursery.start(middle.run)
            stream = await a.open(b.peer, (middle.address,), ECHO)
            await stream.write(bytes(3000))
            assert await read_exactly(stream, 3000) == bytes(3000)
            nursery.cancel_scope.cancel()

    run(main)


# --- connections --------------------------------------------------------------------------------------------------


def test_slots_of_ended_connections_are_free_again() -> None:
    """As shipped, the 250th connection ever is the last."""

    async def main() -> None:
        a, b = make(1), make(2, HostLimits(inbound=3))
        async with running(a, b):
            for _ in range(10):
                assert await works(a, b)
                await a.disconnect(b.peer)
                await until_apart(b, a)

    run(main)


def test_garbage_frees_its_slot_too() -> None:
    async def main() -> None:
        a, b = make(1), make(2, HostLimits(inbound=2))
        async with running(a, b):
            for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(70_000), b"\x13/multistream/1.0.0\n" + b"\xff" * 99, b""):
                stream = await trio.open_tcp_stream("127.0.0.1", b.port)
                async with stream:
                    with suppress(trio.BrokenResourceError):
                        await stream.send_all(garbage)
                        await stream.send_eof()
                    await _drain(stream)
            assert await works(a, b)

    run(main)


async def _drain(stream: trio.SocketStream) -> bytes:
    data = b""
    try:
        while some := await stream.receive_some(65536):
            data += some
    except trio.BrokenResourceError:
        pass
    return data


def test_a_silent_stranger_is_closed_and_others_are_served_meanwhile() -> None:
    clock = MockClock()

    async def main() -> None:
        a, b = make(1), make(2)
        async with trio.open_nursery() as nursery:
            await nursery.start(a.run)
            await nursery.start(b.run)
            silent = [await trio.open_tcp_stream("127.0.0.1", b.port) for _ in range(20)]
            assert await works(a, b)
            await wait_all_tasks_blocked(0.05)
            clock.jump(10)
            for stream in silent:
                await _drain(stream)
            clock.rate = 1
            nursery.cancel_scope.cancel()

    run(main, clock)


@pytest.mark.parametrize("limits", [HostLimits(inbound=3), HostLimits(inbound_per_place=3)])
def test_no_more_connections_than_allowed(limits: HostLimits) -> None:
    """All who are there have proven something: they asked for an echo."""

    async def main() -> None:
        b = make(2, limits)
        many = [make(number) for number in range(10, 14)]
        async with running(b, *many):
            for a in many[:3]:
                assert await works(a, b)
            with pytest.raises(Unreachable):
                await call(many[3], b)
            assert sum(b.refused.values()) == 1
            await many[0].disconnect(b.peer)
            await until_apart(b, many[0])
            assert await works(many[3], b)

    run(main)


# --- who may speak with us ----------------------------------------------------------------------------------------


async def _stock_dial(b: LibP2PHost, pair: KeyPair, muxers: TMuxerOptions | None = None) -> Exception | None:
    """Dial b with libp2p as shipped and speak on a stream; what went wrong, if anything."""
    noise = Noise(pair, noise_privkey=create_noise_key_pair().private_key)
    stock = new_host(key_pair=pair, sec_opt={NOISE: noise}, muxer_opt=muxers)
    async with stock.run(listen_addrs=[]):
        try:
            raw = await TCP().dial(Multiaddr(b.addresses()[0]))
            conn = await stock.upgrade_outbound_connection(raw, ID(multiaddrs.multihash(b.peer)))
            stream = await conn.new_stream()
            await stream.write(b"\x13/multistream/1.0.0\n")
            await stream.read(20)
        except Exception as error:  # noqa: BLE001 - its kind depends on where libp2p notices
            return error
        finally:
            await stock.close()
    return None


def test_libp2p_as_shipped_can_speak_with_us() -> None:
    """So that the refusals below are not for some other reason."""

    async def main() -> None:
        b = make(2)
        async with running(b):
            assert await _stock_dial(b, create_new_key_pair(bytes(32))) is None

    run(main)


def test_only_ed25519_identities() -> None:
    async def main() -> None:
        b = make(2)
        async with running(b):
            assert await _stock_dial(b, create_rsa_key_pair(2048)) is not None
            assert b.connected() == ()

    run(main)


def test_no_mplex() -> None:
    async def main() -> None:
        b = make(2)
        async with running(b):
            pair = create_new_key_pair(bytes(32))
            error = await _stock_dial(b, pair, {TProtocol(MPLEX_PROTOCOL_ID): Mplex})
            assert isinstance(error, SwarmException)

    run(main)


@pytest.mark.parametrize("proposal", ["/plaintext/2.0.0", "/tls/1.0.0", "/secio/1.0.0"])
def test_nothing_but_noise(proposal: str) -> None:
    async def main() -> None:
        b = make(2)
        async with running(b):
            stream = await trio.open_tcp_stream("127.0.0.1", b.port)
            line = proposal.encode() + b"\n"
            await stream.send_all(b"\x13/multistream/1.0.0\n" + bytes([len(line)]) + line)
            expected = b"\x13/multistream/1.0.0\n\x03na\n"
            answer = b""
            while len(answer) < len(expected):
                answer += await stream.receive_some(100)
            assert answer == expected

    run(main)


def test_a_peer_in_plain_text_is_not_dialled() -> None:
    async def main() -> None:
        a = make(1)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def plaintext_only(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"\x13/multistream/1.0.0\n")
                while await stream.receive_some(100):
                    await stream.send_all(b"\x03na\n")

        async with running(a), trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, plaintext_only, listeners)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises(Unreachable):
                await a.open(PeerKey(bytes(32)), [f"/ip4/127.0.0.1/tcp/{port}"], ECHO)
            nursery.cancel_scope.cancel()

    run(main)
