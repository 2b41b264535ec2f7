"""The bytes below the muxer: a pipe in the form that libp2p expects, and the Noise channel on top of it."""

from __future__ import annotations

import math

import trio
from libp2p.connection_types import ConnectionType
from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.keys import KeyPair
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.security.base_session import BaseSession
from multiaddr import Multiaddr

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import CountingCipher
from p2pchat.net import multiaddrs
from p2pchat.net.admission import budget
from p2pchat.net.admission.budget import Account
from p2pchat.net.allowance import CircuitTerms
from p2pchat.net.transport.pipes import Pipe, TcpPipe

WRITE_TIMEOUT = 10.0  # seconds one frame may take to leave this machine before the connection counts as dead
MAX_READ = 2**16  # the largest piece any layer above the socket has a reason to ask for: a Noise message
MAX_NEGOTIATION = 1024  # bytes of one multistream-select message; ours are below 40
MAX_READS = 100  # by libp2p, before Noise is agreed on: a negotiation and a handshake take 10
_LENGTH = 2  # bytes that say how long a Noise message is
MAX_PLAINTEXT_LENGTH = 65_519  # bytes in one: 65,535, without its tag (Noise specification, section 3)


def shielded(seconds: float) -> trio.CancelScope:
    """Return a scope that no cancellation from outside reaches, and that ends by itself after `seconds`."""
    scope = trio.CancelScope(deadline=trio.current_time() + seconds)
    scope.shield = True
    return scope


class RawPipe(ReadWriteCloser):
    """One pipe in the form that libp2p expects: `read(n)` returns exactly n bytes, or fewer only at the end.

    One task reads and one writes at a time. place: where it comes from, for limits. account: how much work it may
    cause. remote: IP address and port of the other end, for telling it its public address. local: our own address, of
    a connection that we have dialled. punched: both sides made it, through their routers. moved: when the last byte
    came, of whatever. terms: what a circuit may carry.
    """

    def __init__(
        self,
        pipe: Pipe,
        place: str = "",
        remote: tuple[str, int] | None = None,
        local: str = "",
        *,
        punched: bool = False,
        terms: CircuitTerms | None = None,
    ) -> None:
        self.punched = punched
        self.terms = terms
        self._pipe = pipe
        self.place = place
        self.account = Account(place)
        pipe.bill(self.account)
        self.remote = remote
        self.local = local
        self.moved = -math.inf
        self._buffer = bytearray()
        self._reads = 0

    @property
    def route(self) -> Route:
        """How the bytes travel: `DIRECT` or `CIRCUIT`."""
        return self._pipe.route

    @property
    def waiting(self) -> int:
        """The number of bytes that have arrived and were not read."""
        return len(self._buffer)

    async def read(self, n: int | None = None) -> bytes:
        """Read exactly `n` bytes, or fewer at the end. Raises ConnectionClosedError.

        Every caller in libp2p reads a length it knows: one above `MAX_READ` was announced by a peer who means harm.
        """
        if n is None or not 0 <= n <= MAX_READ:
            raise ConnectionClosedError("a peer announced too much", transport="tcp")
        self._reads += 1
        if self._reads > MAX_READS:
            raise ConnectionClosedError("a peer asks too often", transport="tcp")
        self.account.charge(budget.READ)
        if self.account.due:
            await self.account.settle()
        await self._until(n)
        return self._taken(0, n)

    async def wait_readable(self) -> None:
        """Wait until there is something to read, or the end. Raises ConnectionClosedError."""
        await self._until(1)

    def peek(self, n: int) -> bytes:
        """Return up to `n` bytes of what waits, and leave them there."""
        return bytes(self._buffer[:n])

    def skip(self, n: int) -> None:
        """Drop `n` bytes, as two reads of libp2p's would have taken them. Raises ConnectionClosedError."""
        self._reads += 2
        if self._reads > MAX_READS:
            raise ConnectionClosedError("a peer asks too often", transport="tcp")
        self.account.charge(budget.READ)
        del self._buffer[:n]

    async def message(self) -> bytes:
        """Return the next Noise message, still sealed, without its length; b"" at the end. Raises
        ConnectionClosedError.
        """
        if await self._until(_LENGTH):
            length = int.from_bytes(self._buffer[:_LENGTH], "big")
            if await self._until(_LENGTH + length):
                return self._taken(_LENGTH, length)
        return b""

    async def _until(self, n: int) -> bool:
        """Wait for n bytes; return whether they arrived."""
        try:
            while len(self._buffer) < n:
                chunk = await self._pipe.receive()
                if not chunk:
                    return False
                self._buffer += chunk
                self.moved = trio.current_time()
                del chunk  # it would be kept for as long as the next one is waited for
                self.account.received()
                if self.account.due:
                    await self.account.settle()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke", transport="tcp") from error
        return True

    def _taken(self, start: int, size: int) -> bytes:
        with memoryview(self._buffer) as view:
            piece = bytes(view[start : start + size])
        del self._buffer[: start + size]
        return piece

    def widen(self) -> None:
        """Receive more at once from now on: the connection brings files, which somebody here asked for."""
        self._pipe.widen()

    async def write(self, data: bytes) -> None:
        """Write all of `data`. Raises ConnectionClosedError."""
        try:
            await self._pipe.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke", transport="tcp") from error

    def write_now(self, data: bytes) -> bytes:
        """Write what goes without waiting. Returns the bytes that are left to `write`: all of them where this is no
        socket.
        """
        if not isinstance(self._pipe, TcpPipe):
            return data
        try:
            return data[self._pipe.send_now(data) :]
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError("the connection broke", transport="tcp") from error

    async def close(self) -> None:
        """Send a close frame if the transport has one, then close the connection."""
        await self._pipe.close()

    def abandon(self) -> None:
        """Close it now, without waiting: whoever reads or writes is woken with an error."""
        self._pipe.abandon()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the remote address, which libp2p uses only in its logs."""
        return None


class NoiseChannel(BaseSession):
    """A `SecureSession` of libp2p, without the five layers through which each read of 12 bytes passes there: a message
    is read from the pipe, decrypted, and passed on whole. One task writes at a time.
    """

    def __init__(
        self,
        wire: RawPipe,
        me: ID,
        pair: KeyPair,
        peer: PeerKey,
        send: CountingCipher,
        receive: CountingCipher,
        *,
        dialled: bool,
    ) -> None:
        super().__init__(
            local_peer=me,
            local_private_key=pair.private_key,
            remote_peer=ID(multiaddrs.multihash(peer)),
            remote_permanent_pubkey=Ed25519PublicKey.from_bytes(peer),
            is_initiator=dialled,
        )
        self.wire = wire
        self._send = send
        self._receive = receive
        self._rest = b""  # of a message that was not asked for whole

    @property
    def waiting(self) -> int:
        """The number of bytes that have arrived and were not read, as far as they are decrypted."""
        return len(self._rest)

    @property
    def account(self) -> Account:
        """How much work the connection may cause."""
        return self.wire.account

    async def message(self) -> bytes:
        """Return what came, as far as one Noise message goes; b"" at the end.

        Raises ConnectionClosedError, also for a message that holds nothing, and CannotOpen for what was not sealed by
        the other end.
        """
        if not self._rest:
            account = self.wire.account
            if account.due:
                await account.settle()
            sealed = await self.wire.message()
            if not sealed:
                return b""
            self._rest = self._receive.decrypt(sealed)
            del sealed
            account.charge(budget.MESSAGE)
            if not self._rest:
                raise ConnectionClosedError("an empty message", transport="tcp")
        message, self._rest = self._rest, b""
        return message

    async def wait_readable(self) -> None:
        """Wait until there is something to read, or the end. Raises ConnectionClosedError, CannotOpen."""
        self._rest = await self.message()

    def peek(self, n: int) -> bytes:
        """Return up to `n` bytes of what waits, and leave them there."""
        return self._rest[:n]

    def skip(self, n: int) -> None:
        """Drop `n` bytes."""
        self._rest = self._rest[n:]

    async def read(self, n: int | None = None) -> bytes:
        """Read exactly n bytes, or fewer at the end; for the negotiation."""
        assert n is not None
        data = b""
        while len(data) < n:
            chunk = await self.message()
            if not chunk:
                break
            data, self._rest = data + chunk[: n - len(data)], chunk[n - len(data) :]
        return data

    async def write(self, data: bytes) -> None:
        """Seal and write all of `data`. Raises ConnectionClosedError."""
        await self.wire.write(self._seal(data))

    def write_now(self, data: bytes) -> bytes:
        """Seal `data` and write what goes without waiting. Returns the sealed bytes that are left to the pipe's
        `write`.
        """
        return self.wire.write_now(self._seal(data))

    def _seal(self, data: bytes) -> bytes:
        pieces = []
        for start in range(0, len(data), MAX_PLAINTEXT_LENGTH):
            sealed = self._send.encrypt(data[start : start + MAX_PLAINTEXT_LENGTH])
            pieces += [len(sealed).to_bytes(_LENGTH, "big"), sealed]
        return b"".join(pieces)

    async def close(self) -> None:
        """Close the connection below."""
        await self.wire.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return None: libp2p wants to know for its logs only."""
        return None

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return nothing: libp2p wants to know for its logs only."""
        return []

    def get_connection_type(self) -> ConnectionType:
        """Return what libp2p calls a connection that it need not know about."""
        return ConnectionType.UNKNOWN
