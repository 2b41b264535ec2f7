"""What our protocols (`links.link`, `links.reconnect`, `links.invite_protocol`) need from a network; not
`p2pchat/ports.py`, which is the contract with the engine.

Two implementations: `libp2p.host.LibP2PHost` (real connections) and the fake world of the tests.

Units: a *peer* is the 32-byte Ed25519 public key of a transport key, as bytes. An *address* is a multiaddr as text,
without its `/p2p/<peer id>` end: `/ip4/192.0.2.7/tcp/4001`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey


class Stream(Protocol):
    """One two-way byte stream with one peer. It has no message borders; `net/frames` makes them.

    One task reads and one task writes at a time.
    """

    @property
    def peer(self) -> PeerKey:
        """The other side's transport public key, 32 bytes, proven by the connection."""
        ...

    @property
    def route(self) -> Route:
        """How the bytes travel: `DIRECT` or `CIRCUIT`."""
        ...

    @property
    def inbound(self) -> bool:
        """True where the other side opened it."""
        ...

    async def read(self, at_most: int) -> bytes:
        """Wait for 1 to `at_most` bytes. b"" means that the other side ended its half.

        A cancelled read loses no bytes. Raises `errors.LinkLost` when the stream or its connection broke.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Hand all of `data` to the connection, in order.

        Shielded from cancellation: half a write would ruin the connection for every other stream on it. It ends by
        itself, with `errors.LinkLost`, when the other side takes nothing for some seconds. Having returned says nothing
        about arrival.
        """
        ...

    async def close(self) -> None:
        """End both directions. Never raises; may be called twice; shielded from cancellation."""
        ...


Handler = Callable[[Stream], Awaitable[None]]
"""What to do with one inbound stream: runs in a task of its own; whatever it raises ends only that stream, and its
return closes the stream."""


class Caller(NamedTuple):
    """Who opened a stream that has no protocol yet: the transport key, and by which route it comes."""

    peer: PeerKey
    route: Route


Recognizer = Callable[[str, Caller], Awaitable[Handler | None]]
"""What a protocol's name, as a caller said it, means: the handler, or None where it means nothing to us."""


class Host(Protocol):
    """This node on the network: it listens, it dials, it carries streams."""

    @property
    def peer(self) -> PeerKey:
        """Our own transport public key, 32 bytes."""
        ...

    def addresses(self) -> tuple[str, ...]:
        """Return where we can be dialled now, best first; 0.0.0.0 and :: are expanded. Empty while not running."""
        ...

    def recognize(self, recognizer: Recognizer) -> None:
        """Ask this one too what a name means that a caller says; before or while running. The first that knows it
        counts; where none does, the answer is that of any libp2p host.
        """
        ...

    async def open(
        self,
        peer: PeerKey,
        addresses: Sequence[str],
        protocol: str,
        *,
        only: Route | None = None,
        chosen: bool = False,
        relay: bool = False,
    ) -> Stream:
        """Open a stream speaking `protocol`, over a connection we have or over one of `addresses`; where `only` names a
        route, by no other.

        chosen: a person here gave the addresses, so they are dialled wherever they lead; else local ones only where the
        peer can be near, more strictly if it is a `relay`.

        Has a deadline of its own. Raises `errors.Unreachable` where no address answered as this peer, and of these
        `errors.NotServed` where the peer answers and does not know `protocol`; never anything else of the network's.
        """
        ...

    def vouch(self, peer: PeerKey) -> None:
        """Keep the connections that a peer has now, whoever else comes, since it has proven something on one that it
        made (a verified link, say), and know it when it comes again.
        """
        ...

    def found_at(self, peer: PeerKey) -> str:
        """Return our public address at which this peer has reached us from outside, by a connection that lives; "" if
        it has not.
        """
        ...

    async def disconnect(self, peer: PeerKey, *, only: Route | None = None) -> None:
        """Close every connection with `peer`, or those of the route `only`; every stream on them ends (`read` gives b""
        or LinkLost)."""
        ...


class RelayedHost(Host, Protocol):
    """A host that can be reached over circuits too."""

    def expect_circuits(self, relay: PeerKey, most: int) -> None:
        """Let the relay open `most` streams more than others may: each carries somebody to us. 0: it is over."""
        ...

    async def adopt(self, stream: Stream, accepted: Callable[[], Awaitable[None]]) -> bool:
        """Take what comes on `stream`, from a relay, as an inbound connection, and carry it until it ends. `accepted`
        is called when there is room for it. False where there is none, and then the stream is as it was."""
        ...

    async def gone(self, peer: PeerKey) -> None:
        """Wait until there is no direct connection with `peer`; one that has gone without a word is noticed."""
        ...
