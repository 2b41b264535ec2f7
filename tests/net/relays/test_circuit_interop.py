"""Circuits with libp2p's own circuit relay v2: as its guest, its dialler, and its relay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID, CircuitV2Protocol
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from p2pchat.net import multiaddrs
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.relays.reservations import RelayAccess
from tests.conftest import run
from tests.support.hosts import ECHO, make, running
from tests.support.relays import Place, echoes, meeting

LIMITS = RelayLimits(duration=3600, data=2**30, max_circuit_conns=8, max_reservations=8, reservation_ttl=3600)


async def _echo(stream: INetStream) -> None:
    await stream.write(await stream.read(14))


@asynccontextmanager
async def stock(number: int, *, hop: bool = False) -> AsyncIterator[tuple[IHost, CircuitV2Transport]]:
    """libp2p as shipped, but for plaintext and mplex; it echoes once a stream."""
    pair = create_new_key_pair(bytes([number]) * 32)
    noise = Noise(pair, noise_privkey=create_noise_key_pair().private_key)
    host = new_host(key_pair=pair, sec_opt={NOISE: noise}, muxer_opt={TProtocol(YAMUX): Yamux})
    host.set_stream_handler(TProtocol(ECHO), _echo)
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        try:
            protocol = CircuitV2Protocol(host, LIMITS, allow_hop=hop)
            async with background_trio_service(protocol):
                await protocol.event_started.wait()
                roles = RelayRole.STOP | RelayRole.CLIENT
                yield host, CircuitV2Transport(host, protocol, RelayConfig(roles=roles, limits=LIMITS))
        finally:
            await host.close()


def _full(host: LibP2PHost) -> str:
    return multiaddrs.full(host.peer, host.addresses()[0])


def test_our_guests_and_diallers_at_their_relay() -> None:
    async def main() -> None:
        alice, bob = make(1), make(2)
        async with stock(9, hop=True) as (host, _), running(alice, bob), trio.open_nursery() as nursery:
            key = multiaddrs.peer_from_multihash(host.get_id().to_bytes())
            assert key is not None
            address = str(host.get_addrs()[0]).partition("/p2p/")[0]
            place = Place(bob, nursery)
            place.kept.want(key, RelayAccess((address,)))
            await place.until(key)
            stream = await alice.open(bob.peer, place.kept.ways(), ECHO)
            assert stream.route == "circuit"
            assert await echoes(stream)
            nursery.cancel_scope.cancel()

    run(main)


def test_their_dialler_reaches_our_guest_by_our_relay() -> None:
    async def main() -> None:
        async with meeting() as here, stock(5) as (host, transport):
            bob = ID(multiaddrs.multihash(here.bob.peer))
            await transport.dial(Multiaddr(f"{_full(here.relay)}/p2p-circuit/p2p/{bob}"))
            stream = await host.new_stream(bob, [TProtocol(ECHO)])
            await stream.write(b"are you there?")
            assert await stream.read(14) == b"are you there?"
            assert here.hop.counts.joined == 1

    run(main)


def test_our_dialler_reaches_their_guest_by_our_relay() -> None:
    async def main() -> None:
        async with meeting() as here, stock(5) as (host, transport):
            relay = info_from_p2p_addr(Multiaddr(_full(here.relay)))
            await host.connect(relay)
            asked = await host.new_stream(relay.peer_id, [PROTOCOL_ID])
            assert await transport._make_reservation(asked, relay.peer_id)
            await asked.close()
            key = multiaddrs.peer_from_multihash(host.get_id().to_bytes())
            assert key is not None
            stream = await here.alice.open(key, here.ways(), ECHO)
            assert stream.route == "circuit"
            assert await echoes(stream)

    run(main)
