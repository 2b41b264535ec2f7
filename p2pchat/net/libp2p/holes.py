"""Punches holes: TCP connections through routers, from the port at which this host listens.

A router that keeps one outside port for what comes from one port inside, whatever the destination, lets an answer in
from wherever something was sent to. So both sides connect to each other's outside port at the same moment: each one's
first packet opens its own router for the other's (RFC 5382, section 4.2; RFC 793, section 3.4, simultaneous open).

Where that works, both ends have connected, and neither has accepted. So one of them *leads*: it begins the handshake,
on the first of the connections that stands, and closes the others; the other side takes each for one that came in.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import trio
from libp2p.peer.id import ID
from libp2p.utils.varint import decode_varint_with_size

from p2pchat.core.descriptors import networks
from p2pchat.core.ids import PeerKey
from p2pchat.core.punch import PunchAddress
from p2pchat.errors import Unreachable
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.libp2p import connections, dial, handshake
from p2pchat.net.libp2p.inbound import Inbound
from p2pchat.net.libp2p.secure_channel import RawPipe
from p2pchat.net.libp2p.standard_protocols import NAMES, observed
from p2pchat.net.libp2p.streams import LibP2PStream, NegotiationChannel
from p2pchat.net.libp2p.swarm import PeerConnection, Swarm
from p2pchat.net.multiaddrs import Name, SocketAddress
from p2pchat.net.ports import Observer
from p2pchat.net.transport.pipes import TcpPipe, close, tune

log = logging.getLogger("p2pchat.net")

MAX_OBSERVERS = 2
"""Relays that are asked where they see us, in different networks if there are such: if one of them lies, they
disagree."""
OBSERVE_TIMEOUT = 3.0
"""Seconds that their answers may take."""
SECOND_OBSERVER_SECONDS = 0.5
"""Seconds that the second answer may take after the first."""
MAX_IDENTITY = 8_192
"""Bytes of an identity that are read."""
MAX_CONNECTS = 4
"""How often one address is tried where it refuses."""
AGAIN_SECONDS = 0.5
"""Seconds between two of these."""
HANDSHAKE_TIMEOUT = 5.0
"""Seconds that a connection through a hole may take to be secured."""
SPEAKS_FIRST_SECONDS = 0.5
"""Seconds in which whoever comes to our port from an address at which we punch says something, if it leads itself."""
MAX_LED = 8
"""Connections that come to our port, and on which we lead, in an attempt: these take no slot. Others are callers."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: no TIME_WAIT, so that the same two ports can meet again


@dataclass(eq=False)
class _Look:
    """A relay's look at our port, and how many use its result. address: where it sees us, if it has said so."""

    chosen: bool
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    done: bool = False
    address: SocketAddress | None = None
    users: int = 0


@dataclass(eq=False)
class _Led:
    """What an attempt does with what comes to our port from where it punches. left: how many more sockets it takes."""

    take: Callable[[socket.socket], None]
    left: int


class HolePuncher:
    """`ports.Holes` of a running host. endpoints: where it listens."""

    def __init__(
        self, swarm: Swarm, nursery: trio.Nursery, inbound: Inbound, endpoints: Sequence[SocketAddress]
    ) -> None:
        self._swarm = swarm
        self._nursery = nursery
        self._inbound = inbound
        self._endpoints = endpoints
        self._looks: dict[PeerKey, _Look] = {}
        self._looked = Wakeup()
        self._leading: dict[str, _Led] = {}

    # --- where we are seen -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def seen(self, observers: Sequence[Observer]) -> AsyncIterator[tuple[PunchAddress, ...]]:
        """Return the public addresses of our port, as `ports.Holes.seen` says. Several calls at a time share the looks
        of the relays that they have in common, since one port can have only one connection with a relay; what another
        relay says or does not say concerns only those who ask it.
        """
        own, by = self._own(), self._listener(4)
        if by is None or any(address.ip.version == 4 for address in own):
            observers = ()
        asked = _independent(observers)
        looks = [self._looking(observer, by) for observer in asked if by is not None]
        try:
            said = await self._said(looks)
            yield tuple(PunchAddress(at.ip.packed, at.port) for at in (*own, *_agreed(said)))
        finally:
            for observer, look in zip(asked, looks, strict=True):
                look.users -= 1
                if not look.users:
                    look.scope.cancel()
                    if self._looks.get(observer.relay) is look:
                        del self._looks[observer.relay]

    def _looking(self, observer: Observer, by: SocketAddress) -> _Look:
        """Return a relay's look that goes on, or a new one, and count its user."""
        look = self._looks.get(observer.relay)
        if look is None or (look.done and look.address is None):
            look = self._looks[observer.relay] = _Look(observer.chosen)
            self._nursery.start_soon(self._observe, look, observer, by)
        look.users += 1
        return look

    async def _said(self, looks: Sequence[_Look]) -> list[_Look]:
        """Wait for what relays say, for those who come late only a little."""
        with trio.move_on_after(OBSERVE_TIMEOUT) as waiting:
            while not all(look.done for look in looks):
                if any(look.address is not None for look in looks):
                    waiting.deadline = min(waiting.deadline, trio.current_time() + SECOND_OBSERVER_SECONDS)
                await self._looked.wait()
        return list(looks)

    def _own(self) -> list[SocketAddress]:
        """Return the public addresses that this machine has itself, at most one of each kind."""
        given = interfaces.for_invite(interfaces.expand(self._endpoints))
        return [address for address in map(multiaddrs.parse, given) if multiaddrs.punchable(address)]

    def _listener(self, version: int) -> SocketAddress | None:
        return next((endpoint for endpoint in self._endpoints if endpoint.ip.version == version), None)

    async def _observe(self, look: _Look, observer: Observer, by: SocketAddress) -> None:
        """Ask where one relay sees us, and stay connected until the look ends: that keeps the router's mapping."""
        stream = None
        try:
            with look.scope:
                async with trio.open_nursery() as nursery:
                    with trio.fail_after(OBSERVE_TIMEOUT):
                        stream = await _reach(observer.addresses, by)
                        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                        peer = ID(multiaddrs.multihash(observer.relay))
                        channel = await self._swarm.upgrader.secure(RawPipe(TcpPipe(stream.socket)), peer)
                        muxed = await self._swarm.upgrader.multiplex(channel, peer)
                        nursery.start_soon(muxed.start)
                        substream = await muxed.open_stream()
                        await handshake.propose(NegotiationChannel(substream), NAMES[0].encode())
                        look.address = observed(await _read(LibP2PStream(substream, observer.relay, inbound=False)))
                    if look.address is None:
                        raise Unreachable("it does not say where it sees us")
                    look.done = True
                    self._looked.pulse()
        except Exception as error:  # noqa: BLE001 - whatever a relay says may end nothing
            log.debug("a relay did not say where it sees us: %s", type(error).__name__)
        finally:
            look.done = True
            self._looked.pulse()
            if stream is not None:
                close(stream.socket)

    # --- through ---------------------------------------------------------------------------------------------------

    async def punch(self, peer: PeerKey, addresses: Sequence[PunchAddress], *, leads: bool, seconds: float) -> bool:
        """Connect to `peer` at these addresses, as `ports.Holes.punch` says."""
        made: list[PeerConnection] = []
        until = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            use = partial(self._lead, ID(multiaddrs.multihash(peer)), made, nursery) if leads else self._follow
            for address in addresses:
                nursery.start_soon(self._connect, _endpoint(address), until, use)
            places = [str(_endpoint(address).ip) for address in addresses]
            with self._diverting(places if leads else (), partial(nursery.start_soon, use)), self._open(places):
                await trio.sleep_until(until)
        for extra in made[1:]:
            await connections.drop(extra)
        return bool(made)

    async def _connect(
        self, there: SocketAddress, until: float, use: Callable[[socket.socket], Awaitable[None]]
    ) -> None:
        """Connect to one address, from our port, until that succeeds, and use the socket. The system would choose one
        of several IPv6 addresses by itself, but the other side's router waits for the one that we have named.
        """
        own = (address for address in self._own() if address.ip.version == there.ip.version)
        by = next(own, self._listener(there.ip.version))
        stream = None
        with trio.CancelScope(deadline=until):
            for _ in range(MAX_CONNECTS if by is not None else 0):
                with suppress(OSError):
                    stream = await dial.connect(str(there.ip), there.port, by)
                    break
                await trio.sleep(AGAIN_SECONDS)
        if stream is not None:
            sock = socket.socket(fileno=stream.socket.detach())
            sock.setblocking(False)
            with suppress(OSError):  # it may be over already
                tune(sock)
            await use(sock)

    async def _lead(self, peer: ID, made: list[PeerConnection], nursery: trio.Nursery, sock: socket.socket) -> None:
        """Begin the handshake on a connection; the first on which the peer proves itself ends all other attempts."""
        try:
            (theirs, *_), (ours, *_) = sock.getpeername(), sock.getsockname()
            wire = RawPipe(TcpPipe(sock), multiaddrs.neighbourhood(theirs), local=ours, punched=True)
            with trio.fail_after(HANDSHAKE_TIMEOUT):
                made.append(await self._swarm.dialled(wire, peer))
        except Exception as error:  # noqa: BLE001 - it may be anybody's
            log.debug("a connection through a router was not the peer's: %s", type(error).__name__)
            close(sock)
        except BaseException:
            close(sock)
            raise
        else:
            nursery.cancel_scope.cancel()

    async def _follow(self, sock: socket.socket) -> None:
        """Take a connection for one that came in."""
        try:
            self._nursery.start_soon(partial(self._inbound.serve, sock, punched=True))
        except RuntimeError:  # the host has ended
            close(sock)
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _open(self, places: Sequence[str]) -> Iterator[None]:
        """Take whoever comes from these IP addresses meanwhile for somebody who comes through a hole."""
        self._inbound.holes.update(places)
        try:
            yield
        finally:
            self._inbound.holes.subtract(places)
            self._inbound.holes = +self._inbound.holes

    @contextmanager
    def _diverting(self, places: Sequence[str], take: Callable[[socket.socket], None]) -> Iterator[None]:
        """Pass to `take` what comes to our port from these IP addresses and is silent: the other side takes it for one
        that it must not lead.
        """
        led = _Led(take, MAX_LED)
        self._leading.update(dict.fromkeys(places, led))
        self._inbound.divert = self._divert
        try:
            yield
        finally:
            for place in places:
                if self._leading.get(place) is led:
                    del self._leading[place]
            if not self._leading:
                self._inbound.divert = None

    async def _divert(self, sock: socket.socket) -> bool:
        """Take a socket that came to our port, if it is the other end of a hole that we lead through."""
        place = _remote(sock)
        led = self._leading.get(place)
        if led is None or not led.left:
            return False
        led.left -= 1
        try:
            with trio.move_on_after(SPEAKS_FIRST_SECONDS):
                await trio.lowlevel.wait_readable(sock.fileno())
                led.left += 1
                return False
        except BaseException:
            close(sock)
            raise
        if self._leading.get(place) is not led:
            return False
        led.take(sock)
        return True


def _remote(sock: socket.socket) -> str:
    try:
        return str(sock.getpeername()[0])
    except OSError:  # it has gone
        return ""


def _endpoint(address: PunchAddress) -> SocketAddress:
    return SocketAddress(ipaddress.ip_address(address.ip), address.port)


def _independent(observers: Sequence[Observer]) -> list[Observer]:
    """Return the relays to ask: the first, and the next one that is in another network, or the next of all."""
    first = list(observers[:1])
    if first:
        around = networks(first[0].addresses)
        rest = sorted(observers[1:], key=lambda other: not around.isdisjoint(networks(other.addresses)))
        first += rest[: MAX_OBSERVERS - 1]
    return first


def _agreed(looks: Sequence[_Look]) -> Sequence[SocketAddress]:
    """Return the address at which relays see us: none where they name different machines, or one of IPv6, since they
    are asked over IPv4. Different ports are those of a router that has another for every destination; behind some
    routers at the other end, that is no obstacle. One relay alone that the user did not choose is not believed if
    others were asked as well: it could say anything.
    """
    said = [look.address for look in looks if look.address is not None]
    alone = len(said) == 1 < len(looks) and not any(look.chosen and look.address is not None for look in looks)
    if alone or len({address.ip for address in said}) != 1:
        return ()
    return said[:1] if said[0].ip.version == 4 and multiaddrs.punchable(said[0]) else ()


async def _reach(addresses: Sequence[str], by: SocketAddress | None) -> trio.SocketStream:
    """Connect to a relay from our port, over IPv4 and without a WebSocket or Tor. Raises Unreachable."""
    for target in dial.targets(addresses):
        if target.over != "tcp" or target.relay is not None or target.pluggable is not None or target.by_tor:
            continue
        if isinstance(target.host, Name):
            ips = await dial.resolve(target.host, target.port, chosen=False)
        else:
            ips = [str(target.host)]
        for ip in ips:
            address = ipaddress.ip_address(ip)
            if address.version == 4 and not multiaddrs.is_local(address):
                with suppress(OSError):
                    return await dial.connect(ip, target.port, by)
    raise Unreachable("no relay that could say where it sees us")


async def _read(stream: LibP2PStream) -> bytes:
    """Return an identity without its length. Raises ValueError and LinkLost."""
    data = b""
    while len(data) < MAX_IDENTITY and (chunk := await stream.read(MAX_IDENTITY - len(data))):
        data += chunk
    length, start = decode_varint_with_size(data)
    return data[start : start + length]
