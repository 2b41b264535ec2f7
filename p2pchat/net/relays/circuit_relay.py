"""The relay's side of circuits (docs/protocol/circuit.md): reservations, and joining two streams.

A relay uses only connections that exist and never dials: `Host.open` is called without any address. Each circuit is one
task with its own two streams, and nothing else refers to them, so the end of one circuit affects nothing else.

Nobody can occupy all circuits to a peer. A pair of peers has two at most, and if a peer, a place or the whole relay has
as many as it may, a circuit of the greediest source is ended for the new one (`admission`). A circuit counts as proven
once it has lasted longer than its target waits for a proof; one between two peers who had such a circuit before counts
as proven from the start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.errors import BadAddress, CannotOpen, LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.admission.slots import Pool, Remembered, Slot, choose_victim
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.circuit_messages import HopMessage, Limit, PeerId, Reservation, Status, StopMessage
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.ports import Stream
from p2pchat.net.transport.pipes import CHUNK

_FIRST_BYTES = 65_536
_FIRST_CHUNK = 4_096
"""Bytes that are passed on at once, of the first `_FIRST_BYTES` of a circuit: what goes together can be decrypted only
once all of it has come, and some networks let 15 kB of a connection through."""

log = logging.getLogger("p2pchat.net")

LASTING_SECONDS = 15.0
"""Seconds after which a circuit counts as wanted by its target: targets wait 10 s for a proof."""
_SWEEP_SECONDS = 30.0
_MAX_TOLD = 4
REASONS = tuple(
    circuit_messages.name(status)
    for status in (
        circuit_messages.RESERVATION_REFUSED,
        circuit_messages.RESOURCE_LIMIT_EXCEEDED,
        circuit_messages.PERMISSION_DENIED,
        circuit_messages.CONNECTION_FAILED,
        circuit_messages.NO_RESERVATION,
        circuit_messages.MALFORMED_MESSAGE,
        circuit_messages.UNEXPECTED_MESSAGE,
    )
)
"""The reasons for refusing a request, as the metrics name them."""


@dataclass(frozen=True, slots=True)
class CircuitLimits:
    """The limits of a relay for circuits, in seconds and bytes. For `bytes`, `duration` and `idle`, 0 means no limit.

    A place is an IPv4 address or an IPv6 /64; the networks around it have limits of their own (`places`). The buffers
    of a circuit take at most 512 KiB.
    """

    reservations: int = 4096
    reservations_per_place: int = 64
    ttl: int = 3600
    circuits: int = 256
    circuits_per_peer: int = 16  # of which the peer is one end
    circuits_per_place: int = 32  # requested from one place
    circuits_per_pair: int = 2  # requested by one peer, to one other
    bytes: int = 2**28  # in both directions together
    duration: float = 0.0
    idle: float = 180.0


@dataclass
class CircuitCounts:
    """Totals over all clients since the start, for the metrics. `refused`: by reason."""

    reserved: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    joined: int = 0
    cut: int = 0
    evicted: int = 0
    bytes: int = 0


class _Reserved(Slot):
    """A reservation. until: in seconds of trio's clock."""

    __slots__ = ("until",)

    def __init__(self, place: str, end: Callable[[], None], until: float) -> None:
        super().__init__(place, end)
        self.until = until


class _Asked(Slot):
    """A circuit, from its request to its end. ends: the two peers. connection: the one that requested it. scope:
    cancelling it ends the circuit. forget: called when the circuit has to make room.
    """

    __slots__ = ("connection", "ends", "scope")

    def __init__(self, stream: LibP2PStream, target: PeerKey, forget: Callable[[_Asked], None]) -> None:
        super().__init__(stream.place, partial(forget, self))
        self.scope = trio.CancelScope()
        self.ends = (stream.peer, target)
        self.connection = stream.connection


class CircuitRelay:
    """Serves circuits on a host: `host.handle(names.hop_name(…), relay.serve)`.

    clock: UTC in ms. allowed: which peers may reserve, by default all. announce: the relay's own addresses to send with
    a reservation, by default those of the host.
    """

    def __init__(
        self,
        host: LibP2PHost,
        limits: CircuitLimits,
        clock: Callable[[], int],
        *,
        allowed: Callable[[PeerKey], bool] = lambda peer: True,
        announce: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self.counts = CircuitCounts()
        self._host = host
        self._limits = limits
        self._clock = clock
        self._allowed = allowed
        self._announce = announce or host.addresses
        self._reserved: dict[PeerKey, _Reserved] = {}
        self._reservations = Pool(limits.reservations, limits.reservations_per_place)
        self._circuits = Pool(limits.circuits, limits.circuits_per_place)
        self._of_peer: dict[PeerKey, dict[_Asked, None]] = {}
        self._lasted = Remembered()
        self._swept = -_SWEEP_SECONDS
        self._draining = False
        self._ended = trio.lowlevel.ParkingLot()
        host.on_disconnected(self._release)

    @property
    def reservations(self) -> int:
        """The number of reservations."""
        return len(self._reserved)

    @property
    def circuits(self) -> int:
        """The number of circuits, including those being made."""
        return self._circuits.taken

    def drain(self) -> None:
        """Accept nothing new; existing circuits stay."""
        self._draining = True

    async def idle(self) -> None:
        """Wait until there is no circuit."""
        while self.circuits:
            await self._ended.park()

    async def run(self) -> None:
        """Remove expired reservations until cancelled. Without it they are removed only when somebody reserves."""
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            self._sweep(trio.current_time())

    def limit(self, limits: CircuitLimits) -> None:
        """Apply other limits to new reservations and circuits; existing ones keep theirs."""
        self._limits = limits
        self._reservations.resize(limits.reservations, limits.reservations_per_place)
        self._circuits.resize(limits.circuits, limits.circuits_per_place)

    async def serve(self, stream: Stream) -> None:
        """Serve one request of the hop protocol, and the circuit if it becomes one (libp2p relay/circuit-v2.md;
        docs/protocol/circuit.md).
        """
        assert isinstance(stream, LibP2PStream)
        try:
            message = await circuit_messages.read_message(stream, HopMessage)
            if stream.route != Route.DIRECT:
                await self._refuse(stream, circuit_messages.PERMISSION_DENIED)
            elif message.type == HopMessage.RESERVE:
                await self._reserve(stream, message)
            elif message.type == HopMessage.CONNECT:
                await self._connect(stream, circuit_messages.peer_in(message))
            else:
                await self._refuse(stream, circuit_messages.UNEXPECTED_MESSAGE)
        except CannotOpen:
            await self._refuse(stream, circuit_messages.MALFORMED_MESSAGE)

    async def _refuse(self, stream: Stream, status: Status.ValueType) -> None:
        self.counts.refused[circuit_messages.name(status)] += 1
        await circuit_messages.write_message(stream, HopMessage(type=HopMessage.STATUS, status=status))

    # --- reservations ----------------------------------------------------------------------------------------------

    async def _reserve(self, stream: LibP2PStream, message: HopMessage) -> None:
        now = trio.current_time()
        if message.peer.id and circuit_messages.peer_in(message) != stream.peer:
            await self._refuse(stream, circuit_messages.PERMISSION_DENIED)
            return
        self._sweep(now)
        self._release(stream.peer)
        if self._draining or not self._allowed(stream.peer):
            await self._refuse(stream, circuit_messages.RESERVATION_REFUSED)
            return
        reserved = _Reserved(stream.place, partial(self._lose, stream.peer), now + self._limits.ttl)
        if not self._reservations.admit(reserved):
            await self._refuse(stream, circuit_messages.RESOURCE_LIMIT_EXCEEDED)
            return
        self._reserved[stream.peer] = reserved
        if self._lasted.has(stream.peer):
            self._reservations.prove(reserved)
        self._host.mark_proven(stream.peer)
        self.counts.reserved += 1
        reservation = Reservation(expire=self._clock() // 1000 + self._limits.ttl, addrs=self._told())
        await circuit_messages.write_message(
            stream,
            HopMessage(
                type=HopMessage.STATUS, status=circuit_messages.OK, reservation=reservation, limit=self._limit()
            ),
        )

    def _told(self) -> list[bytes]:
        closed = []
        for address in self._announce():
            try:
                closed.append(multiaddrs.pack_full(self._host.peer, address))
            except BadAddress:
                continue
        return closed[:_MAX_TOLD]

    def _limit(self) -> Limit | None:
        """Return the limits in the form of the specification, or None if there are none."""
        duration, size = int(self._limits.duration), self._limits.bytes
        return Limit(duration=duration, data=size) if duration or size else None

    def _sweep(self, now: float) -> None:
        """Remove expired reservations. It looks at all of them, so it does not run at every request."""
        if now < self._swept + _SWEEP_SECONDS and len(self._reserved) < self._limits.reservations:
            return
        if now < self._swept + 1:
            return
        self._swept = now
        for peer in [peer for peer, held in self._reserved.items() if held.until <= now]:
            self._release(peer)

    def _release(self, peer: PeerKey) -> None:
        held = self._reserved.pop(peer, None)
        if held is not None:
            self._reservations.release(held)

    def _lose(self, peer: PeerKey) -> None:
        """End a reservation to make room. Its peer notices that its connection ends, and tries another relay."""
        self.counts.evicted += 1
        self._reserved.pop(peer, None)
        self._host.abandon(peer)

    # --- circuits --------------------------------------------------------------------------------------------------

    async def _connect(self, stream: LibP2PStream, peer: PeerKey) -> None:
        held = self._reserved.get(peer)
        if held is None or held.until <= trio.current_time() or peer == stream.peer:
            await self._refuse(stream, circuit_messages.NO_RESERVATION)
            return
        asked = _Asked(stream, peer, self._make_room)
        if self._draining or not self._admit(asked):
            await self._refuse(stream, circuit_messages.RESOURCE_LIMIT_EXCEEDED)
            return
        try:
            with asked.scope:
                await self._join(stream, peer, asked)
        finally:
            self._forget(asked)
            self._ended.unpark_all()
            if asked.scope.cancelled_caught:
                await stream.kill()

    async def _join(self, stream: LibP2PStream, peer: PeerKey, asked: _Asked) -> None:
        try:
            other = await self._stop(stream.peer, peer)
        except (CannotOpen, LinkLost, Unreachable) as error:
            log.debug("a circuit could not be made: %s", type(error).__name__)
            await self._refuse(stream, circuit_messages.CONNECTION_FAILED)
            return
        try:
            ok = HopMessage(type=HopMessage.STATUS, status=circuit_messages.OK, limit=self._limit())
            await circuit_messages.write_message(stream, ok)
            self.counts.joined += 1
            await _Circuit(stream, other, self._limits, self.counts, partial(self._lasts, asked)).run()
        finally:
            await stream.kill()
            await other.kill()

    def _admit(self, asked: _Asked) -> bool:
        """Make room for a circuit, if necessary by ending others; return False if there is none."""
        source, target = asked.ends
        pair = [other for other in self._of_peer.get(source, ()) if other.ends == asked.ends]
        while len(pair) >= self._limits.circuits_per_pair:
            # A peer that returns over a new connection has lost the old one, which the relay may not have noticed yet.
            lost = next((other for other in pair if other.connection is not asked.connection), None)
            if lost is None:
                return False
            pair.remove(lost)
            self._circuits.evict(lost)
        for peer in (target, source):
            while len(self._of_peer.get(peer, ())) >= self._limits.circuits_per_peer:
                victim = choose_victim(self._of_peer[peer], asked.place)
                if victim is None:
                    return False
                self._circuits.evict(victim)
        if not self._circuits.admit(asked):
            return False
        for peer in asked.ends:
            self._of_peer.setdefault(peer, {})[asked] = None
        if self._lasted.has(*asked.ends):
            self._circuits.prove(asked)
        return True

    def _make_room(self, asked: _Asked) -> None:
        self.counts.evicted += 1
        self._forget(asked)
        asked.scope.cancel()

    def _forget(self, asked: _Asked) -> None:
        """Free the slots of a circuit that has ended or is about to end."""
        self._circuits.release(asked)
        for peer in asked.ends:
            held = self._of_peer.get(peer)
            if held is not None:
                held.pop(asked, None)
                if not held:
                    del self._of_peer[peer]

    def _lasts(self, asked: _Asked) -> None:
        """Mark a circuit as proven: its target had enough time to end it."""
        source, target = asked.ends
        self._circuits.prove(asked)
        self._lasted.add(source, target)
        self._lasted.add(target)
        if (held := self._reserved.get(target)) is not None:
            self._reservations.prove(held)
        self._host.mark_proven(source)

    async def _stop(self, source: PeerKey, peer: PeerKey) -> LibP2PStream:
        """Open a stream with `peer` over an existing connection, ready to carry `source`'s circuit. Raises
        Unreachable.
        """
        other = await self._host.open(peer, (), circuit_messages.STOP)
        assert isinstance(other, LibP2PStream)
        try:
            if other.route != Route.DIRECT:
                raise Unreachable("no circuit over a circuit")
            asked = StopMessage(
                type=StopMessage.CONNECT, peer=PeerId(id=multiaddrs.multihash(source)), limit=self._limit()
            )
            await circuit_messages.write_message(other, asked)
            answer = await circuit_messages.read_message(other, StopMessage)
            if answer.type != StopMessage.STATUS or answer.status != circuit_messages.OK:
                raise Unreachable("the peer does not want it")
        except BaseException:
            await other.kill()
            raise
        return other


class _Circuit:
    """Two streams, joined until one of them ends or a limit is reached."""

    def __init__(
        self,
        source: LibP2PStream,
        target: LibP2PStream,
        limits: CircuitLimits,
        counts: CircuitCounts,
        lasts: Callable[[], None],
    ) -> None:
        self._lasts = lasts
        self._source = source
        self._target = target
        self._limits = limits
        self._counts = counts
        self._bytes = 0
        self._began = self._heard = trio.current_time()

    async def run(self) -> None:
        """Carry bytes both ways until the circuit ends. The caller then ends the streams; if one ended cleanly, its
        last bytes have been sent on.
        """
        with self._source.carrying(), self._target.carrying():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass, self._source, self._target, nursery.cancel_scope)
                nursery.start_soon(self._pass, self._target, self._source, nursery.cancel_scope)
                nursery.start_soon(self._watch, nursery.cancel_scope)
                nursery.start_soon(self._until_it_lasts)

    async def _until_it_lasts(self) -> None:
        await trio.sleep(LASTING_SECONDS)
        self._lasts()

    async def _pass(self, source: LibP2PStream, sink: LibP2PStream, over: trio.CancelScope) -> None:
        with suppress(LinkLost):
            while data := await source.read(_FIRST_CHUNK if self._bytes < _FIRST_BYTES else CHUNK):
                self._heard = trio.current_time()
                self._bytes += len(data)
                self._counts.bytes += len(data)
                if 0 < self._limits.bytes < self._bytes:
                    self._cut(over)
                    return
                await sink.write(data)
            await sink.close()
        source.cut()  # so that no task keeps waiting to write to it
        over.cancel()

    async def _watch(self, over: trio.CancelScope) -> None:
        duration, idle = self._limits.duration or float("inf"), self._limits.idle or float("inf")
        while True:
            until = min(self._began + duration, self._heard + idle)
            if trio.current_time() >= until:
                break
            await trio.sleep_until(until)
        self._cut(over)

    def _cut(self, over: trio.CancelScope) -> None:
        self._counts.cut += 1
        self._source.cut()
        self._target.cut()
        over.cancel()
