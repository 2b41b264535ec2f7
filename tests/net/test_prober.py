"""A prober who has no secret asks a person's node, and a plain py-libp2p host, the same things, and compares.

What it can still tell apart stands in docs/threat-model.md: a py-libp2p host greets whoever connects, ours waits.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair as create_identity
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.io.utils import read_exactly
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.envelope import consume_envelope
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from libp2p.utils import encode_delim, read_delim
from libp2p.utils.varint import encode_uvarint, read_length_prefixed_protobuf
from multiaddr import Multiaddr
from trio.testing import MockClock

from p2pchat.core import names
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p import circuit_messages
from p2pchat.ports import NetHandler
from tests.conftest import run
from tests.net.test_network import ALICE, BOB, Person
from tests.support.hosts import make, running, works
from tests.support.virtual_time import patience

GREETING = b"/multistream/1.0.0"
IDENTIFY, PUSH, PING = "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"
GUESSES = [
    *("/p2pchat/envelope/1", "/p2pchat/invite/1", names.MAILBOX, names.HOP, circuit_messages.STOP),
    *("/libp2p/dcutr", "/ipfs/kad/1.0.0", "/ipfs/id/delta/1.0.0", "/libp2p/autonat/1.0.0"),
    *("/floodsub/1.0.0", "/meshsub/1.0.0", "/meshsub/1.1.0", "/meshsub/1.2.0", "/meshsub/1.3.0"),  # gossipsub
    *("/" + "a" * 26, names.link_name(bytes(32), bytes(32), 20_000), names.mailbox_name(bytes(32), b"guess")),
    *(" ", "/", "na", "LS", "/multistream/1.0.0", "é"),
]


def plain() -> Any:
    """A host of py-libp2p as it comes, with Noise and Yamux."""
    pair = create_identity()
    noise = Noise(pair, noise_privkey=create_new_key_pair().private_key)
    return new_host(key_pair=pair, sec_opt={NOISE: noise}, muxer_opt={TProtocol(YAMUX): Yamux})


class Target:
    """One of the two, as the prober sees it: `open` gives a new stream with it on which nothing was said."""

    def __init__(self, prober: Any, peer: ID, address: str) -> None:
        self.prober = prober
        self.peer = peer
        self.address = address

    async def open(self) -> NetStream:
        await self.prober.connect(PeerInfo(self.peer, [Multiaddr(self.address)]))
        stream = await self.prober.get_network().new_stream(self.peer)
        assert isinstance(stream, NetStream)
        return stream

    async def speaking(self, protocol: str) -> NetStream:
        stream = await self.open()
        assert await answers(stream, GREETING, protocol.encode()) == [GREETING, protocol.encode()]
        return stream


@asynccontextmanager
async def targets() -> AsyncIterator[list[Target]]:
    """A node with a contact, and a plain host."""
    prober, stock = plain(), plain()
    async with trio.open_nursery() as nursery:
        node = Person(1, ALICE, BOB)
        await nursery.start(node.network.run, NetHandler(node, node, node))
        listening = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
        async with running(node.host), stock.run(listening), prober.run([]):
            ours = Target(prober, ID(multiaddrs.multihash(node.host.peer)), node.host.addresses()[0])
            yield [ours, Target(prober, stock.get_id(), str(stock.get_transport_addrs()[0]))]
            nursery.cancel_scope.cancel()


async def answers(stream: INetStream, *said: bytes) -> list[bytes]:
    """What comes back for each of these, said as messages of multistream-select."""
    heard = []
    for one in said:
        await stream.write(encode_delim(one))
        heard.append(await read_delim(stream))
    return heard


async def end_of(stream: INetStream) -> str:
    """How it ends, with what comes before."""
    heard = b""
    with patience():
        try:
            while some := await stream.read(4096):
                heard += some
        except Exception as error:  # noqa: BLE001 - which one it is, is compared
            return f"{heard!r} {type(error).__name__}"
    return f"{heard!r}"


async def is_reset(stream: NetStream) -> bool:
    """Whether it ends by a reset. The prober's own muxer may lose what came before, so that is not looked at."""
    await end_of(stream)
    assert isinstance(stream.muxed_stream, YamuxStream)
    return stream.muxed_stream.reset_received


def alike(ask: Callable[[Target], Awaitable[object]], clock: MockClock | None = None) -> None:
    """Both give the same."""

    async def main() -> None:
        async with targets() as (ours, stock):
            with patience():
                assert await ask(ours) == await ask(stock)

    run(main, clock)


def test_a_list_and_every_name_that_can_be_guessed() -> None:
    async def ask(target: Target) -> object:
        stream = await target.open()
        heard = await answers(stream, GREETING, b"ls", *[guess.encode() for guess in GUESSES], b"ls")
        assert heard[2:-1] == [b"na"] * len(GUESSES)
        return heard, await answers(stream, PING.encode())

    alike(ask)


@pytest.mark.parametrize(
    "said",
    [
        encode_delim(b"/multistream/2.0.0"),
        encode_delim(b"ls"),
        b"\x05hello",
        b"\x00",
        b"\x00and more",
        encode_delim(GREETING) + b"\x00",
        encode_delim(GREETING) + b"\x03/ab",
        encode_delim(GREETING) + b"\xff" * 11,
    ],
)
def test_what_is_no_negotiation_ends_alike(said: bytes) -> None:
    async def ask(target: Target) -> object:
        stream = await target.open()
        began = trio.current_time()
        await stream.write(said)
        return await end_of(stream), trio.current_time() - began > 9

    alike(ask, clock=MockClock(rate=6))


def test_a_stream_on_which_nothing_is_said_is_greeted() -> None:
    async def ask(target: Target) -> object:
        stream = await target.open()
        await stream.write(b"")
        return await read_delim(stream)

    alike(ask)


def test_identify_says_the_same_but_who_and_where() -> None:
    async def ask(target: Target) -> object:
        stream = await target.speaking(IDENTIFY)
        said = Identify.FromString(await read_length_prefixed_protobuf(stream, use_varint_format=True))
        assert await end_of(stream) == "b'' StreamEOF"
        here = Multiaddr(target.address).to_bytes()
        assert list(said.listen_addrs) == [here]
        observed = str(Multiaddr(said.observed_addr))
        assert observed.startswith("/ip4/127.0.0.1/tcp/")
        envelope, record = consume_envelope(said.signedPeerRecord, "libp2p-peer-record")
        assert record.peer_id == target.peer
        assert envelope.public_key.serialize() == said.public_key
        addresses = [str(one).replace(str(target.peer), "peer").replace(target.address, "here") for one in record.addrs]
        for field in ("public_key", "listen_addrs", "observed_addr", "signedPeerRecord"):
            said.ClearField(field)
        return said.SerializeToString(), addresses

    alike(ask)


def test_who_connects_is_asked_who_it_is() -> None:
    async def ask(target: Target) -> object:
        asked = trio.Event()

        async def told(stream: INetStream) -> None:
            asked.set()

        target.prober.set_stream_handler(TProtocol(IDENTIFY), told)
        await target.open()
        await asked.wait()
        return None

    alike(ask)


def test_pings_come_back_and_too_many_do_not() -> None:
    async def ask(target: Target) -> object:
        one, two = await target.speaking(PING), await target.speaking(PING)
        heard: list[object] = []
        for stream in (one, two, one):
            await stream.write(b"p" * 31)
            await stream.write(b"i")
            heard.append(await read_exactly(stream, 32))
        third = await target.open()
        await third.write(encode_delim(GREETING) + encode_delim(PING.encode()))
        heard.append(await is_reset(third))
        await one.write(b"half")
        await one.close_write()
        await two.close_write()
        return heard, await is_reset(one), await is_reset(two)

    alike(ask)


@pytest.mark.parametrize("pushed", [b"", b"\x05hello", encode_uvarint(40) + bytes(40)])
def test_a_push_is_taken_in_silence(pushed: bytes) -> None:
    async def ask(target: Target) -> object:
        stream = await target.speaking(PUSH)
        await stream.write(pushed)
        await stream.close_write()
        return await end_of(stream)

    alike(ask)


# --- before libp2p is spoken --------------------------------------------------------------------------------------


def test_who_connects_speaks_first() -> None:
    """A scan for banners finds nothing, whatever it says instead of the greeting."""

    async def main() -> None:
        a, b = make(1), make(2)
        async with running(a, b):
            with socket.create_connection(("127.0.0.1", b.port)) as silent:
                silent.setblocking(False)
                assert await works(a, b)
                with pytest.raises(BlockingIOError):
                    silent.recv(100)
                silent.send(encode_delim(GREETING))
                await trio.lowlevel.wait_readable(silent.fileno())
                assert silent.recv(100) == encode_delim(GREETING)
            for banner in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 4, b"SSH-2.0-x\r\n", b"\x16\x03\x01" + bytes(100)):
                stream = await trio.open_tcp_stream("127.0.0.1", b.port)
                async with stream:
                    await stream.send_all(banner)
                    await stream.send_eof()
                    with suppress(trio.BrokenResourceError):  # what it never read makes its end a reset
                        assert await stream.receive_some(100) == b""

    run(main)
