"""`ports.Stream` over a libp2p stream: one error in place of all of libp2p's, and no cancellation during a write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trio
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.admission.budget import Account
from p2pchat.net.allowance import Allowance, CircuitTerms
from p2pchat.net.libp2p import handshake, hardening
from p2pchat.net.libp2p.secure_channel import WRITE_TIMEOUT, shielded
from p2pchat.net.libp2p.yamux import GuardedYamux, Substream, acknowledge, give_up, take_now, wait_readable
from p2pchat.net.transport.pipes import CHUNK

STREAM_TIMEOUT = 15.0  # seconds one write may take in all
BESIDE_TIMEOUT = 10.0  # seconds within which the other end has to agree to a stream beside one that it has


class LibP2PStream:
    """`ports.Stream` over one libp2p stream. head: bytes that go before everything else, joined with what is written
    first. punched, terms: see `ports`. connection: an object that all streams of one connection share, for comparison
    only.
    """

    def __init__(self, stream: Substream, peer: PeerKey, *, inbound: bool, head: bytes = b"") -> None:
        assert isinstance(stream.muxed_conn, GuardedYamux)
        self.peer = peer
        self.inbound = inbound
        self._inner = stream
        self._muxed = stream.muxed_conn
        self.connection: object = self._muxed
        self.punched = self._muxed.wire.punched
        self.terms = self._muxed.wire.terms
        self._closed = False
        self._head = head

    @property
    def route(self) -> Route:
        """How the bytes travel: `DIRECT` or `CIRCUIT`."""
        return self._muxed.route

    @property
    def place(self) -> str:
        """Where on the network the other side is (`multiaddrs.neighbourhood`, or the relay it came through), for
        limits; never to be logged.
        """
        return self._muxed.wire.place

    @property
    def relay(self) -> PeerKey | None:
        """The transport key of the relay of a circuit; None of a direct connection."""
        return multiaddrs.relay_of(self.place) if self.route == Route.CIRCUIT else None

    @property
    def account(self) -> Account:
        """What the connection may cost: of a contact's, say `prove`."""
        return self._muxed.account

    @property
    def remote(self) -> tuple[str, int] | None:
        """The IP address and port of the other end; None over a circuit. Never to be logged."""
        return self._muxed.wire.remote

    @property
    def short(self) -> Allowance | None:
        """What may still go over the connection, if that is a short one, which ends with this stream."""
        return self._muxed.short

    async def read(self, at_most: int) -> bytes:
        """Wait for 1 to `at_most` bytes; b"" means that the other side ended its half. Raises LinkLost."""
        if self._closed or at_most < 1:
            raise LinkLost("this stream was closed here")
        if self._head:
            await self.write(b"")
        try:
            return await self._muxed.take(self._inner, at_most)
        except MuxedStreamError as error:
            if hardening.ended_cleanly(self._muxed, error) and not self._closed:
                return b""
            raise hardening.lost(error) from error
        except Exception as error:  # the one error of a stream is ours
            raise hardening.lost(error) from error

    async def write(self, data: bytes) -> None:
        """Pass all of `data` to the connection, shielded from cancellation. Raises LinkLost, also if the peer accepts
        nothing for `STREAM_TIMEOUT` seconds.
        """
        if self._closed:
            raise LinkLost("this stream was closed here")
        data, self._head = self._head + data, b""
        if self._muxed.goes_at_once(self._inner, len(data)):
            await self._put(data)
            return
        with shielded(STREAM_TIMEOUT) as scope:
            await self._put(data)
        if scope.cancelled_caught:
            await hardening.reset(self._inner)
            raise LinkLost("the peer takes nothing")

    def write_now(self, data: bytes) -> bool:
        """Write all of `data` without waiting, or nothing.

        Returns False where nothing was written: `write` waits for what is missing, or says that the stream is over.
        """
        if self._closed or not self._muxed.put_now(self._inner, self._head + data):
            return False
        self._head = b""
        return True

    async def _put(self, data: bytes) -> None:
        try:
            await self._muxed.put(self._inner, data)
        except Exception as error:  # the one error of a stream is ours
            raise hardening.lost(error) from error

    async def close(self) -> None:
        """End both directions. Never raises; may be called twice; shielded from cancellation."""
        if self._closed:
            return
        if self._head:
            with suppress(LinkLost):
                await self.write(b"")
        self._closed = True
        with shielded(STREAM_TIMEOUT):
            with suppress(Exception):
                await self._inner.close()
            with suppress(Exception):
                await self._muxed.forget(self._inner)
        if self.short is not None:
            self._muxed.abandon()

    async def beside(self, protocol: str, window: int) -> LibP2PStream:
        """Open another stream on the same connection, as `ports.Branching.beside` says."""
        muxed, inner = self._muxed, None
        if not muxed.alive or muxed.short is not None or not muxed.stream_backlog_semaphore.value:
            raise Unreachable("this connection takes no further stream")
        with suppress(MuxedStreamError), shielded(WRITE_TIMEOUT):
            inner = await muxed.open_stream()
        if inner is None:
            raise Unreachable("the connection ends")
        try:
            with trio.fail_after(BESIDE_TIMEOUT):
                await handshake.propose(NegotiationChannel(inner), protocol.encode())
                await inner.widen(window)
        except BaseException as error:
            await hardening.reset(inner)
            if isinstance(error, Exception) and not isinstance(error, Unreachable):
                raise Unreachable(f"no stream could be opened ({type(error).__name__})") from error
            raise
        return LibP2PStream(inner, self.peer, inbound=False)

    async def prove(self, seconds: float) -> None:
        """Sever the connection that carries the stream unless its other end answers within so many seconds."""
        with suppress(Exception):  # of a write: it is over
            await self._muxed.prove(seconds)

    def sever(self) -> None:
        """End the connection that carries the stream, at once and without a word: it has gone silent."""
        give_up(self._muxed)

    def cut(self) -> None:
        """Wake whoever reads or writes it with an error, at once; `kill` has still to come."""
        self._closed = True
        self._muxed.cut(self._inner)

    async def kill(self) -> None:
        """End both directions without waiting for anything to arrive. Never raises; shielded from cancellation."""
        self._closed = True
        await self._muxed.kill(self._inner)
        if self.short is not None:
            self._muxed.abandon()

    @contextmanager
    def carrying(self) -> Iterator[None]:
        """While it carries a connection or is half of a circuit: its window comes on top of what may be unread."""
        self._muxed.carried += 1
        try:
            yield
        finally:
            self._muxed.carried -= 1


def is_over(stream: LibP2PStream) -> bool:
    """Return whether the connection of a stream has ended, or is about to."""
    return not stream._muxed.alive


class NegotiationChannel:
    """A stream while its two ends agree on a protocol: a `handshake.Channel`."""

    def __init__(self, stream: Substream) -> None:
        assert isinstance(stream.muxed_conn, GuardedYamux)
        self._inner = stream
        self._muxed = stream.muxed_conn

    @property
    def waiting(self) -> int:
        """Bytes that have come and were not read."""
        return len(self._muxed.stream_buffers.get(self._inner.stream_id, b""))

    @property
    def account(self) -> Account:
        """What the connection may cost."""
        return self._muxed.account

    async def wait_readable(self) -> None:
        """Wait until there is something to read. Raises what libp2p does, also at the end."""
        await wait_readable(self._inner)

    def peek(self, n: int) -> bytes:
        """Return up to `n` bytes of what waits, and leave them there."""
        return bytes(self._muxed.stream_buffers.get(self._inner.stream_id, b"")[:n])

    def skip(self, n: int) -> None:
        """Drop `n` bytes."""
        take_now(self._inner, n)

    async def read(self, n: int | None = None) -> bytes:
        """Read `n` bytes, never more. Raises what libp2p does, also at the end."""
        assert n is not None
        data = b""
        while len(data) < n:
            data += await self._muxed.take(self._inner, n - len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises what libp2p does."""
        with shielded(STREAM_TIMEOUT):
            await acknowledge(self._inner)  # by itself, as libp2p does
            await self._muxed.put(self._inner, data)


class CircuitPipe:
    """`pipes.Pipe` over a stream with a relay that has been joined to somebody's.

    Whoever made it ends the stream with `kill` when the connection on it is over. terms: what it may carry.
    """

    route = Route.CIRCUIT

    def __init__(self, stream: LibP2PStream, terms: CircuitTerms) -> None:
        self._stream = stream
        self.terms = terms

    @property
    def short(self) -> Allowance | None:
        """What may still go over the connection with the relay, if that is a short one."""
        return self._stream.short

    async def receive(self) -> bytes:
        """Wait for 1 to `CHUNK` bytes; b"" at the end. Raises BrokenResourceError."""
        try:
            data = await self._stream.read(CHUNK)
        except LinkLost as error:
            raise trio.BrokenResourceError from error
        self.terms.carried += len(data)
        return data

    def widen(self) -> None:
        """Change nothing: no more comes at once."""

    async def send(self, data: bytes) -> None:
        """Send all of `data`. Raises BrokenResourceError."""
        self.terms.carried += len(data)
        try:
            await self._stream.write(data)
        except LinkLost as error:
            raise trio.BrokenResourceError from error

    async def close(self) -> None:
        """Close the stream with the relay."""
        await self._stream.close()

    def abandon(self) -> None:
        """Wake whoever receives or sends with an error, at once."""
        self._stream.cut()

    def bill(self, account: Account) -> None:
        """Charge nothing: the bytes of a circuit come as those of a stream, which is paid for."""
        pass


def key_of(peer: ID) -> PeerKey:
    """Return the 32-byte key of a libp2p peer id. Raises LinkLost where it holds none."""
    key = multiaddrs.peer_from_multihash(peer.to_bytes())
    if key is None:
        raise LinkLost("a peer without an Ed25519 key")
    return key
