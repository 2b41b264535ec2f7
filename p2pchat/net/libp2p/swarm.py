"""The connections of a host: who serves the streams on them, and the tasks that carry them.

(libp2p's swarm also dials, listens, keeps books on peers and prunes connections. We do these ourselves, or nobody here
wants them, and importing it costs as much as the rest of libp2p: docs/decisions/0056.)
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import trio
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from p2pchat.core.primitives import system_entropy
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.allowance import Traffic
from p2pchat.net.libp2p.handshake import Identity
from p2pchat.net.libp2p.hardening import Upgrader
from p2pchat.net.libp2p.secure_channel import RawPipe
from p2pchat.net.libp2p.yamux import GuardedYamux, Substream
from p2pchat.net.network_memory import PROVEN_BYTES, Passage

PROOF_SECONDS = 4.0
"""Seconds without a byte after which a connection that is in doubt ends."""
DOUBT_EVERY_SECONDS = 10.0
"""Seconds at least from one time that all connections are doubted to the next."""


class PeerConnection:
    """A connection of a swarm, from its handshake until either end has closed it."""

    def __init__(self, muxed: GuardedYamux, swarm: Swarm) -> None:
        self.muxed_conn = muxed
        self._swarm = swarm
        self._closed = False
        self.pluggable = ""  # the transport that disguises a connection that was dialled
        self.asked = False  # whether to show that it works, just now
        self.passage: Passage | None = None  # of a connection that was dialled, not over a circuit
        muxed.on_close = self._on_close

    @property
    def alive(self) -> bool:
        """False as soon as one side has seen it end; a silent end takes longer to notice."""
        return not self._closed and self.muxed_conn.alive

    @property
    def moved(self) -> float:
        """When the last byte came, of whatever."""
        return self.muxed_conn.wire.moved

    @property
    def is_lasting(self) -> bool:
        """Whether it was dialled, not over a circuit nor by a proxy, and is no short one."""
        return self.muxed_conn.meter is not None and self.muxed_conn.short is None

    @property
    def may_freeze(self) -> bool:
        """Whether it is a lasting one that has not carried enough to show that it does not freeze."""
        meter = self.muxed_conn.meter
        if meter is None or not self.is_lasting:
            return False
        carried = meter.read()
        return max(carried.bytes_in, carried.bytes_out) < PROVEN_BYTES

    async def new_stream(self) -> Substream:
        """Begin a stream. Raises MuxedStreamError where the connection ends."""
        return await self.muxed_conn.open_stream()

    async def close(self) -> None:
        """Say to the other end that it is over, and close the socket."""
        if not self._closed:
            self.forget()
            await self.muxed_conn.close()

    async def _on_close(self) -> None:
        self.forget()
        await trio.lowlevel.checkpoint()

    def forget(self) -> None:
        """Take it for closed."""
        if self.passage is not None and not self._closed:
            meter = self.muxed_conn.meter
            carried = Traffic() if meter is None else meter.read()
            # something else may have ended it before its silence was noticed
            stuck = meter is not None and meter.stuck
            self.passage.ended(carried, silent=self.muxed_conn.silent or stuck)
        was_open, self._closed = not self._closed, True
        self._swarm.remove(self)
        if was_open and self.muxed_conn.silent and self.muxed_conn.meter is not None:
            self._swarm.doubt()


class Swarm:
    """The connections of a host while it runs.

    me: the host's peer id. serve: handles one stream that another host has begun, from its first byte to its last; it
    raises nothing. nursery: where connections and streams have their tasks.
    """

    def __init__(
        self,
        me: ID,
        pair: KeyPair,
        limits: HostLimits,
        serve: Callable[[Substream], Awaitable[None]],
        nursery: trio.Nursery,
    ) -> None:
        self.self_id = me
        self.upgrader = Upgrader(me, pair, Identity(pair, system_entropy().random(32)), limits.unread)
        self._muxer_timeout = limits.queue
        self._serve = serve
        self.nursery = nursery
        self._connections: dict[ID, list[PeerConnection]] = {}
        self._doubted = -math.inf

    def connections(self, peer: ID) -> list[PeerConnection]:
        """Return those with a peer, oldest first."""
        return self._connections.get(peer, [])

    def all_connections(self) -> list[PeerConnection]:
        """Return those with anybody."""
        return [conn for conns in self._connections.values() for conn in conns]

    def doubt(self) -> None:
        """Have the lasting connections that were dialled show that they work, since one has gone silent: what has
        silenced that one, such as a network that freezes connections or a line that is cut, has often silenced others
        on which nothing is due. Circuits end with the connection that carries them.
        """
        if trio.current_time() >= self._doubted + DOUBT_EVERY_SECONDS:
            self._doubted = trio.current_time()
            self.ask([conn for conn in self.all_connections() if conn.is_lasting])

    def ask(self, doubted: Iterable[PeerConnection]) -> None:
        """Have each of these connections end soon if its other end does not answer."""
        for conn in doubted:
            if not conn.asked:
                conn.asked = True
                self.nursery.start_soon(_prove, conn)

    @property
    def peers(self) -> tuple[ID, ...]:
        """Whom there are connections with."""
        return tuple(self._connections)

    async def dialled(self, wire: RawPipe, peer: ID) -> PeerConnection:
        """Secure what was dialled and carry it. Raises CannotOpen where somebody else than `peer` answers,
        TooSlowError, ConnectionClosedError; whoever dialled then closes the pipe."""
        channel = await self.upgrader.secure(wire, peer)
        with trio.fail_after(self._muxer_timeout):
            muxed = await self.upgrader.multiplex(channel, peer)
        conn = self.carry(muxed)
        self.nursery.start_soon(muxed.start)
        return conn

    def carry(self, muxed: GuardedYamux) -> PeerConnection:
        """Have the streams of a connection served, until it ends; whoever calls this has it read (`start`)."""
        conn = PeerConnection(muxed, self)
        muxed.serve = self._take
        muxed.run_task = self.nursery.start_soon
        self._connections.setdefault(muxed.peer_id, []).append(conn)
        return conn

    def _take(self, stream: Substream) -> None:
        self.nursery.start_soon(self._serve, stream)

    def remove(self, conn: PeerConnection) -> None:
        """Forget a connection, unless that has happened."""
        peer = conn.muxed_conn.peer_id
        known = self._connections.get(peer, [])
        if conn in known:
            left = [other for other in known if other is not conn]
            if left:
                self._connections[peer] = left
            else:
                del self._connections[peer]


async def _prove(conn: PeerConnection) -> None:
    """End a connection at once if its other end does not answer."""
    with suppress(Exception):  # of a write: it is over
        await conn.muxed_conn.prove(PROOF_SECONDS)
    conn.asked = False
