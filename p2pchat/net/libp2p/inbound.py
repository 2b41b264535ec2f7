"""Connections that others make with us, from their first byte to their last: admitted, secured, watched, ended.

| what it has done so far                       | how long it may go on with that, by `HostLimits`                    |
|-----------------------------------------------|---------------------------------------------------------------------|
| nothing, or half a handshake                  | `handshake`, without the time it waits for its turn                 |
| shaken hands, and has no stream               | `idle`                                                              |
| come by a relay, and proven nothing           | `proof`, from its first byte                                        |
| has a stream                                  | as long as that goes on; its protocol has limits of its own         |
| proven something (`mark_proven`)               | without end                                                         |

Where there is no room, `admission` says who goes. Direct connections and those by relays are two pools, so that a crowd
in one keeps nobody out of the other.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from math import inf

import trio

from p2pchat.core.ids import PeerKey
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import multiaddrs
from p2pchat.net.admission.arrivals import Arrivals
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.admission.slots import REFUSALS, Pool, Remembered, Slot
from p2pchat.net.allowance import CircuitTerms
from p2pchat.net.libp2p import connections, handshake, listen
from p2pchat.net.libp2p.secure_channel import RawPipe
from p2pchat.net.libp2p.streams import CircuitPipe, LibP2PStream, key_of
from p2pchat.net.libp2p.swarm import Swarm
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.transport import web, websocket
from p2pchat.net.transport.pipes import TcpPipe, close
from p2pchat.net.transport.tor_circuits import circuit_of

log = logging.getLogger("p2pchat.net")

SWEEP_SECONDS = 10.0
HANDSHAKE_CHECK_SECONDS = 1.0
"""Seconds between two checks of how long handshakes take."""
LOG_SECONDS = 60.0
"""Seconds between two log lines saying that somebody was turned away."""
IDLE, NO_PROOF, ROOM = "idle", "no proof", "room made"
ENDINGS = (IDLE, NO_PROOF, ROOM)
"""Why we ended an inbound connection, as the metrics name it."""
_TCP_CLOSED = (7, 8)  # TCP_CLOSE, TCP_CLOSE_WAIT in Linux' include/net/tcp_states.h


class Guest(Slot):
    """One inbound connection. number: its place in the order of arrival. sock: None if it came through a relay. scope:
    cancelling it ends the connection. until: when its handshake has taken too long, by the loop's clock; `inf` while
    it waits for its turn. slow: whether it was ended for that.
    """

    __slots__ = ("exempt", "idle_since", "muxed", "number", "scope", "slow", "sock", "until")

    def __init__(self, place: str, number: int, sock: socket.socket | None = None) -> None:
        super().__init__(place, self._make_room)
        self.scope = trio.CancelScope()
        self.number = number
        self.sock = sock
        self.until = inf
        self.slow = False
        self.muxed: GuardedYamux | None = None
        self.idle_since = trio.current_time()
        self.exempt = False

    def _make_room(self) -> None:
        self.scope.cancel()

    @property
    def hung_up(self) -> bool:
        """Return whether the other end of a socket has already closed it, so that serving it is useless."""
        info = getattr(socket, "TCP_INFO", None)
        if self.sock is None or info is None:
            return False
        try:
            return self.sock.getsockopt(socket.IPPROTO_TCP, info, 1)[0] in _TCP_CLOSED
        except OSError:
            return True


class Inbound:
    """Accepts connections for one run of a host. `disconnected` is called with every peer whose connection has ended,
    `connected` with every connection that was secured. `web_path` returns that of `LibP2PHost`. `divert`, if it is set,
    is shown every socket first, and returns whether it keeps it. `holes`: from these IP addresses nobody can come but
    through a hole that is being punched. tor: what the places of those whom Tor brings from loopback begin with
    (`places`); "" where it brings nobody. mapped: returns the public address at which a router has opened a port that
    leads to this IP address and port, or "".
    """

    def __init__(
        self,
        swarm: Swarm,
        limits: HostLimits,
        proven: Remembered,
        disconnected: Callable[[PeerKey], None],
        connected: Callable[[GuardedYamux], None] = lambda muxed: None,
        *,
        web_path: Callable[[], str] = str,
        proxies: Collection[str] = (),
        tor: str = "",
        mapped: Callable[[str, int], str] = lambda here, port: "",
    ) -> None:
        # Sockets by where they come from, until a reverse proxy, which brings many, says for whom.
        self._by_proxy = {multiaddrs.neighbourhood(proxy): limits.inbound for proxy in proxies}
        self.direct = Pool(limits.inbound, limits.inbound_per_place, self._by_proxy)
        self.by_relay = Pool(limits.circuits, limits.circuits_per_relay)
        self.found: dict[PeerKey, str] = {}
        self.divert: Callable[[socket.socket], Awaitable[bool]] | None = None
        self.holes: Counter[str] = Counter()
        self.ended = dict.fromkeys(ENDINGS, 0)
        self._swarm = swarm
        self._limits = limits
        self._proven = proven
        self._on_disconnected = disconnected
        self._on_connected = connected
        self._web_path = web_path
        self._proxies = proxies
        self._tor = tor
        self._mapped = mapped
        self._knows_circuits = True
        self._arrivals = Arrivals()
        self._guests: dict[Guest, Pool] = {}
        self._by_peer: dict[PeerKey, set[Guest]] = {}
        self._shaking: dict[Guest, None] = {}
        self._began = Wakeup()
        self._said = (0, -LOG_SECONDS)

    @property
    def refused(self) -> dict[str, int]:
        """The number of connections turned away, by reason."""
        return {reason: count + self.by_relay.refused[reason] for reason, count in self.direct.refused.items()}

    @property
    def endings(self) -> dict[str, int]:
        """The number of connections that we ended, by reason."""
        return {**self.ended, ROOM: self.direct.evicted + self.by_relay.evicted}

    def limit(self, limits: HostLimits) -> None:
        """Apply these limits to new connections; existing ones stay."""
        self._limits = limits
        self._by_proxy.update(dict.fromkeys(self._by_proxy, limits.inbound))
        self.direct.resize(limits.inbound, limits.inbound_per_place)
        self.by_relay.resize(limits.circuits, limits.circuits_per_relay)

    async def run(self, listeners: Collection[socket.socket]) -> None:
        """Accept until cancelled; every connection ends then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._arrivals.run)
            nursery.start_soon(self._sweep)
            nursery.start_soon(self._end_slow_handshakes)
            for listener in listeners:
                nursery.start_soon(listen.accept, listener, partial(nursery.start_soon, self._arrived))

    # --- who has proven something ----------------------------------------------------------------------------------

    def mark_proven(self, peer: PeerKey) -> None:
        """Keep the connections that a peer has now, because it has proven something, and recognise it when
        it returns.
        """
        self._proven.add(peer)
        for guest in self._by_peer.get(peer, ()):
            guest.exempt = True
            guest.scope.deadline = inf
            self._guests[guest].prove(guest)

    def abandon(self, peer: PeerKey) -> None:
        """End its connections at once, without a close frame."""
        for guest in self._by_peer.get(peer, ()):
            guest.scope.cancel()

    # --- one connection --------------------------------------------------------------------------------------------

    async def _arrived(self, sock: socket.socket) -> None:
        if self.divert is None or not await self.divert(sock):
            await self.serve(sock)

    async def serve(self, sock: socket.socket, *, punched: bool = False) -> None:
        """Serve one socket; its slot is free again when this returns. punched: it was connected from here as well, and
        so says nothing about whether others can reach us.
        """
        try:
            (remote, from_port, *_), (here, port, *_) = sock.getpeername(), sock.getsockname()
            guest = Guest(multiaddrs.neighbourhood(remote), self._arrivals.number(), sock)
            if not self.direct.admit(guest):
                return
            try:
                punched = punched or self.holes[remote] > 0
                found_at = "" if punched else self._outside(here, port, remote)
                remote_end = remote, from_port
                pipe = partial(self._detect_protocol, guest, remote_end, sock, punched=punched)
                await self._carry(self.direct, guest, pipe, found_at)
            finally:
                self.direct.release(guest)
        except OSError:
            return
        finally:
            close(sock)

    def _outside(self, here: str, port: int, remote: str) -> str:
        """Return our public address at which a connection to `here` has arrived from outside, or ""."""
        mapped = self._mapped(here, port)
        if mapped and multiaddrs.from_outside(str(multiaddrs.parse(mapped).ip), remote):
            return mapped
        outside = multiaddrs.from_outside(here, remote)
        return multiaddrs.SocketAddress(ipaddress.ip_address(here), port).text() if outside else ""

    async def adopt(self, stream: LibP2PStream, accepted: Callable[[], Awaitable[None]], terms: CircuitTerms) -> bool:
        """Treat a relay's stream as a connection, and carry it until it ends; see `LibP2PHost.adopt`."""
        place = multiaddrs.place_of_relay(stream.peer)
        guest = Guest(place, self._arrivals.number())
        if not self.by_relay.admit(guest):
            return False

        async def open_pipe() -> RawPipe:
            await accepted()
            return RawPipe(CircuitPipe(stream, terms), place, terms=terms)

        guest.scope.deadline = trio.current_time() + self._limits.proof
        try:
            with stream.carrying():
                await self._carry(self.by_relay, guest, open_pipe)
            if guest.scope.cancelled_caught and not (guest.released or guest.exempt or guest.slow):
                self.ended[NO_PROOF] += 1
        finally:
            self.by_relay.release(guest)
            await stream.kill()
        return True

    async def _detect_protocol(
        self, guest: Guest, where: tuple[str, int], sock: socket.socket, *, punched: bool
    ) -> RawPipe:
        """Find out what a stranger speaks: raw libp2p, which begins with its greeting, or HTTP if we serve it."""
        remote: tuple[str, int] | None = where
        head = b""
        if self._tor and ipaddress.ip_address(where[0]).is_loopback:
            circuit, head = await circuit_of(TcpPipe(sock).receive)
            if circuit:
                self._move(guest, f"{self._tor} {circuit}")
                remote = None  # it is not where they are
            elif self._knows_circuits and where[0] not in self._proxies:
                self._knows_circuits = False
                log.warning(
                    "a connection from this machine names no circuit of Tor: all such ones share the limits of one"
                )
        if not (path := self._web_path()):
            return RawPipe(TcpPipe(sock, head), guest.place, remote, punched=punched)
        head = head or await TcpPipe(sock).receive(web.MAX_HEAD)
        if not head:
            raise trio.BrokenResourceError
        if head[:1] == handshake.GREETING[:1]:
            return RawPipe(TcpPipe(sock, head), guest.place, remote, punched=punched)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        # Whoever comes by Tor is no proxy, though on the same machine.
        forwards = remote is not None and where[0] in self._proxies
        if forwards:  # already here, so that a crowd behind a proxy keeps nobody else behind it waiting
            self._move_forwarded(guest, web.forwarded_for(head))
        await self._wait(guest)  # who has said all it has to say over HTTP may be answered still
        pipe, forwarded = await websocket.accept(stream, head, path)
        if forwards:  # on a connection that it kept, a proxy may bring another one later
            self._move_forwarded(guest, forwarded)
        return RawPipe(pipe, guest.place, remote)

    def _move_forwarded(self, guest: Guest, forwarded: tuple[str, ...]) -> None:
        """Count a connection where a proxy says that it comes from: the last of `forwarded`, if it says anything."""
        if forwarded and (place := multiaddrs.neighbourhood(forwarded[-1])) != guest.place:
            self._move(guest, place)

    def _move(self, guest: Guest, place: str) -> None:
        """Count a connection at another place from now on. Raises BrokenResourceError if there is no room."""
        self.direct.release(guest)
        guest.place, guest.released = place, False
        if not self.direct.admit(guest):
            guest.released = True
            raise trio.BrokenResourceError

    async def _carry(
        self, pool: Pool, guest: Guest, open_pipe: Callable[[], Awaitable[RawPipe]], found_at: str = ""
    ) -> None:
        """Secure one connection and carry it until it ends. `found_at`: our public address at which it arrived from
        outside, or "".
        """
        self._guests[guest] = pool
        wire = None
        try:
            with guest.scope:
                guest.until = trio.current_time() + self._limits.handshake
                self._shaking[guest] = None
                self._began.set()
                wire = await open_pipe()
                muxed = await self._swarm.upgrader.take_in(wire, partial(self._turn, guest))
                del self._shaking[guest]
                guest.until = inf
                await self._stay(pool, guest, muxed, found_at)
        except Exception as error:  # noqa: BLE001 - a stranger's bytes must not end the node
            log.debug("an inbound connection failed: %s", type(error).__name__)
        finally:
            del self._guests[guest]
            self._shaking.pop(guest, None)
            if wire is not None:
                wire.abandon()

    async def _turn(self, guest: Guest) -> None:
        """Wait for a turn in a handshake. Raises if the other end is no longer waiting."""
        await self._wait(guest)
        if guest.hung_up:
            raise trio.BrokenResourceError

    async def _wait(self, guest: Guest) -> None:
        """Wait until earlier arrivals have had their turn; this does not count as handshake time."""
        left, guest.until = guest.until - trio.current_time(), inf
        await self._arrivals.turn(guest.number, guest.place)
        guest.until = trio.current_time() + left

    async def _stay(self, pool: Pool, guest: Guest, muxed: GuardedYamux, found_at: str) -> None:
        peer = key_of(muxed.peer_id)
        # A peer whose old connections died unnoticed must get in again, so not the new one goes, but one on which
        # nothing runs, or else the oldest.
        older = sorted(connections.live(self._swarm, muxed.peer_id), key=lambda conn: bool(conn.muxed_conn.streams))
        for conn in older[: 1 - self._limits.connections_per_peer or None]:
            conn.muxed_conn.abandon()
        guest.muxed, guest.idle_since = muxed, trio.current_time()
        self._by_peer.setdefault(peer, set()).add(guest)
        try:
            self._swarm.carry(muxed)
            self._on_connected(muxed)
            if self._proven.has(peer):
                pool.prove(guest)
            if found_at:
                self.found[peer] = found_at
            await muxed.start()
        finally:
            muxed.abandon()
            if found_at:
                self.found.pop(peer, None)
            self._by_peer[peer].discard(guest)
            if not self._by_peer[peer]:
                del self._by_peer[peer]
            self._on_disconnected(peer)

    # --- housekeeping ----------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """End connections that were idle for too long, and log that somebody was turned away."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            now = trio.current_time()
            for guest in list(self._guests):
                if guest.muxed is None or guest.exempt:
                    continue
                if guest.muxed.streams:
                    guest.idle_since = now
                elif now - guest.idle_since >= self._limits.idle:
                    self.ended[IDLE] += 1
                    guest.scope.cancel()
            self._tell(now)

    async def _end_slow_handshakes(self) -> None:
        """End handshakes that take too long. One task checks all of them: separate deadlines, moved with every turn,
        would cost a connection more than its proof.
        """
        while True:
            await self._began.wait()
            await trio.sleep(min(HANDSHAKE_CHECK_SECONDS, self._limits.handshake / 4))
            now = trio.current_time()
            for guest in self._shaking:
                if guest.until <= now < guest.scope.deadline:
                    guest.slow = True
                    guest.scope.cancel()
            if not self._shaking:
                self._began.clear()

    def _tell(self, now: float) -> None:
        turned_away = sum(self.refused.values()) + self.endings[ROOM]
        before, at = self._said
        if turned_away > before and now - at >= LOG_SECONDS:
            log.warning(
                "connections: %d were turned away or had to make room since the last word", turned_away - before
            )
            self._said = (turned_away, now)


class InboundConnections:
    """What a host knows of inbound connections: who has proven something, who was turned away. Empty while it does not
    run.
    """

    _inbound: Inbound | None = None

    def mark_proven(self, peer: PeerKey) -> None:
        """Keep the connections that a peer has now, even if others need room, because it has proven something on one
        that it made (such as a verified link), and recognise it when it returns.
        """
        if self._inbound:
            self._inbound.mark_proven(peer)

    def abandon(self, peer: PeerKey) -> None:
        """End the connections that a peer has made, at once and without a close frame."""
        if self._inbound:
            self._inbound.abandon(peer)

    @property
    def refused(self) -> dict[str, int]:
        """The number of connections turned away in this run, by reason."""
        return self._inbound.refused if self._inbound else dict.fromkeys(REFUSALS, 0)

    @property
    def ended(self) -> dict[str, int]:
        """The number of inbound connections that we ended in this run, by reason."""
        return self._inbound.endings if self._inbound else dict.fromkeys(ENDINGS, 0)
