"""The relay's side of circuits (docs/protocol/circuit.md): who may be reached here, and joining two streams.

A relay joins connections it has and never makes one: `Host.open` is asked without any address. Every circuit is one
task with its own two streams; nothing else refers to them, so that the end of one circuit is the end of nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import trio

from p2pchat.errors import BadAddress, CannotOpen, LinkLost, Unreachable
from p2pchat.net import addresses as addr
from p2pchat.net import circuit
from p2pchat.net.circuit import HopMessage, Limit, PeerId, Reservation, Status, StopMessage
from p2pchat.net.guard import Slots
from p2pchat.net.host import LibP2PHost
from p2pchat.net.pipes import CHUNK
from p2pchat.net.ports import Stream
from p2pchat.net.streams import LibP2PStream

log = logging.getLogger("p2pchat.net")

_SWEEP = 30.0
_MOST_TOLD = 4
REASONS = tuple(
    circuit.name(status)
    for status in (
        circuit.RESERVATION_REFUSED,
        circuit.RESOURCE_LIMIT_EXCEEDED,
        circuit.PERMISSION_DENIED,
        circuit.CONNECTION_FAILED,
        circuit.NO_RESERVATION,
        circuit.MALFORMED_MESSAGE,
        circuit.UNEXPECTED_MESSAGE,
    )
)
"""Why a request may be refused, as the metrics say it."""


@dataclass(frozen=True, slots=True)
class CircuitLimits:
    """What peers may have of a relay. Seconds and bytes; of `bytes`, `duration` and `idle` 0 means no limit.

    A place is an IPv4 address or an IPv6 /64. What is on its way takes at most 512 KiB a circuit.
    """

    reservations: int = 4096
    reservations_per_place: int = 64
    ttl: int = 3600
    circuits: int = 256
    circuits_per_peer: int = 16  # of which it is one end
    circuits_per_place: int = 32  # asked for from there
    bytes: int = 2**28  # both ways together
    duration: float = 0.0
    idle: float = 180.0


@dataclass
class CircuitCounts:
    """What the metrics show: numbers only, of everybody together, since the start. `refused`: by reason."""

    reserved: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    joined: int = 0
    cut: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Reserved:
    until: float
    place: str


class CircuitRelay:
    """Serves circuits on a host: `host.handle(names.hop_name(…), relay.serve)`.

    clock: UTC in ms. allowed: who may reserve; everybody if not given. announce: the relay's own addresses, told with a
    reservation; those of the host if not given.
    """

    def __init__(
        self,
        host: LibP2PHost,
        limits: CircuitLimits,
        clock: Callable[[], int],
        *,
        allowed: Callable[[bytes], bool] = lambda peer: True,
        announce: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self.counts = CircuitCounts()
        self._host = host
        self._limits = limits
        self._clock = clock
        self._allowed = allowed
        self._announce = announce or host.addresses
        self._reserved: dict[bytes, _Reserved] = {}
        self._places = Slots(limits.reservations, limits.reservations_per_place)
        self._circuits = Slots(limits.circuits, limits.circuits_per_place)
        self._ends = Slots(2 * limits.circuits, limits.circuits_per_peer)
        self._swept = -_SWEEP
        self._draining = False
        self._ended = trio.lowlevel.ParkingLot()
        host.when_gone(self._release)

    @property
    def reservations(self) -> int:
        """How many there are now."""
        return len(self._reserved)

    @property
    def circuits(self) -> int:
        """How many there are now, those being made included."""
        return self._circuits.taken

    def drain(self) -> None:
        """Take nothing new from now on; what is joined stays."""
        self._draining = True

    async def idle(self) -> None:
        """Wait until there is no circuit."""
        while self.circuits:
            await self._ended.park()

    async def run(self) -> None:
        """Forget who is late, until cancelled; without it that happens only when somebody reserves."""
        while True:
            await trio.sleep(_SWEEP)
            self._sweep(trio.current_time())

    async def serve(self, stream: Stream) -> None:
        """One request, and the circuit if it becomes one."""
        assert isinstance(stream, LibP2PStream)
        try:
            message = await circuit.read_message(stream, HopMessage)
            if stream.route != "direct":
                await self._refuse(stream, circuit.PERMISSION_DENIED)
            elif message.type == HopMessage.RESERVE:
                await self._reserve(stream, message)
            elif message.type == HopMessage.CONNECT:
                await self._connect(stream, circuit.peer_in(message))
            else:
                await self._refuse(stream, circuit.UNEXPECTED_MESSAGE)
        except CannotOpen:
            await self._refuse(stream, circuit.MALFORMED_MESSAGE)

    async def _refuse(self, stream: Stream, status: Status.ValueType) -> None:
        self.counts.refused[circuit.name(status)] += 1
        await circuit.write_message(stream, HopMessage(type=HopMessage.STATUS, status=status))

    # --- reservations ----------------------------------------------------------------------------------------------

    async def _reserve(self, stream: LibP2PStream, message: HopMessage) -> None:
        now = trio.current_time()
        if message.peer.id and circuit.peer_in(message) != stream.peer:
            await self._refuse(stream, circuit.PERMISSION_DENIED)
            return
        self._sweep(now)
        self._release(stream.peer)
        if self._draining or not self._allowed(stream.peer):
            await self._refuse(stream, circuit.RESERVATION_REFUSED)
            return
        if not self._places.take(stream.place):
            await self._refuse(stream, circuit.RESOURCE_LIMIT_EXCEEDED)
            return
        self._reserved[stream.peer] = _Reserved(now + self._limits.ttl, stream.place)
        self.counts.reserved += 1
        reservation = Reservation(expire=self._clock() // 1000 + self._limits.ttl, addrs=self._told())
        await circuit.write_message(
            stream, HopMessage(type=HopMessage.STATUS, status=circuit.OK, reservation=reservation, limit=self._limit())
        )

    def _told(self) -> list[bytes]:
        told = []
        for address in self._announce():
            try:
                told.append(addr.pack_full(self._host.peer, address))
            except BadAddress:
                continue
        return told[:_MOST_TOLD]

    def _limit(self) -> Limit | None:
        """As the specification tells it: none, where nothing is limited."""
        duration, size = int(self._limits.duration), self._limits.bytes
        return Limit(duration=duration, data=size) if duration or size else None

    def _sweep(self, now: float) -> None:
        """Forget who is late; not at every request, since it looks at everybody."""
        if now < self._swept + _SWEEP and len(self._reserved) < self._limits.reservations:
            return
        if now < self._swept + 1:
            return
        self._swept = now
        for peer in [peer for peer, held in self._reserved.items() if held.until <= now]:
            self._release(peer)

    def _release(self, peer: bytes) -> None:
        held = self._reserved.pop(peer, None)
        if held is not None:
            self._places.give(held.place)

    # --- circuits --------------------------------------------------------------------------------------------------

    async def _connect(self, stream: LibP2PStream, peer: bytes) -> None:
        held = self._reserved.get(peer)
        if held is None or held.until <= trio.current_time() or peer == stream.peer:
            await self._refuse(stream, circuit.NO_RESERVATION)
            return
        with ExitStack() as slots:
            slots.callback(self._ended.unpark_all)
            for counted, place in ((self._circuits, stream.place), (self._ends, stream.peer), (self._ends, peer)):
                where = place if isinstance(place, str) else place.hex()
                if self._draining or not counted.take(where):
                    await self._refuse(stream, circuit.RESOURCE_LIMIT_EXCEEDED)
                    return
                slots.callback(counted.give, where)
            try:
                other = await self._stop(stream.peer, peer)
            except (CannotOpen, LinkLost, Unreachable) as error:
                log.debug("a circuit could not be made: %s", type(error).__name__)
                await self._refuse(stream, circuit.CONNECTION_FAILED)
                return
            try:
                ok = HopMessage(type=HopMessage.STATUS, status=circuit.OK, limit=self._limit())
                await circuit.write_message(stream, ok)
                self.counts.joined += 1
                await _Circuit(stream, other, self._limits, self.counts).run()
            finally:
                await stream.kill()
                await other.kill()

    async def _stop(self, source: bytes, peer: bytes) -> LibP2PStream:
        """A stream with `peer`, over a connection that is there, and ready to carry `source`'s circuit."""
        other = await self._host.open(peer, (), circuit.STOP)
        assert isinstance(other, LibP2PStream)
        try:
            if other.route != "direct":
                raise Unreachable("no circuit over a circuit")
            asked = StopMessage(type=StopMessage.CONNECT, peer=PeerId(id=addr.multihash(source)), limit=self._limit())
            await circuit.write_message(other, asked)
            answer = await circuit.read_message(other, StopMessage)
            if answer.type != StopMessage.STATUS or answer.status != circuit.OK:
                raise Unreachable("the peer does not want it")
        except BaseException:
            await other.kill()
            raise
        return other


class _Circuit:
    """Two streams, joined until one of them ends or has had enough."""

    def __init__(self, one: LibP2PStream, other: LibP2PStream, limits: CircuitLimits, counts: CircuitCounts) -> None:
        self._one = one
        self._other = other
        self._limits = limits
        self._counts = counts
        self._bytes = 0
        self._began = self._heard = trio.current_time()

    async def run(self) -> None:
        """Whoever calls ends the streams; the last bytes of one that ended well are on their way then."""
        with self._one.carrying(), self._other.carrying():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass, self._one, self._other, nursery.cancel_scope)
                nursery.start_soon(self._pass, self._other, self._one, nursery.cancel_scope)
                nursery.start_soon(self._watch, nursery.cancel_scope)

    async def _pass(self, source: LibP2PStream, sink: LibP2PStream, over: trio.CancelScope) -> None:
        with suppress(LinkLost):
            while data := await source.read(CHUNK):
                self._heard = trio.current_time()
                self._bytes += len(data)
                self._counts.bytes += len(data)
                if 0 < self._limits.bytes < self._bytes:
                    self._cut(over)
                    return
                await sink.write(data)
            await sink.close()
        source.cut()  # so that nobody is left waiting to write to it
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
        self._one.cut()
        self._other.cut()
        over.cancel()
