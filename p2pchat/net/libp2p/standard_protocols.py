"""What every libp2p host does for anybody: identify itself, accept a push, answer pings. (`handshake` negotiates.)

A stranger must not be able to tell our host from others, so it sends, in this order and within these limits, what
unmodified py-libp2p sends (multistream-select 1.0.0, identify 1.0.0, ping 1.0.0 of the libp2p specifications). It
differs only for our own safety: a push is read and dropped, and over a circuit none of our addresses is sent.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from weakref import WeakSet

import trio
from libp2p.crypto.keys import KeyPair
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from libp2p.utils.varint import encode_uvarint
from multiaddr import Multiaddr

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost
from p2pchat.net import multiaddrs
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.libp2p.yamux import GuardedYamux
from p2pchat.net.ports import Handler, Stream

log = logging.getLogger("p2pchat.net")

AGENT_VERSION = "py-libp2p/0.8.1"  # these as py-libp2p has them, in modules that take long to import
PROTOCOL_VERSION = "ipfs/0.1.0"
PING_BYTES = 32
PING_TIMEOUT = 10
NAMES = ("/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0")
"""The protocols that every libp2p host serves, in the order in which py-libp2p lists them."""
MAX_PINGERS = 2
"""Streams of one peer on which it may ping at the same time."""
MAX_PUSH = 65_536
PUSH_TIMEOUT = 10.0
ASK_AFTER = 0.5
"""Seconds until a peer that connected, and that we do not expect, is asked to identify itself."""
MAX_ASKING = 8
"""The most peers asked at the same time; others are not asked."""
ASK_TIMEOUT = 10.0
MAX_IDENTITY = 65_536


Ask = Callable[[], Awaitable[Stream]]
"""Opens the stream for an identify request; may raise anything."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a host with protocols that are meant to be found says of itself, and hears of others.

    names: the protocols that everybody is told. addresses: returns where it can be dialled. identified: called with the
    key of a peer that connected, the protocols that it says it serves, and those of the addresses that it names at
    which it comes: what strangers say must not have us dial others.
    """

    names: tuple[str, ...]
    addresses: Callable[[], Sequence[str]]
    identified: Callable[[PeerKey, Collection[str], Sequence[str]], None]


class StandardProtocols:
    """The handlers of `NAMES` for one run of a host. `listening`: the addresses it is bound to, as configured.

    names: those, and the ones that are listed. expected: the connections on which a protocol name was used that not
    everybody knows.
    """

    def __init__(self, me: ID, pair: KeyPair, listening: Sequence[str], listed: Listed | None = None) -> None:
        self.names = NAMES if listed is None else (*NAMES, *listed.names)
        # made for the first who asks: hardly anybody does
        self._identity = cache(partial(_identity, me, pair, self.names))
        self._listening = tuple(listening)
        self._listed = listed
        self._pingers: Counter[bytes] = Counter()
        self._asking = 0
        self._met: deque[tuple[float, GuardedYamux, Ask]] = deque()
        self._connected = trio.Event()
        self.expected: WeakSet[GuardedYamux] = WeakSet()
        self.handlers: dict[str, Handler] = dict(zip(NAMES, (self._identify, _forget_push, self._ping), strict=True))

    def connected(self, muxed: GuardedYamux, ask: Ask) -> None:
        """Let `run` ask a peer that connected, unless it soon turns out to be expected."""
        self._met.append((trio.current_time() + ASK_AFTER, muxed, ask))
        self._connected.set()

    async def run(self) -> None:
        """Ask peers that connected to identify themselves, as every libp2p host does, and drop the answers; until
        cancelled.

        One task serves all: otherwise a crowd that returns would have a task each that finds nothing to do.
        """
        async with trio.open_nursery() as nursery:
            while True:
                while self._met:
                    due, muxed, ask = self._met[0]
                    if due > trio.current_time():
                        await trio.sleep_until(due)
                    self._met.popleft()
                    if muxed not in self.expected and muxed.alive and self._asking < MAX_ASKING:
                        self._asking += 1
                        nursery.start_soon(self._ask_back, ask)
                    del muxed, ask
                self._connected = trio.Event()
                await self._connected.wait()

    async def _ask_back(self, ask: Ask) -> None:
        try:
            with trio.move_on_after(ASK_TIMEOUT):
                stream = await ask()
                try:
                    said = await _all_of(stream, MAX_IDENTITY)
                finally:
                    await stream.close()
                if self._listed is not None and isinstance(stream, LibP2PStream):
                    protocols, addresses = _read_identity(said)
                    own = tuple(address for address in addresses if _place_of(address) == stream.place)
                    self._listed.identified(stream.peer, protocols, own)
        except Exception as error:  # noqa: BLE001 - a stranger's answer may not end anything
            log.debug("who connected did not say who it is: %s", type(error).__name__)
        finally:
            self._asking -= 1

    async def _identify(self, stream: Stream) -> None:
        assert isinstance(stream, LibP2PStream)
        answer = Identify()
        ours = self._listening if self._listed is None else tuple(self._listed.addresses())
        answer.CopyFrom(self._identity(ours if stream.route == Route.DIRECT else ()))
        if stream.remote is not None:
            host, port = stream.remote
            answer.observed_addr = Multiaddr(f"/ip{6 if ':' in host else 4}/{host}/tcp/{port}").to_bytes()
        said = answer.SerializeToString()
        await stream.write(encode_uvarint(len(said)) + said)

    async def _ping(self, stream: Stream) -> None:
        assert isinstance(stream, LibP2PStream)
        if self._pingers[stream.peer] >= MAX_PINGERS:
            await stream.kill()
            return
        self._pingers[stream.peer] += 1
        try:
            while ping := await _exactly(stream, PING_BYTES):
                await stream.write(ping)
        except LinkLost:
            await stream.kill()
        except trio.TooSlowError:
            return
        finally:
            self._pingers[stream.peer] -= 1
            if not self._pingers[stream.peer]:
                del self._pingers[stream.peer]


def observed(identity: bytes) -> multiaddrs.SocketAddress | None:
    """Return where the sender of an identity saw whoever asked for it; None where it does not say so in our form."""
    try:
        answer = Identify.FromString(identity)
        return multiaddrs.parse(multiaddrs.unpack(answer.observed_addr))
    except Exception:  # noqa: BLE001 - protobuf's own, which its types do not name, and ours
        return None


async def _exactly(stream: Stream, size: int) -> bytes:
    """Read `size` bytes within the time that a ping may take; b"" at the end of the stream, also within a ping."""
    data = b""
    with trio.fail_after(PING_TIMEOUT):
        while len(data) < size:
            chunk = await stream.read(size - len(data))
            if not chunk:
                return b""
            data += chunk
    return data


async def _forget_push(stream: Stream) -> None:
    """Read and drop what a peer says about itself unasked."""
    with trio.move_on_after(PUSH_TIMEOUT):
        await _drained(stream, MAX_PUSH)


async def _drained(stream: Stream, most: int) -> None:
    while most > 0 and (chunk := await stream.read(most)):
        most -= len(chunk)


async def _all_of(stream: Stream, most: int) -> bytes:
    """Read up to `most` bytes, or the end."""
    said = bytearray()
    while len(said) < most and (chunk := await stream.read(most - len(said))):
        said += chunk
    return bytes(said)


def _place_of(address: str) -> str:
    """Return the place of an address; "" for a name, which may lead anywhere."""
    host = multiaddrs.parse_target(address).host
    return "" if isinstance(host, multiaddrs.Name) else multiaddrs.neighbourhood(str(host))


def _read_identity(said: bytes) -> tuple[list[str], tuple[str, ...]]:
    """Return the protocols and addresses in an answer to identify. Raises whatever protobuf does."""
    start = next((at + 1 for at, byte in enumerate(said[:3]) if byte < 0x80), 0)  # behind the varint of its length
    identity = Identify.FromString(said[start:])
    return list(identity.protocols), multiaddrs.readable(identity.listen_addrs)


def _identity(me: ID, pair: KeyPair, names: Sequence[str], listening: Sequence[str]) -> Identify:
    ours, addresses = Multiaddr(f"/p2p/{me}"), [Multiaddr(address) for address in listening]
    record = PeerRecord(me, [address.encapsulate(ours) for address in addresses])
    return Identify(
        protocol_version=PROTOCOL_VERSION,
        agent_version=AGENT_VERSION,
        public_key=pair.public_key.serialize(),
        listen_addrs=[address.to_bytes() for address in addresses],
        observed_addr=b"",
        protocols=names,
        signedPeerRecord=seal_record(record, pair.private_key).marshal_envelope(),
    )
