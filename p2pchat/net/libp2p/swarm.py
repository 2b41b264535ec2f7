"""libp2p's parts, put together as we want them: a swarm that is handed open connections, a host that says nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio
from libp2p.abc import IMuxedConn, INetConn
from libp2p.crypto.keys import KeyPair
from libp2p.host.basic_host import BasicHost
from libp2p.host.ping import ID as PING
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream, StreamState
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr import Direction

from p2pchat.core.primitives import system_entropy
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.libp2p import hardening
from p2pchat.net.libp2p.handshake import Identity
from p2pchat.net.libp2p.yamux import GuardedYamux, Substream


class _Connection(SwarmConn):
    """A connection whose streams are served as they come. (libp2p's has a task that waits for them and another nursery,
    and takes a lock and several turns of the loop to note that a stream is open.)"""

    def take(self, inner: Substream) -> None:
        """Serve a stream that the other end has begun."""
        self.swarm.manager.run_task(partial(self._serve, inner))

    async def _serve(self, inner: Substream) -> None:
        stream = NetStream(inner, self, None)
        stream._state, stream._direction = StreamState.OPEN, Direction.INBOUND
        self.streams.add(stream)
        try:
            await self.swarm.common_stream_handler(stream)
        finally:
            self.remove_stream(stream)


class _Swarm(Swarm):
    """Without the auto-connector, which dials whoever it has heard of and remembers everyone who ever left."""

    def _schedule_auto_connect(self) -> None:
        pass

    async def notify_disconnected(self, conn: INetConn) -> None:
        await self._notify("disconnected", conn)

    async def _notify(self, method: str, *args: object) -> None:
        """libp2p opens a nursery each time, also for nobody."""
        if self.notifees:
            await super()._notify(method, *args)

    async def add_conn(self, muxed_conn: IMuxedConn, direction: str = "unknown") -> SwarmConn:
        """Begin to carry a connection. (libp2p's way counts all connections each time, keeps a table of how well each
        does that nothing here reads, and asks managers that are not there.)"""
        assert isinstance(muxed_conn, GuardedYamux)
        conn = _Connection(muxed_conn, self, direction=direction)
        muxed_conn.serve = conn.take
        muxed_conn.run_task = self.manager.run_task
        conn.event_started.set()
        self.manager.run_task(muxed_conn.start)
        self.connections.setdefault(muxed_conn.peer_id, []).append(conn)
        await self.notify_connected(conn)
        return conn


class _Basic(BasicHost):
    """Without asking every peer to identify itself: that spawns system tasks, and believes what it is told."""

    def _schedule_identify(self, peer_id: ID, *, reason: str) -> None:
        pass

    async def _push_identify_to_all_peers(self) -> None:
        pass


def run_tasks_in(swarm: Swarm, nursery: trio.Nursery) -> None:
    """Carry connections in `nursery`. libp2p looks for the parent of every task among all there are, so that the
    thousandth connection would cost several times what the first did."""

    def run_task(run: Callable[[], Awaitable[None]], *, name: str | None = None) -> None:
        nursery.start_soon(run, name=name)

    vars(swarm.manager)["run_task"] = run_task


def build_swarm(me: ID, pair: KeyPair, limits: HostLimits) -> tuple[Swarm, BasicHost]:
    """Make a swarm, to be run, and the host over it; without stream handlers yet."""
    # Nobody may make us forget our own key by showing us a thousand others.
    store = PeerStore(max_peers=10**6)
    store.add_key_pair(me, pair)
    identity = Identity(pair, system_entropy().random(32))
    most = 2 * limits.inbound + 1000  # ours are the limits that count; libp2p's are never reached
    swarm = _Swarm(
        me,
        store,
        hardening.Upgrader(me, pair, identity, limits.unread),
        transports=[],
        connection_config=ConnectionConfig(
            max_connections=most,
            high_watermark=most,
            low_watermark=0,
            min_connections=0,
            max_connections_per_peer=2 * limits.connections_per_peer + 2,
            auto_connect_interval=DAY_SECONDS,
            inbound_upgrade_timeout=limits.handshake,
            outbound_upgrade_timeout=limits.queue,
        ),
    )
    basic = _Basic(swarm, disable_identify_address_discovery=True)
    for protocol in (PING, IDENTIFY_PUSH):
        basic.remove_stream_handler(protocol)
    swarm.notifees.clear()  # who keeps books on peers; each costs every connection and stream two tasks
    return swarm, basic
