"""A relay on loopback, and people who are reached by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random

import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId
from trio.testing import MockClock

from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost
from p2pchat.net import multiaddrs
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.ports import Stream
from p2pchat.net.relays.circuit_relay import CircuitLimits, CircuitRelay
from p2pchat.net.relays.reservations import RelayAccess, Reservations
from tests.support.hosts import ECHO, make, read_exactly

NOW = 1_790_000_000_000  # 2026-09-21, in ms


def clock() -> int:
    return NOW


def refuse_reservations(relay: LibP2PHost) -> trio.MemoryReceiveChannel[float]:
    """Have a relay refuse whoever asks for a reservation; gives the times of the loop's clock when somebody asks."""
    note, asked = trio.open_memory_channel[float](100)

    async def refuse(stream: Stream) -> None:
        note.send_nowait(trio.current_time())
        await circuit_messages.read_message(stream, HopMessage)
        status = HopMessage(type=HopMessage.STATUS, status=circuit_messages.RESERVATION_REFUSED)
        await circuit_messages.write_message(stream, status)

    relay.handle(circuit_messages.HOP, refuse)
    return asked


class Place:
    """One person's reservations, and waiting for them."""

    def __init__(self, host: LibP2PHost, nursery: trio.Nursery) -> None:
        self.host = host
        self._changed = trio.Event()
        self.kept = Reservations(host, nursery, clock, Random(1).randbytes, self._wake)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, relay: LibP2PHost | bytes, held: bool = True) -> None:
        peer = relay if isinstance(relay, bytes) else relay.peer
        while self.kept.held(PeerKey(peer)) != held:
            await self._changed.wait()

    async def at(self, relay: LibP2PHost) -> None:
        """Reserve there and wait for it."""
        self.kept.want(relay.peer, RelayAccess(relay.addresses()))
        await self.until(relay)


class Meeting:
    """A relay, alice who dials, bob and carol who have reserved."""

    def __init__(
        self, nursery: trio.Nursery, limits: CircuitLimits | None, relay_limits: HostLimits | None, web: bool
    ) -> None:
        self.relay = make(9, relay_limits, web=web)
        self.alice, self.bob, self.carol = make(1), make(2), make(3)
        self.hop = CircuitRelay(self.relay, limits or CircuitLimits(), clock)
        self.relay.handle(circuit_messages.HOP, self.hop.serve)
        self.bobs, self.carols = Place(self.bob, nursery), Place(self.carol, nursery)

    async def call(self, a: LibP2PHost, b: LibP2PHost, protocol: str = ECHO) -> Stream:
        return await a.open(b.peer, self.ways(), protocol)

    def ways(self) -> Sequence[str]:
        return [multiaddrs.circuit(address, self.relay.peer) for address in self.relay.addresses()]


@asynccontextmanager
async def meeting(
    limits: CircuitLimits | None = None, relay_limits: HostLimits | None = None, *, web: bool = False
) -> AsyncIterator[Meeting]:
    """Everybody runs, bob and carol have reserved. A clock that stands still goes on at the end, whatever it was."""
    async with trio.open_nursery() as nursery:
        here = Meeting(nursery, limits, relay_limits, web)
        for host in (here.relay, here.alice, here.bob, here.carol):
            await nursery.start(host.run)
        await here.bobs.at(here.relay)
        await here.carols.at(here.relay)
        try:
            yield here
        finally:
            going = trio.lowlevel.current_clock()
            if isinstance(going, MockClock):
                going.rate = 10
        nursery.cancel_scope.cancel()


async def echoes(stream: Stream) -> bool:
    await stream.write(b"are you there?")
    return await read_exactly(stream, 14) == b"are you there?"


async def ended(stream: Stream) -> bool:
    with suppress(LinkLost):
        while await stream.read(65536):
            pass
    return True


async def until_no_circuit(here: Meeting, left: int = 0) -> None:
    while here.hop.circuits > left:
        await trio.lowlevel.checkpoint()


async def ask(stream: Stream, message: HopMessage) -> int:
    """The status that a relay answers with."""
    await circuit_messages.write_message(stream, message)
    answer = await circuit_messages.read_message(stream, HopMessage)
    assert answer.type == HopMessage.STATUS
    return int(answer.status)


def connect_to(host: LibP2PHost) -> HopMessage:
    return HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=multiaddrs.multihash(host.peer)))
