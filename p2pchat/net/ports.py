"""What our protocols (`links.link`, `links.reconnect`, `links.invite_protocol`) need from a network; not
`p2pchat/ports.py`, which is the contract with the engine.

Two implementations: `libp2p.host.LibP2PHost` (real connections) and the fake world of the tests.

Units: a *peer* is the 32-byte Ed25519 public key of a transport key, as bytes. An *address* is a multiaddr as text,
without its `/p2p/<peer id>` end: `/ip4/192.0.2.7/tcp/4001`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, runtime_checkable

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.core.punch import PunchAddress
from p2pchat.net.allowance import Allowance, CircuitTerms


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

    @property
    def short(self) -> Allowance | None:
        """What may still go over the connection that carries the stream, where it has to be a short one: it carries
        nothing else, and ends with the stream. None for all others.
        """
        ...

    async def read(self, at_most: int) -> bytes:
        """Wait for 1 to `at_most` bytes. b"" means that the other side has closed its half.

        A cancelled read loses no bytes. Raises `errors.LinkLost` if the stream or its connection broke.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Pass all of `data` to the connection, in order.

        Shielded from cancellation, because half a write would break every other stream on the connection. It ends on
        its own, with `errors.LinkLost`, if the other side accepts nothing for some seconds. A return does not mean that
        the data arrived.
        """
        ...

    async def close(self) -> None:
        """End both directions. Never raises; may be called twice; shielded from cancellation."""
        ...

    async def prove(self, seconds: float) -> None:
        """Sever the connection that carries the stream unless its other end answers within so many seconds. Never
        raises.
        """
        ...

    def sever(self) -> None:
        """End the connection that carries the stream, at once and without a word: it has gone silent."""
        ...


@runtime_checkable
class Branching(Protocol):
    """A stream beside which others can be opened. terms: what the connection may carry, if that is a circuit."""

    terms: CircuitTerms | None

    async def beside(self, protocol: str, window: int) -> Stream:
        """Open another stream, speaking `protocol`, on the connection that carries this one, if that is no short one.
        window: bytes that the other side may send before we have read.

        Has a deadline of its own. Raises `errors.Unreachable` where the connection takes no further stream or does not
        answer, and of these `errors.NotServed` where the peer does not know `protocol`.
        """
        ...


@runtime_checkable
class Routed(Protocol):
    """A stream that knows more of the connection which carries it."""

    @property
    def relay(self) -> PeerKey | None:
        """The transport key of the relay of a circuit; None of a direct connection."""
        ...

    @property
    def place(self) -> str:
        """Where on the network the other side is, or the proxy: see `multiaddrs.neighbourhood` and `place_of_relay`."""
        ...

    @property
    def punched(self) -> bool:
        """Whether the connection goes through holes that both sides made in their routers."""
        ...


Handler = Callable[[Stream], Awaitable[None]]
"""Handles one inbound stream in a task of its own. An exception ends only that stream, and its return closes the
stream.
"""


class Caller(NamedTuple):
    """Who opened a stream that has no protocol yet: the transport key, and the route of the connection."""

    peer: PeerKey
    route: Route


Recognizer = Callable[[str, Caller], Awaitable[Handler | None]]
"""Returns the handler for a protocol name, or None if the name means nothing to us."""


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
        """Add a recognizer, which is asked what a protocol name means; before or while running. The first one that
        knows the name counts; if none does, the answer is that of any libp2p host.
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
        afresh: bool = False,
        lasting: bool = False,
    ) -> Stream:
        """Open a stream speaking `protocol`, over a connection we have or over one of `addresses`; where `only` names a
        route, by no other. afresh: over a connection made now, beside those we have, which stay. lasting: never over a
        short connection (`Stream.short`), which is what there is where all ways to the peer freeze.

        chosen: a person here gave the addresses, so they are dialled wherever they lead; else local ones only where the
        peer can be near, more strictly if it is a `relay`.

        Has a deadline of its own. Raises `errors.Unreachable` where no address answered as this peer, and of these
        `errors.NotServed` where the peer answers and does not know `protocol`; never anything else of the network's.
        """
        ...

    def mark_proven(self, peer: PeerKey) -> None:
        """Keep the connections that a peer has now, even if others need room, because it has proven something on one
        that it made (such as a verified link), and recognise it when it returns.
        """
        ...

    def found_at(self, peer: PeerKey) -> str:
        """Return the public address at which this peer has reached us from outside, on a connection that still exists;
        "" if there is none.
        """
        ...

    async def disconnect(self, peer: PeerKey, *, only: Route | None = None) -> None:
        """Close every connection with `peer`, or those of the route `only`; every stream on them ends (`read` gives b""
        or LinkLost)."""
        ...


NewHost = Callable[[], AbstractAsyncContextManager[Host]]
"""Makes a running host with a fresh transport key, which does not listen, for the duration of the context."""


class Observer(NamedTuple):
    """A relay that can say from where it sees us, and its addresses. chosen: whether the user chose it."""

    relay: PeerKey
    addresses: Sequence[str]
    chosen: bool = True


class Holes(Protocol):
    """Connections through routers, from the port at which a host listens (docs/protocol/punching.md)."""

    def seen(self, observers: Sequence[Observer]) -> AbstractAsyncContextManager[tuple[PunchAddress, ...]]:
        """Return the public addresses at which that port is seen, while inside the context: what shows them keeps the
        router's mapping. None where nobody can tell, two observers disagree, or only one answers that the user did not
        choose, though there are others.
        """
        ...

    async def punch(self, peer: PeerKey, addresses: Sequence[PunchAddress], *, leads: bool, seconds: float) -> bool:
        """Connect to `peer` at these addresses, at the moment at which it does the same. Return whether there is a
        direct connection now, for the one who `leads`; the other side's connections count as inbound ones. Raises
        nothing.
        """
        ...


class RelayedHost(Host, Protocol):
    """A host that can also be reached over circuits."""

    @property
    def holes(self) -> Holes | None:
        """How to connect through routers; None for a host that does not listen, or dials by a proxy."""
        ...

    def expect_circuits(self, relay: PeerKey, most: int) -> None:
        """Allow the relay `most` more streams than others: each carries somebody to us. 0 ends that."""
        ...

    async def adopt(self, stream: Stream, accepted: Callable[[], Awaitable[None]], terms: CircuitTerms) -> bool:
        """Treat `stream`, from a relay, as an inbound connection, and carry it until it ends. `accepted` is called when
        there is room for it. terms: what the relay lets it carry. Returns False if there is none; the stream is then
        unchanged.
        """
        ...

    def network_changed(self) -> None:
        """Note that this machine is on another network, or has slept: connections that did not survive that end within
        seconds.
        """
        ...

    async def wait_disconnected(self, peer: PeerKey) -> None:
        """Wait until there is no direct connection with `peer`; a connection that broke silently is detected."""
        ...
