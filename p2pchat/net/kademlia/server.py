"""A server of the DHT: what it answers, and how it learns of others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import trio

from p2pchat.core import ipns
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.admission.budget import Account
from p2pchat.net.kademlia import distances
from p2pchat.net.kademlia.client import KadClient, Result
from p2pchat.net.kademlia.kept import KeptRecords
from p2pchat.net.kademlia.table import Table
from p2pchat.net.libp2p.kademlia_messages import (
    MAX_REQUEST,
    PROTOCOL,
    KadKind,
    KadMessage,
    KadPeer,
    read_message,
    write_message,
)
from p2pchat.net.ports import Host, Stream
from p2pchat.ports import Clock

log = logging.getLogger("p2pchat.net")

IDLE_SECONDS = 30.0
"""How long a stream may be silent between two requests."""
MAX_STREAM_REQUESTS = 64
"""Requests on one stream, after which it ends."""
REFRESH_SECONDS = 600.0
"""Between two walks to one's own neighbourhood, which also find out who has gone."""
UNSEEN_SECONDS = 1800.0
"""How long a server is named to others without having answered."""
SWEEP_SECONDS = 60.0
MAX_NOTICED = 64
"""Servers that connected to us and wait to be tried,"""
TRIED_AT_ONCE = 4
"""and are tried at the same time,"""
TRY_SECONDS = 10.0
"""each for so long at most."""
ANSWER_UNITS = 60
"""What an answer costs (`admission.budget`): finding the closest of a few hundred servers,"""
RECORD_UNITS = 250
"""and checking a record, in microseconds."""


@dataclass
class DhtCounts:
    """What a server has done since its start."""

    asked: int = 0
    looked_up: int = 0
    kept: int = 0
    refused: int = 0


class KadServer:
    """Answers FIND_NODE, GET_VALUE, PUT_VALUE and PING; everything else ends its stream.

    host: for nothing but this. peers: servers to begin with. max_bytes: of all records. place_of, account_of: where a
    stream comes from, and who pays for its work.
    """

    def __init__(
        self,
        host: Host,
        peers: Sequence[KadPeer],
        max_bytes: int,
        clock: Clock,
        random: Callable[[int], bytes],
        *,
        place_of: Callable[[Stream], str],
        account_of: Callable[[Stream], Account | None],
        protocol: str = PROTOCOL,
    ) -> None:
        own = distances.of_peer(host.peer)
        self.counts = DhtCounts()
        self.records = KeptRecords(own, max_bytes)
        self._host = host
        self._peers = tuple(peers)
        self._clock = clock
        self._random = random
        self._place_of = place_of
        self._account_of = account_of
        self._protocol = protocol
        self._table = Table(own, trio.current_time)
        self._send, self._noticed = trio.open_memory_channel[KadPeer](MAX_NOTICED)

    @property
    def servers(self) -> int:
        """The number of other servers that are known."""
        return len(self._table)

    async def run(self) -> None:
        """Look for other servers, and drop records whose time has come, until cancelled."""
        async with trio.open_nursery() as nursery:
            client = KadClient(self._host, nursery, self._table, self._peers, protocol=self._protocol)
            nursery.start_soon(self._refresh, client)
            for _ in range(TRIED_AT_ONCE):
                nursery.start_soon(self._try_noticed)
            while True:
                await trio.sleep(SWEEP_SECONDS)
                self.records.sweep(self._clock())

    async def _refresh(self, client: KadClient) -> None:
        """Walk to one's own place, so that those who are near learn of us and we of them, and to some other one."""
        while True:
            ping = KadMessage(KadKind.FIND_NODE, b"\0" * 32)
            await client.ask_all(self._table.unseen_for(UNSEEN_SECONDS), ping, _go_on)
            for key in (multiaddrs.multihash(self._host.peer), self._random(32)):
                await client.walk(key)
            await trio.sleep(REFRESH_SECONDS)

    # --- who connects ----------------------------------------------------------------------------------------------

    def identified(self, peer: PeerKey, protocols: Collection[str], addresses: Sequence[str]) -> None:
        """Note what a peer that connected says of itself. A server is tried, and then named to others."""
        server = KadPeer(peer, multiaddrs.beyond(tuple(addresses), self._near()))
        known = peer in self._table or self._table.is_bad(server)
        if self._protocol in protocols and server.addresses and not known:
            try:
                self._send.send_nowait(server)
            except trio.WouldBlock:
                log.debug("more servers have connected than can be tried")

    async def _try_noticed(self) -> None:
        """Try those who say that they are servers, one after the other, at the addresses that they name."""
        async for server in self._noticed:
            if server.peer in self._table:
                continue
            with trio.move_on_after(TRY_SECONDS):
                try:
                    stream = await self._host.open(server.peer, server.addresses, self._protocol, afresh=True)
                except Unreachable:
                    pass
                else:
                    self._table.answered(server)
                    await stream.close()
                    continue
            self._table.silent(server)

    def _near(self) -> frozenset[multiaddrs.IPNetwork]:
        """Return the blocks of local addresses of which others are told: ours, unless we can be dialled from outside.
        Else a private network would be told to everybody, and everybody to dial into it.
        """
        own = self._host.addresses()
        return frozenset() if any(map(multiaddrs.is_everywhere, own)) else multiaddrs.local_blocks(own)

    def _told(self, server: KadPeer, near: frozenset[multiaddrs.IPNetwork]) -> KadPeer:
        """Return a server with those of its addresses that others are told."""
        return replace(server, addresses=multiaddrs.beyond(server.addresses, near))

    # --- requests --------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """Answer the requests on a stream."""
        account, place = self._account_of(stream), self._place_of(stream)
        try:
            for _ in range(MAX_STREAM_REQUESTS):
                with trio.move_on_after(IDLE_SECONDS) as idle:
                    request = await read_message(stream, MAX_REQUEST)
                if idle.cancelled_caught or request is None:
                    return
                if account is not None:
                    account.charge(RECORD_UNITS if request.kind == KadKind.PUT_VALUE else ANSWER_UNITS)
                    if account.due:
                        await account.settle()
                self.counts.asked += 1
                await write_message(stream, self._answer(request, stream.peer, place))
        except CannotOpen:
            self.counts.refused += 1
        except LinkLost:
            pass

    def _answer(self, request: KadMessage, peer: PeerKey, place: str) -> KadMessage:
        """Return the answer. Raises CannotOpen where there is none."""
        match request.kind:
            case KadKind.PING:
                return KadMessage(KadKind.PING)
            case KadKind.PUT_VALUE:
                record = ipns.read(request.key, request.record or b"", self._clock())
                if not self.records.put(record, place, self._clock()):
                    raise CannotOpen("a record that is not kept")
                self.counts.kept += 1
                return KadMessage(KadKind.PUT_VALUE, request.key, record.raw)
            case KadKind.GET_VALUE | KadKind.FIND_NODE:
                near = self._near()
                closest = self._table.closest(distances.of_key(request.key), but=(peer,))
                closer = tuple(server for server in (self._told(known, near) for known in closest) if server.addresses)
                found = self.records.get(request.key, self._clock()) if request.kind == KadKind.GET_VALUE else None
                self.counts.looked_up += request.kind == KadKind.GET_VALUE
                return KadMessage(request.kind, request.key, None if found is None else found.raw, closer)


def _go_on(result: Result) -> bool:
    return False
