"""Publishing and looking up: `ports.RecordNetwork`.

The servers that keep a record see who brings it and who asks for it. So each record is brought, and each key is asked
for, by a host of its own with a new key, which listens nowhere; the way to the servers is asked for by a decoy, so that
only those that keep a record see its key; and what was read is never written back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf

import trio

from p2pchat.core import ipns
from p2pchat.core.ipns import IpnsRecord
from p2pchat.errors import CannotOpen
from p2pchat.net.kademlia import distances
from p2pchat.net.kademlia.client import SOFT_SECONDS, KadClient, RequestOutcome, Result
from p2pchat.net.kademlia.table import Table
from p2pchat.net.libp2p.kademlia_messages import PROTOCOL, KadKind, KadMessage, KadPeer
from p2pchat.net.ports import NewHost
from p2pchat.ports import Clock, DhtHealth, DhtMode

MAX_AT_ONCE = 4
"""Records published or looked up at the same time."""
QUORUM = 5
"""Valid records of a key after which no further server is asked."""
LOOKED_UP_AT_ONCE = 6
"""Servers that are asked for a key at the same time, closest first."""
TABLE_SECONDS = 3600.0
"""How long the servers that were found are remembered without another task."""


class KademliaNetwork:
    """`ports.RecordNetwork` by libp2p's Kademlia.

    new_host: makes a host for one task. bootstrap: servers to begin with. soft: seconds after which a server counts as
    silent. of_relays: asks the relays in use now which servers they run, to begin with these too.
    """

    def __init__(
        self,
        new_host: NewHost,
        bootstrap: Sequence[KadPeer],
        clock: Clock,
        random: Callable[[int], bytes],
        *,
        protocol: str = PROTOCOL,
        soft: float = SOFT_SECONDS,
    ) -> None:
        self._new_host = new_host
        self._bootstrap = tuple(bootstrap)
        self.of_relays: Callable[[], Awaitable[Sequence[KadPeer]]] | None = None
        self._clock = clock
        self._random = random
        self._protocol = protocol
        self._soft = soft
        self._tasks = trio.CapacityLimiter(MAX_AT_ONCE)
        self._known: Table | None = None
        self._used = -inf

    async def publish(self, record: IpnsRecord) -> int | None:
        """Give a record to the servers that are closest to its key, and to the anchors; return how many keep it, None
        where none answers.
        """
        kept = 0

        def heard(result: Result) -> bool:
            nonlocal kept
            kept += result.outcome is RequestOutcome.ANSWERED
            return False

        async with self._client() as client:
            if client is None:
                return None
            servers = await self._closest(client, record.routing_key)
            message = KadMessage(KadKind.PUT_VALUE, record.routing_key, record.raw)
            await client.ask_all(servers, message, heard)
        return kept if servers else None

    async def look_up(self, routing_key: bytes) -> IpnsRecord | None:
        """Return the best of the valid records that the servers closest to a key, and the anchors, hand out."""
        valid: list[IpnsRecord] = []

        def heard(result: Result) -> bool:
            if result.answer is not None and result.answer.record is not None:
                try:
                    valid.append(ipns.read(routing_key, result.answer.record, self._clock()))
                except CannotOpen:
                    return False
            return len(valid) >= QUORUM

        async with self._client() as client:
            if client is None:
                return None
            servers = await self._closest(client, routing_key)
            await client.ask_all(servers, KadMessage(KadKind.GET_VALUE, routing_key), heard, LOOKED_UP_AT_ONCE)
        return ipns.best(valid)

    async def health(self) -> DhtHealth:
        """Look for the servers of a key that nobody has, and return how many there are; within a minute."""
        async with self._client() as client:
            servers = () if client is None else await self._closest(client, ipns.routing_key(self._random(32)))
        return DhtHealth(DhtMode.PUBLIC if self._bootstrap else DhtMode.RELAYS, len(servers))

    async def _closest(self, client: KadClient, key: bytes) -> Sequence[KadPeer]:
        """Return the servers that keep a key, which are found without naming it."""
        servers = await client.walk(distances.decoy(key, self._random))
        place = distances.of_key(key)
        return sorted(servers, key=lambda server: distances.of_peer(server.peer) ^ place)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[KadClient | None]:
        """Make a host for one task, and end it; None where no server is known to begin with."""
        async with self._tasks:
            anchors = [*self._bootstrap, *(await self.of_relays() if self.of_relays is not None else ())]
            if not anchors and not len(self._table()):
                yield None
                return
            async with self._new_host() as host, trio.open_nursery() as nursery:
                yield KadClient(host, nursery, self._table(), anchors, protocol=self._protocol, soft=self._soft)
                nursery.cancel_scope.cancel()

    def _table(self) -> Table:
        """Return the servers that were found before, or none if that is long ago."""
        now = trio.current_time()
        if self._known is None or now - self._used > TABLE_SECONDS:
            self._known = Table(distances.of_key(self._random(32)), trio.current_time)
        self._used = now
        return self._known
