"""The DHT server of a relay: on a host of its own, so that nothing on the network joins the two but the address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import trio

from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import hmac_sha256
from p2pchat.net import multiaddrs
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.kademlia import where
from p2pchat.net.kademlia.server import KadServer
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.kademlia_messages import KadPeer
from p2pchat.net.libp2p.standard_protocols import Listed
from p2pchat.net.ports import Stream
from p2pchat.net.supervisor import Supervisor
from p2pchat.relay.config import BadSetting, RelayConfig
from p2pchat.relay.host_streams import account_of, place_of

if TYPE_CHECKING:
    from trio_typing import TaskStatus

LIMITS = HostLimits(inbound=512, inbound_per_place=32, connections_per_peer=2, streams_per_peer=8)


class RelayDht:
    """A `KadServer` with its host. seed: of the relay's transport key, from which the server's is derived. Raises
    BadSetting, BadAddress.
    """

    def __init__(
        self, config: RelayConfig, seed: bytes, clock: Callable[[], int], random: Callable[[int], bytes]
    ) -> None:
        self._announced = [multiaddrs.parse_target(address).text() for address in config.dht_announce]
        protocol = config.dht_protocol
        if not protocol.startswith("/"):
            raise BadSetting(f"dht_protocol begins with /, unlike {protocol!r}")
        self._host = LibP2PHost(
            hmac_sha256(seed, b"dht server"),
            config.dht_listen,
            limits=LIMITS,
            listed=Listed((protocol,), self.addresses, self._identified),
        )
        self._supervisor = Supervisor(self._host)
        peers = [KadPeer(peer, (address,)) for peer, address in map(multiaddrs.parse_full, config.dht_peers)]
        self._server = KadServer(
            self._host,
            peers,
            config.dht_bytes,
            clock,
            random,
            place_of=place_of,
            account_of=account_of,
            protocol=protocol,
        )
        self._host.handle(protocol, self._server.serve)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises NodeError if it cannot listen."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._supervisor.run)
            nursery.start_soon(self._server.run)
            task_status.started()

    def limit(self, config: RelayConfig) -> None:
        """Apply the limits of these settings to what comes from now on."""
        self._server.records.limit(config.dht_bytes)

    def addresses(self) -> Sequence[str]:
        """Return where others can dial it."""
        return self._announced or self._host.addresses()

    def found_at(self) -> list[str]:
        """Return its full addresses, for people."""
        return [multiaddrs.full(self._host.peer, address) for address in self.addresses()]

    async def tell(self, stream: Stream) -> None:
        """Tell a client of the relay where the server is."""
        await stream.write(where.encode(KadPeer(self._host.peer, tuple(self.addresses()))))

    def numbers(self) -> dict[str, Any]:
        """Return what it has done and holds, for the status and the metrics."""
        counts = {f"dht_{name}": count for name, count in asdict(self._server.counts).items()}
        records = self._server.records
        return {**counts, "dht_records": len(records), "dht_bytes": records.size, "dht_servers": self._server.servers}

    def _identified(self, peer: PeerKey, protocols: Collection[str], addresses: Sequence[str]) -> None:
        self._server.identified(peer, protocols, addresses)


NO_NUMBERS = dict.fromkeys(
    (
        *("dht_asked", "dht_looked_up", "dht_kept", "dht_refused"),
        *("dht_records", "dht_bytes", "dht_servers"),
    ),
    0,
)
"""The numbers of a relay that runs no such server."""
