"""libp2p's parts, put together as we want them: a swarm that is handed open connections, a host that says nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import INetConn
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.host.ping import ID as PING
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.config import ConnectionConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise

from p2pchat.net import guard
from p2pchat.net.limits import Limits


class _Swarm(Swarm):
    """Without the auto-connector, which dials whoever it has heard of and remembers everyone who ever left."""

    def _schedule_auto_connect(self) -> None:
        pass

    async def notify_disconnected(self, conn: INetConn) -> None:
        await self._notify("disconnected", conn)


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


def build(me: ID, pair: KeyPair, limits: Limits) -> tuple[Swarm, BasicHost]:
    """A swarm, to be run, and the host over it; no stream handlers yet."""
    # Nobody may make us forget our own key by showing us a thousand others.
    store = PeerStore(max_peers=10**6)
    store.add_key_pair(me, pair)
    noise = Noise(pair, noise_privkey=create_noise_key_pair().private_key)
    most = 2 * limits.inbound + 1000  # ours are the limits that count; libp2p's are never reached
    swarm = _Swarm(
        me,
        store,
        guard.Upgrader({TProtocol(NOISE): noise}, limits.unread),
        transports=[],
        connection_config=ConnectionConfig(
            max_connections=most,
            high_watermark=most,
            low_watermark=0,
            min_connections=0,
            max_connections_per_peer=2 * limits.connections_per_peer + 2,
            auto_connect_interval=86400.0,
            inbound_upgrade_timeout=limits.handshake,
            outbound_upgrade_timeout=limits.handshake,
        ),
    )
    basic = _Basic(swarm, disable_identify_address_discovery=True)
    for protocol in (PING, IDENTIFY_PUSH):
        basic.remove_stream_handler(protocol)
    return swarm, basic
