"""Dials peers at all their addresses, starting each a moment after the one before, until a connection is made."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest

import trio
from libp2p.peer.id import ID

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.core.names import hop_name, web_path
from p2pchat.errors import BadAddress, Unreachable
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.allowance import Allowance
from p2pchat.net.interfaces import Interface
from p2pchat.net.libp2p import circuit_messages, connections
from p2pchat.net.libp2p.secure_channel import RawPipe
from p2pchat.net.libp2p.streams import CircuitPipe, LibP2PStream
from p2pchat.net.libp2p.swarm import PeerConnection, Swarm
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.multiaddrs import Name, SocketAddress, Target
from p2pchat.net.network_memory import FREEZING, UNKNOWN, NetworkMemory, WayName
from p2pchat.net.ports import Stream
from p2pchat.net.transport import websocket
from p2pchat.net.transport.lookups import lookups
from p2pchat.net.transport.managed import NOT_SET_UP, Transports
from p2pchat.net.transport.pipes import Meter, Pipe, TcpPipe, tune
from p2pchat.net.transport.proxy import Proxy

log = logging.getLogger("p2pchat.net")

STAGGER = 0.25  # seconds before the next address is tried beside the one that has not answered yet
WEBSOCKET_AFTER = 1.0  # the same, where it is WebSocket: raw TCP is better where it works at all
CIRCUITS_AFTER = 0.4  # seconds that the direct addresses have for themselves: who is behind a NAT waits for no more
CIRCUIT_STAGGER = 1.0
_MAX_TARGETS = 8
_MAX_RELAYS = 4
_MAX_IPS = 4  # of one name
_FAMILIES = {"dns4": trio.socket.AF_INET, "dns6": trio.socket.AF_INET6}
_IP_TIMEOUT = 2.0  # seconds before the next one of them
TOR_ONLY = "it can be reached through Tor only"

OpenRelay = Callable[[PeerKey, Sequence[str], str, bool, bool, bool], Awaitable[Stream]]
"""(relay, addresses, protocol, whether the user chose it, whether on a connection made now, whether on one that lasts)
→ a stream with the relay"""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One address to try, and the seconds that it has for itself. steady: the next one waits for its own pause even if
    this one fails at once, so that nobody can tell from what follows whether a port here was open.
    """

    pause: float
    run: Callable[[], Awaitable[PeerConnection]]
    steady: bool = False


class Dialler:
    """Makes connections for a running host. `nursery`: runs the circuits it made. reach_seconds: how long a TCP
    connection may take. `ours`: the addresses at which this host can be dialled itself. proxy:
    the proxy that everything is dialled through. memory: which ways work on this network, where nothing lies between.
    transports: what dials the addresses that name a pluggable transport; without it they are left out.
    """

    def __init__(
        self,
        swarm: Swarm,
        nursery: trio.Nursery,
        open_relay: OpenRelay,
        tls: Callable[[], ssl.SSLContext],
        reach_seconds: float,
        ours: Callable[[], Sequence[str]] = tuple,
        proxy: Proxy | None = None,
        memory: NetworkMemory | None = None,
        transports: Transports | None = None,
    ) -> None:
        self._proxy = proxy
        self._transports = transports
        self._memory = memory if proxy is None else None
        self._reach_seconds = reach_seconds
        self._swarm = swarm
        self._nursery = nursery
        self._open_relay = open_relay
        self._tls = tls
        self._ours = ours

    async def dial(
        self,
        peer: ID,
        addresses: Sequence[str],
        only: Route | None = None,
        *,
        chosen: bool = False,
        relay: bool = False,
        afresh: bool = False,
        lasting: bool = False,
    ) -> PeerConnection:
        """Return a connection with `peer`, proven to be it, by the route `only` or by any. Raises Unreachable.

        Tries raw TCP in the order given, then WebSocket, the next one when the last has failed or been silent for a
        moment; circuits beside them, when all have failed or had a head start. Local addresses that were not `chosen`
        here are left out, but for those of people, or a `relay`, that can be near (`interfaces.dialled_for_others`).
        What has answered on this network goes first. What freezes on it goes last, for a short connection; not at all
        where a `lasting` one is wanted. Only mail to a `relay` takes a circuit over a short connection. Onion services
        are left out unless everything goes through a proxy, and so are addresses with a pluggable transport that is not
        set up, and circuits through relays at such addresses.
        """
        known = targets(addresses, lambda target: not self._hindrance(target))
        if not known and (left_out := targets(addresses)):
            raise Unreachable(self._hindrance(left_out[0]))
        candidates = self._by_memory(known, lasting=lasting)
        here = self._here() if not chosen and any(map(_local, candidates)) else None
        direct = [
            _Attempt(
                STAGGER if _is_raw(target) else WEBSOCKET_AFTER,
                partial(self._direct, peer, target, chosen),
                steady=not chosen and _local(target),
            )
            for target in candidates
            if target.relay is None and only != Route.CIRCUIT and _may_dial(target, here, relay=relay)
        ]
        relays = circuits(candidates, (self._swarm.self_id, peer), chosen=chosen) if only != Route.DIRECT else {}
        by_relay = [
            _Attempt(
                CIRCUIT_STAGGER, partial(self._by_relay, peer, relay_key, ways, chosen, afresh, lasting or not relay)
            )
            for relay_key, ways in relays.items()
        ]
        made: list[PeerConnection] = []
        async with trio.open_nursery() as nursery:
            failed = trio.Event()
            nursery.start_soon(_try, direct, nursery, made, failed)
            with trio.move_on_after(CIRCUITS_AFTER):
                await failed.wait()
                if any(attempt.steady for attempt in direct):
                    await trio.sleep_forever()
            await _try(by_relay, nursery, made, trio.Event())
        for extra in made[1:]:
            await connections.drop(extra)
        if not made and self._memory is not None:
            for target in candidates:
                if target.relay is None:
                    self._memory.failed(_way(target))
        if not made and lasting and not candidates and addresses:
            raise Unreachable("this network lets only short connections through to it")
        if not made:
            raise Unreachable(self._transport_problem(known) or "no address answered")
        return made[0]

    def _hindrance(self, target: Target) -> str:
        """Return what this host lacks to dial an address, or ""."""
        if target.by_tor and self._proxy is None:
            return TOR_ONLY
        wanted = target.pluggable
        if wanted is not None and (self._transports is None or not self._transports.has(wanted)):
            return NOT_SET_UP.format(wanted.name)
        return ""

    def _transport_problem(self, known: Sequence[Target]) -> str:
        """Return what is wrong with a pluggable transport of these addresses, or ""."""
        if self._transports is None:
            return ""
        wanted = (target.pluggable for target in known if target.pluggable is not None)
        return next(filter(None, map(self._transports.problem, wanted)), "")

    def _by_memory(self, candidates: list[Target], *, lasting: bool) -> list[Target]:
        """Return the targets in the order in which they are tried on this network."""
        memory = self._memory
        if memory is None:
            return candidates
        beyond = {target for target in candidates if target.relay is not None or target.pluggable is not None}
        ranks = {target: UNKNOWN if target in beyond else memory.rank(_way(target)) for target in candidates}
        left = [target for target in candidates if ranks[target] != FREEZING or not lasting]
        return sorted(left, key=ranks.__getitem__)

    def _here(self) -> Sequence[Interface]:
        """Return our addresses in the networks that we dial into: none where a proxy dials for us, from its own."""
        return interfaces.found_here(self._ours()) if self._proxy is None else ()

    async def _reached(self, peer: ID, target: Target, chosen: bool) -> trio.SocketStream:
        """Return a TCP connection with a target, or with what leads there. Raises Unreachable, OSError."""
        if target.pluggable is not None:
            if self._transports is None:
                raise Unreachable(NOT_SET_UP.format(target.pluggable.name))
            return await self._transports.connect(target.pluggable, str(target.host), target.port)
        if self._proxy is None:
            with trio.fail_after(self._reach_seconds):
                return await _tcp(target, chosen=chosen)
        host = target.host.name if isinstance(target.host, Name) else str(target.host)
        return await self._proxy.connect(host, target.port, peer.to_bytes())

    async def _direct(self, peer: ID, target: Target, chosen: bool) -> PeerConnection:
        stream = await self._reached(peer, target, chosen)
        try:
            tune(stream.socket)
            pipe: Pipe = TcpPipe(stream.socket)
            if target.over != "tcp":
                host = target.host.name if isinstance(target.host, Name) else str(target.host)
                tls = self._tls() if target.over == "wss" else None
                pipe = await websocket.connect(stream, host, tls, web_path(target.relay_pass))
            (theirs, *_), (ours, *_) = stream.socket.getpeername(), stream.socket.getsockname()
            disguise = "" if target.pluggable is None else target.pluggable.name
            place = f"transport {disguise}" if disguise else multiaddrs.neighbourhood(theirs)
            conn = await self._swarm.dialled(RawPipe(pipe, place, local=ours), peer)
            conn.pluggable = disguise
            if self._memory is not None and target.pluggable is None:
                conn.muxed_conn.meter = meter = Meter(stream.socket)
                meter.read()
                conn.passage = self._memory.began(_way(target), cleanly=not meter.resent)
                if conn.passage.freezing:
                    conn.muxed_conn.short = Allowance(meter.read)
            return conn
        except BaseException:
            stream.socket.close()
            raise

    async def _by_relay(
        self, peer: ID, relay: PeerKey, addresses: list[str], chosen: bool, afresh: bool, lasting: bool
    ) -> PeerConnection:
        name = hop_name(multiaddrs.pass_of(addresses))
        stream = await self._open_relay(relay, addresses, name, chosen, afresh, lasting)
        assert isinstance(stream, LibP2PStream)
        try:
            if stream.route != Route.DIRECT:
                raise Unreachable("no circuit over a circuit")
            key = multiaddrs.peer_from_multihash(peer.to_bytes())
            assert key is not None
            terms = await circuit_messages.connect(stream, key)
            wire = RawPipe(CircuitPipe(stream, terms), multiaddrs.place_of_relay(relay), terms=terms)
            conn = await self._swarm.dialled(wire, peer)
            conn.muxed_conn.short = stream.short
        except BaseException:
            await stream.kill()
            raise
        self._nursery.start_soon(_end_at_relay, stream, conn.muxed_conn)
        return conn


async def _try(attempts: list[_Attempt], nursery: trio.Nursery, made: list[PeerConnection], failed: trio.Event) -> None:
    """Start the attempts one after the other in `nursery`; the first that succeeds ends it. `failed`: set when all have
    failed.
    """
    left = len(attempts)

    async def run(attempt: Callable[[], Awaitable[PeerConnection]], over: trio.Event) -> None:
        nonlocal left
        try:
            conn = await attempt()
        except Exception as error:  # noqa: BLE001 - one address of several
            log.debug("an address did not answer: %s", type(error).__name__)
            left -= 1
            over.set()
            if not left:
                failed.set()
        else:
            made.append(conn)
            nursery.cancel_scope.cancel()

    over = trio.Event()
    if not attempts:
        failed.set()
    for before, attempt in zip([None, *attempts], attempts, strict=False):
        if before is not None:
            with trio.move_on_after(attempt.pause):
                await (trio.Event() if before.steady else over).wait()
        over = trio.Event()
        nursery.start_soon(run, attempt.run, over)


async def _end_at_relay(stream: LibP2PStream, muxed: GuardedYamux) -> None:
    """Wait for the end of a connection over a circuit that we asked for, then tell the relay."""
    try:
        with stream.carrying():
            await muxed.event_closed.wait()
    finally:
        await stream.kill()


def _way(target: Target) -> WayName:
    """Return what a target is remembered as."""
    return target.host.name if isinstance(target.host, Name) else str(target.host), target.port, target.over


def _local(target: Target) -> bool:
    return not isinstance(target.host, Name) and multiaddrs.is_local(target.host)


def _may_dial(target: Target, here: Sequence[Interface] | None, *, relay: bool) -> bool:
    """Return whether an address may be dialled from `here`; None: from anywhere. A DNS name is judged once it is
    resolved.
    """
    if here is None or isinstance(target.host, Name):
        return True
    return interfaces.dialled_for_others(target.host, here, relay=relay)


async def _tcp(target: Target, *, chosen: bool) -> trio.SocketStream:
    if not isinstance(target.host, Name):
        return await connect(str(target.host), target.port)
    for ip in await resolve(target.host, target.port, chosen=chosen):
        with trio.move_on_after(_IP_TIMEOUT), suppress(OSError):
            return await connect(ip, target.port)
    raise Unreachable("nothing answers by this name")


async def connect(ip: str, port: int, by: SocketAddress | None = None) -> trio.SocketStream:
    """Return a TCP connection with an IP address. by: where we listen, and from where it is to come. Raises OSError.
    (trio's `open_tcp_stream` asks the resolver and tries several addresses by turns: half of what it takes to dial
    somebody who is away.)
    """
    sock = trio.socket.socket(trio.socket.AF_INET6 if ":" in ip else trio.socket.AF_INET, trio.socket.SOCK_STREAM)
    try:
        if by is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if by.ip.version == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            await sock.bind((str(by.ip), by.port))
        await sock.connect((ip, port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def resolve(name: Name, port: int, *, chosen: bool) -> list[str]:
    """Return the addresses of a name that we dial. The resolver may say anything, and so may the owner of a name that a
    person here did not give: it leads to no local address.
    """
    if name.kind == multiaddrs.ONION:  # whoever answers DNS would learn who is dialled
        raise Unreachable(TOR_ONLY)
    family = _FAMILIES.get(name.kind, trio.socket.AF_UNSPEC)
    ips: dict[str, None] = {}
    for ip in await lookups(chosen=chosen).addresses(name.name, family):
        version = 6 if ":" in ip else 4
        with suppress(BadAddress):
            target = multiaddrs.parse_target(f"/ip{version}/{ip}/tcp/{port}")
            if target.dialable and (chosen or not _local(target)):
                ips[ip] = None
    return list(ips)[:_MAX_IPS]


def targets(addresses: Sequence[str], usable: Callable[[Target], bool] = lambda target: True) -> list[Target]:
    """Return what is dialled of `addresses`: no nonsense, nothing twice, not too many; raw TCP before WebSocket, and of
    each, IPv6 and IPv4 in turns (RFC 8305, section 4): where one of them leads nowhere, the other is second at most.
    A pluggable transport comes with WebSocket. usable: whether a target counts at all.
    """
    targets: dict[Target, None] = {}
    for text in addresses:
        with suppress(BadAddress):
            target = multiaddrs.parse_target(text)
            if target.dialable and usable(target):
                targets[target] = None
    direct = [target for target in targets if target.relay is None]
    raw, web = ([target for target in direct if _is_raw(target) is is_raw] for is_raw in (True, False))
    circuits = sorted((target for target in targets if target.relay is not None), key=lambda way: not _is_raw(way))
    return (_in_turns(raw) + _in_turns(web))[:_MAX_TARGETS] + circuits[:_MAX_TARGETS]


def _is_raw(target: Target) -> bool:
    return target.over == "tcp" and target.pluggable is None


def _in_turns(targets: Sequence[Target]) -> list[Target]:
    """Return targets of both families of addresses in turns, beginning with that of the first; each in its order."""
    first = [target for target in targets if _is_ipv6(target) == _is_ipv6(targets[0])]
    second = [target for target in targets if target not in first]
    pairs = zip_longest(first, second)
    return [target for pair in pairs for target in pair if target is not None]


def _is_ipv6(target: Target) -> bool:
    return target.host.kind == "dns6" if isinstance(target.host, Name) else target.host.version == 6


def circuits(candidates: Sequence[Target], but: Sequence[ID], *, chosen: bool = False) -> dict[PeerKey, list[str]]:
    """Return the relays of these targets, without those in `but`, each with the addresses to try; `chosen`: a person
    here gave them.
    """
    relays: dict[PeerKey, list[str]] = {}
    for target in candidates:
        if target.relay is not None and ID(multiaddrs.multihash(target.relay)) not in but:
            relays.setdefault(target.relay, []).append(replace(target, relay=None).text())
    return {
        relay: multiaddrs.with_websockets(ways, chosen=chosen) for relay, ways in list(relays.items())[:_MAX_RELAYS]
    }
