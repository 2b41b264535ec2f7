"""The messages of libp2p's Kademlia DHT (docs/protocol/kademlia.md): what we ask and answer, as plain values.

The protobufs are libp2p's; nothing else of its DHT is used (docs/decisions/0070). What names a sender, `senderRecord`
and the author of a record, is never written and never read.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from libp2p.kad_dht.pb.kademlia_pb2 import Message, Record
from libp2p.utils.varint import encode_uvarint

from p2pchat.core.ids import PeerKey
from p2pchat.errors import BadAddress, CannotOpen, LinkLost
from p2pchat.net import multiaddrs
from p2pchat.net.ports import Stream

PROTOCOL = "/ipfs/kad/1.0.0"
"""The name of the protocol in the network of IPFS."""
K = 20
"""Peers in an answer, and servers that keep a record."""
MAX_KEY = 128
MAX_REQUEST = 16 * 1024
"""Bytes of a request that we read: a record of the greatest size and its key, with room."""
MAX_ANSWER = 64 * 1024
"""Bytes of an answer that we read: a record, and 20 peers with dozens of addresses each."""


class KadKind(IntEnum):
    """What a message asks for or answers; the other kinds of the specification are about providers."""

    PUT_VALUE = 0
    GET_VALUE = 1
    FIND_NODE = 4
    PING = 5


@dataclass(frozen=True, slots=True)
class KadPeer:
    """A server of the DHT: its transport key, and where it can be dialled."""

    peer: PeerKey
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KadMessage:
    """A request or an answer. record: the value of a record for `key`; None where there is none. closer: servers that
    are closer to `key` than whoever answers.
    """

    kind: KadKind
    key: bytes = b""
    record: bytes | None = None
    closer: tuple[KadPeer, ...] = ()


def encode(message: KadMessage) -> bytes:
    """Return the bytes of a message."""
    written = Message(type=message.kind.name, key=message.key)
    if message.record is not None:
        written.record.CopyFrom(Record(key=message.key, value=message.record))
    for server in message.closer:
        packed = []
        for address in server.addresses:
            with suppress(BadAddress):
                packed.append(multiaddrs.pack(address))
        written.closerPeers.add(id=multiaddrs.multihash(server.peer), addrs=packed)
    return written.SerializeToString()


def decode(data: bytes) -> KadMessage:
    """Return the message in hostile bytes, of which the caller has limited the size. Peers and addresses that mean
    nothing to us are left out. Raises CannotOpen.
    """
    try:
        read = Message.FromString(data)
        kind = KadKind(read.type)
    except Exception:  # noqa: BLE001 - protobuf's own, which its types do not name
        raise CannotOpen("no message") from None
    if len(read.key) > MAX_KEY:
        raise CannotOpen("too long a key")
    record = None
    if read.HasField("record"):
        if read.key and read.record.key != read.key:  # some answer without the key
            raise CannotOpen("a record for another key")
        record = read.record.value
    return KadMessage(kind, read.key, record, _peers(read))


def _peers(read: Message) -> tuple[KadPeer, ...]:
    peers: dict[PeerKey, KadPeer] = {}
    for server in read.closerPeers[:K]:
        key = multiaddrs.peer_from_multihash(server.id)
        addresses = multiaddrs.readable(server.addrs)
        if key is not None and addresses:
            peers[key] = KadPeer(key, addresses)
    return tuple(peers.values())


async def read_message(stream: Stream, at_most: int) -> KadMessage | None:
    """Wait for a message of at most so many bytes; None at the end of the stream. Raises CannotOpen, LinkLost."""
    length = shift = 0
    while True:
        byte = await stream.read(1)
        if not byte:
            if shift:
                raise LinkLost
            return None
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
        if shift > 21:
            raise CannotOpen("too long a message")
    if length > at_most:
        raise CannotOpen("too long a message")
    data = bytearray()
    while len(data) < length:
        chunk = await stream.read(length - len(data))
        if not chunk:
            raise LinkLost
        data += chunk
    return decode(bytes(data))


async def write_message(stream: Stream, message: KadMessage) -> None:
    """Write a message with its length in front. Raises LinkLost."""
    data = encode(message)
    await stream.write(encode_uvarint(len(data)) + data)
