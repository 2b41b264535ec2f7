"""The bytes under the muxer: a pipe as libp2p wants it, and what Noise made of one."""

from __future__ import annotations

import trio
from libp2p.abc import INetStream, ISecureConn
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession

from p2pchat.net.pipes import Pipe

WRITE_PATIENCE = 10.0  # seconds one frame may take to leave this machine before the connection counts as dead
MAX_READ = 2**16  # the largest piece any layer above the socket has a reason to ask for: a Noise message
MAX_NEGOTIATION = 1024  # bytes of one multistream-select message; ours are below 40
GREETING = b"\x13/multistream/1.0.0\n"
_LENGTH = 2  # bytes that say how long a Noise message is


def shielded(seconds: float) -> trio.CancelScope:
    """A scope that no cancellation from outside reaches, and that ends by itself after `seconds`."""
    scope = trio.CancelScope(deadline=trio.current_time() + seconds)
    scope.shield = True
    return scope


class Wire(ReadWriteCloser):
    """One pipe, as libp2p wants it: `read(n)` gives exactly n bytes, or fewer only at the end.

    One task reads and one writes at a time. place: where it comes from, as far as limits go. remote: IP address and
    port of the other end, for telling it where it is seen. inbound: nothing is sent before the other side has said
    libp2p's greeting (py-libp2p greets whoever connects, so that one scan of the banners finds all of it).
    """

    def __init__(
        self, pipe: Pipe, place: str = "", remote: tuple[str, int] | None = None, *, inbound: bool = False
    ) -> None:
        self._pipe = pipe
        self.place = place
        self.remote = remote
        self._buffer = bytearray()
        self._ungreeted = inbound
        self._heard = self._held = b""

    @property
    def route(self) -> str:
        return self._pipe.route

    async def read(self, n: int | None = None) -> bytes:
        """Every caller in libp2p reads a length it knows. One above MAX_READ was announced by a peer who means harm."""
        if n is None or not 0 <= n <= MAX_READ:
            raise ConnectionClosedError("a peer announced too much", transport="tcp")
        await self._until(n)
        piece = self._taken(0, n)
        if self._ungreeted and len(self._heard) < len(GREETING):
            self._heard += piece
            if self._heard == GREETING:
                self._ungreeted = False
                await self.write(self._held)
        return piece

    async def message(self) -> bytes:
        """The next Noise message, still sealed, without its length; b"" at the end."""
        if await self._until(_LENGTH):
            length = int.from_bytes(self._buffer[:_LENGTH], "big")
            if await self._until(_LENGTH + length):
                return self._taken(_LENGTH, length)
        return b""

    async def _until(self, n: int) -> bool:
        """Whether there are n bytes, having waited for them."""
        try:
            while len(self._buffer) < n:
                some = await self._pipe.receive()
                if not some:
                    return False
                self._buffer += some
                del some  # it would be kept for as long as the next one is waited for
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke", transport="tcp") from error
        return True

    def _taken(self, start: int, size: int) -> bytes:
        with memoryview(self._buffer) as view:
            piece = bytes(view[start : start + size])
        del self._buffer[: start + size]
        return piece

    async def write(self, data: bytes) -> None:
        if self._ungreeted:
            self._held += data
            return
        try:
            await self._pipe.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the connection broke", transport="tcp") from error

    async def close(self) -> None:
        await self._pipe.close()

    def abandon(self) -> None:
        """Close it now, without waiting: whoever reads or writes is woken with an error."""
        self._pipe.abandon()

    def get_remote_address(self) -> tuple[str, int] | None:
        """libp2p wants to know for its logs only."""
        return None


class Sealed(SecureSession):
    """libp2p's `SecureSession` after its handshake, without the five layers that each read of 12 bytes goes through
    there: a message is taken from the wire, opened, and handed on whole. One task writes at a time.
    """

    def __init__(self, session: SecureSession, wire: Wire) -> None:
        assert isinstance(session.conn, NoiseTransportReadWriter)
        super().__init__(
            local_peer=session.local_peer,
            local_private_key=session.local_private_key,
            remote_peer=session.remote_peer,
            remote_permanent_pubkey=session.remote_permanent_pubkey,
            is_initiator=session.is_initiator,
            conn=session.conn,
        )
        self.wire = wire
        self._noise = session.conn.noise_state
        self._rest = b""  # of a message that was not asked for whole

    async def message(self) -> bytes:
        """What came, as far as one message goes; b"" at the end. Raises ConnectionClosedError, and Noise's own errors
        for what was not sealed by the other end."""
        while not self._rest:
            sealed = await self.wire.message()
            if not sealed:
                return b""
            self._rest = self._noise.decrypt(sealed)
            del sealed
        message, self._rest = self._rest, b""
        return message

    async def read(self, n: int | None = None) -> bytes:
        """Exactly n bytes, or fewer at the end: for the negotiation."""
        assert n is not None
        data = b""
        while len(data) < n:
            some = await self.message()
            if not some:
                break
            data, self._rest = data + some[: n - len(data)], some[n - len(data) :]
        return data

    async def write(self, data: bytes) -> None:
        pieces = []
        for start in range(0, len(data), MAX_PLAINTEXT_LENGTH):
            sealed = self._noise.encrypt(data[start : start + MAX_PLAINTEXT_LENGTH])
            pieces += [len(sealed).to_bytes(_LENGTH, "big"), sealed]
        await self.wire.write(b"".join(pieces))

    async def close(self) -> None:
        await self.wire.close()


class Brief(ReadWriteCloser):
    """A view of a stream for protocol negotiation, which has no size limit of its own."""

    def __init__(self, inner: ReadWriteCloser | INetStream | ISecureConn) -> None:
        self._inner = inner

    async def read(self, n: int | None = None) -> bytes:
        if n is None or n > MAX_NEGOTIATION:
            raise ConnectionClosedError("a peer announced too much", transport="tcp")
        return await self._inner.read(n)

    async def write(self, data: bytes) -> None:
        await self._inner.write(data)

    async def close(self) -> None:
        await self._inner.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._inner.get_remote_address()
