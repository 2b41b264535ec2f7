"""Asking servers: each request in a task of its own, and the walk towards a key.

Half of a public network does not answer, and a request that is cancelled in the middle of a write breaks a connection.
So nobody waits for a request: one that has been silent for `soft` seconds loses its place to another and goes on by
itself, until its own end or that of the nursery.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf
from typing import NamedTuple

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.kademlia import distances
from p2pchat.net.kademlia.table import Crowd, Table, home
from p2pchat.net.libp2p.kademlia_messages import (
    MAX_ANSWER,
    PROTOCOL,
    K,
    KadKind,
    KadMessage,
    KadPeer,
    read_message,
    write_message,
)
from p2pchat.net.ports import Host

ALPHA = 10
"""Requests of one walk that are waited for at the same time."""
SOFT_SECONDS = 2.0
"""Seconds after which a request is not waited for any longer: four round trips of half a second."""
PROXY_SOFT_SECONDS = 10.0
"""The same through a proxy, which may be Tor: a connection takes seconds there."""
READ_SECONDS = 10.0
"""Seconds an answer may take once the request was written."""
WALK_SECONDS = 60.0
"""Seconds that a walk, or a round of requests, may take in all."""
MAX_REQUESTS = 128
"""Requests under way at the same time, those that nobody waits for among them."""
MAX_HEARD = 2000
"""Servers that one walk remembers."""
MAX_NAMED = 8
"""Addresses of one server, in sets as others name them, that one walk tries."""


class RequestOutcome(Enum):
    """How a request ended. REFUSED: the other end is there, and ended the stream."""

    ANSWERED = auto()
    REFUSED = auto()
    SILENT = auto()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a request to one server. answer: only where it has `ANSWERED`."""

    server: KadPeer
    outcome: RequestOutcome
    answer: KadMessage | None = None


class KadClient:
    """Asks servers from one host. `table` learns who answers.

    nursery: where requests run. anchors: servers that somebody here chose: they are asked for every key, however far
    they are from it, and are dialled wherever they are. soft: see `SOFT_SECONDS`.
    """

    def __init__(
        self,
        host: Host,
        nursery: trio.Nursery,
        table: Table,
        anchors: Sequence[KadPeer],
        *,
        protocol: str = PROTOCOL,
        soft: float = SOFT_SECONDS,
    ) -> None:
        self._host = host
        self._nursery = nursery
        self._table = table
        self._anchors = {server.peer: server for server in anchors}
        self._near = multiaddrs.local_blocks(address for server in anchors for address in server.addresses)
        self._protocol = protocol
        self._soft = soft
        self._under_way = 0

    async def walk(self, key: bytes) -> list[KadPeer]:
        """Return the servers that answer and are closest to a key, closest first, 20 at most; then the anchors that
        answer. Raises nothing of the network's.
        """
        walk = _Walk(distances.of_key(key), self._anchors, self._host.peer, self._table, self._near)
        request = KadMessage(KadKind.FIND_NODE, key)
        with trio.move_on_after(WALK_SECONDS):
            await self._run(walk.to_ask, lambda server: request, walk.heard, ALPHA)
        return walk.answered()

    async def ask_all(
        self, servers: Sequence[KadPeer], request: KadMessage, heard: Callable[[Result], bool], at_once: int = K
    ) -> None:
        """Ask many servers the same, in their order, so many at the same time. `heard` is told every result and
        returns whether that is enough; requests that are under way then go on by themselves.
        """
        left = list(servers)
        enough = False

        def told(result: Result) -> None:
            nonlocal enough
            enough = heard(result) or enough

        def to_ask() -> KadPeer | None:
            return left.pop(0) if left and not enough else None

        with trio.move_on_after(WALK_SECONDS):
            await self._run(to_ask, lambda server: request, told, at_once, lambda: enough)

    async def _run(
        self,
        to_ask: Callable[[], KadPeer | None],
        request: Callable[[KadPeer], KadMessage],
        heard: Callable[[Result], None],
        at_once: int,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Ask whoever `to_ask` returns, until it returns None and nobody is waited for.

        If more are silent then than have answered, or some of these have answered late, it is rather we who are slow,
        or our network: then the others are given time too.
        """
        send, receive = trio.open_memory_channel[Result](inf)
        waited_for: dict[KadPeer, float] = {}
        overdue: set[KadPeer] = set()
        answered, slow, last_call = 0, False, inf
        while True:
            while len(waited_for) < at_once and self._under_way < MAX_REQUESTS and (server := to_ask()) is not None:
                waited_for[server] = trio.current_time() + self._soft
                self._under_way += 1
                self._nursery.start_soon(self._ask, server, request(server), send)
            well = not overdue or (answered >= len(overdue) and not slow)
            if enough() or (not waited_for and (well or trio.current_time() >= last_call)):
                return
            if not waited_for:
                last_call = min(last_call, trio.current_time() + READ_SECONDS)
            with trio.move_on_at(min(waited_for.values(), default=last_call)):
                result = await receive.receive()
                waited_for.pop(result.server, None)
                if result.outcome is RequestOutcome.ANSWERED:
                    answered += 1
                    slow = slow or result.server in overdue
                overdue.discard(result.server)
                heard(result)
            for server in [server for server, until in waited_for.items() if until <= trio.current_time()]:
                del waited_for[server]
                overdue.add(server)
                self._table.silent(server)
                heard(Result(server, RequestOutcome.SILENT))

    async def _ask(self, server: KadPeer, request: KadMessage, send: trio.MemorySendChannel[Result]) -> None:
        result = Result(server, RequestOutcome.SILENT)
        try:
            result = await self._answer(server, request)
        finally:
            self._under_way -= 1
            if result.outcome is RequestOutcome.ANSWERED:
                self._table.answered(server)
            elif result.outcome is RequestOutcome.SILENT:
                self._table.silent(server)
            send.send_nowait(result)

    async def _answer(self, server: KadPeer, request: KadMessage) -> Result:
        try:
            chosen = server.peer in self._anchors
            stream = await self._host.open(
                server.peer, server.addresses, self._protocol, only=Route.DIRECT, chosen=chosen
            )
        except Unreachable:
            return Result(server, RequestOutcome.SILENT)
        try:
            await write_message(stream, request)
            with trio.move_on_after(READ_SECONDS):
                answer = await read_message(stream, MAX_ANSWER)
                if answer is not None and (answer.kind, answer.key) in (
                    (request.kind, request.key),
                    (request.kind, b""),
                ):
                    return Result(server, RequestOutcome.ANSWERED, answer)
                return Result(server, RequestOutcome.REFUSED)
        except (CannotOpen, LinkLost):
            return Result(server, RequestOutcome.REFUSED)
        finally:
            await stream.close()
        return Result(server, RequestOutcome.SILENT)


class _Named(NamedTuple):
    """A server at the addresses at which somebody has named it, and their network."""

    server: KadPeer
    network: str


@dataclass(eq=False, slots=True)
class _Heard:
    """A server that a walk has heard of, as others have named it. tried: how many of these have failed."""

    named: list[_Named]
    tried: int = 0

    @property
    def failed(self) -> bool:
        """Whether it answers nowhere, as far as is known."""
        return self.tried == len(self.named)

    @property
    def now(self) -> _Named:
        """The server at the addresses that have not failed yet, or at the last ones."""
        return self.named[min(self.tried, len(self.named) - 1)]


class _Walk:
    """What is known on the way to a place: who was heard of, who was asked, who has answered."""

    def __init__(
        self,
        place: int,
        anchors: dict[PeerKey, KadPeer],
        us: PeerKey,
        table: Table,
        near: frozenset[multiaddrs.IPNetwork],
    ) -> None:
        self._place = place
        self._near = near
        self._anchors = anchors
        self._us = us
        self._table = table
        self._known: dict[PeerKey, _Heard] = {}
        self._in_order: list[tuple[int, PeerKey]] = []
        self._asked: set[PeerKey] = set()
        self._answered: set[PeerKey] = set()
        for server in (*anchors.values(), *table.closest(place)):
            self._learn(server)

    def to_ask(self) -> KadPeer | None:
        """Return whom to ask next: an anchor, or one of the 20 closest that was not asked."""
        for server in (*self._anchors.values(), *self._closest(self._may_answer)):
            if server.peer not in self._asked and server.peer != self._us:
                self._asked.add(server.peer)
                return server
        return None

    def heard(self, result: Result) -> None:
        """Note what became of a request, and the servers that it names."""
        peer = result.server.peer
        heard = self._known.get(peer)
        if result.answer is None:
            if (
                heard is not None
                and peer not in self._answered
                and not heard.failed
                and heard.now.server == result.server
            ):
                heard.tried += 1
                if not heard.failed:  # somebody else has named it elsewhere
                    self._asked.discard(peer)
            return
        self._answered.add(peer)
        self._asked.add(peer)
        if heard is not None:
            heard.named, heard.tried = [_Named(result.server, home(result.server.addresses)[0])], 0
        for server in result.answer.closer:
            self._learn(server)

    def answered(self) -> list[KadPeer]:
        """Return who has answered: the 20 closest, then the anchors."""
        closest = self._closest(self._answered.__contains__)
        anchors = [server for peer, server in self._anchors.items() if peer in self._answered]
        return list({server.peer: server for server in (*closest, *anchors)}.values())

    def _learn(self, server: KadPeer) -> None:
        heard = self._known.get(server.peer)
        anchor = server.peer in self._anchors
        if server.peer == self._us or (heard is not None and (anchor or server.peer in self._answered)):
            return
        network, addresses = home(server.addresses if anchor else multiaddrs.beyond(server.addresses, self._near))
        if not anchor:
            server = replace(server, addresses=addresses)
            if not addresses or self._table.is_bad(server):
                return
        named = _Named(server, network)
        if heard is not None:
            if named not in heard.named and len(heard.named) < MAX_NAMED:
                if heard.failed:
                    self._asked.discard(server.peer)
                heard.named.append(named)
            return
        insort(self._in_order, (distances.of_peer(server.peer) ^ self._place, server.peer))
        self._known[server.peer] = _Heard([named])
        if len(self._in_order) > MAX_HEARD:
            _, farthest = self._in_order.pop()
            del self._known[farthest]

    def _may_answer(self, peer: PeerKey) -> bool:
        return not self._known[peer].failed

    def _closest(self, wanted: Callable[[PeerKey], bool]) -> list[KadPeer]:
        """Return the 20 closest of those wanted, with few of each network."""
        crowd, closest = Crowd(), list[KadPeer]()
        for _, peer in self._in_order:
            if not wanted(peer):
                continue
            heard = self._known[peer]
            if peer in self._anchors or crowd.admits(heard.now.network):
                closest.append(heard.now.server)
                if len(closest) == K:
                    break
        return closest
