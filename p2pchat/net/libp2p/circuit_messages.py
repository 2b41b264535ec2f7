"""The messages of circuits (docs/protocol/circuit.md), shared by both ends and the relay; and asking a relay for a
circuit.

The protobufs are libp2p's; nothing else of its circuit relay is used (docs/decisions/0022).
"""

from __future__ import annotations

from typing import TypeVar

import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import (
    CONNECTION_FAILED,
    MALFORMED_MESSAGE,
    NO_RESERVATION,
    OK,
    PERMISSION_DENIED,
    RESERVATION_REFUSED,
    RESOURCE_LIMIT_EXCEEDED,
    UNEXPECTED_MESSAGE,
    HopMessage,
    Limit,
    PeerId,
    Reservation,
    Status,
    StopMessage,
)
from libp2p.utils.varint import encode_uvarint

from p2pchat.core.ids import PeerKey
from p2pchat.core.names import HOP
from p2pchat.errors import CannotOpen, LinkLost, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.allowance import CircuitTerms
from p2pchat.net.ports import Stream

STOP = "/libp2p/circuit/relay/0.2.0/stop"
MAX_MESSAGE = 4096
TIMEOUT = 10.0
"""Seconds one message may take."""

M = TypeVar("M", HopMessage, StopMessage)


async def read_message(stream: Stream, kind: type[M]) -> M:
    """Read one message and nothing beyond it. Raises CannotOpen for invalid bytes, LinkLost if none arrives in time."""
    with trio.move_on_after(TIMEOUT):
        length = shift = 0
        while True:
            byte = (await _exactly(stream, 1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift > 14:
                raise CannotOpen("too long a message")
        if length > MAX_MESSAGE:
            raise CannotOpen("too long a message")
        data = await _exactly(stream, length)
        try:
            return kind.FromString(data)
        except Exception:  # noqa: BLE001 - protobuf's own, which its types do not name
            raise CannotOpen("no message") from None
    raise LinkLost("no message in time")


async def _exactly(stream: Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = await stream.read(size - len(data))
        if not chunk:
            raise LinkLost
        data += chunk
    return data


async def write_message(stream: Stream, message: HopMessage | StopMessage) -> None:
    """Write one message with its length in front. Raises LinkLost."""
    data = message.SerializeToString()
    await stream.write(encode_uvarint(len(data)) + data)


async def connect(stream: Stream, peer: PeerKey) -> CircuitTerms:
    """Ask the relay at the other end to join `stream` with `peer`, and return what it lets the circuit carry. Raises
    Unreachable; the stream is then of no more use.
    """
    try:
        request = HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=multiaddrs.multihash(peer)))
        await write_message(stream, request)
        answer = await read_message(stream, HopMessage)
    except (CannotOpen, LinkLost) as error:
        raise Unreachable("the relay did not answer") from error
    if answer.type != HopMessage.STATUS or answer.status != OK:
        raise Unreachable(f"the relay says no ({name(answer.status)})")
    return terms_in(answer)


def terms_in(message: HopMessage | StopMessage) -> CircuitTerms:
    """Return what the relay lets a circuit carry."""
    return CircuitTerms(message.limit.data)


def peer_in(message: HopMessage | StopMessage) -> PeerKey:
    """Return the 32-byte key of the peer that a message names. Raises CannotOpen where it names none."""
    peer = multiaddrs.peer_from_multihash(message.peer.id)
    if peer is None:
        raise CannotOpen("no peer that we could know")
    return peer


def name(status: Status.ValueType) -> str:
    """Return a status in words, "unknown" for one that a relay made up."""
    return Status.Name(status).lower().replace("_", " ") if status in Status.values() else "unknown"


__all__ = [
    "CONNECTION_FAILED",
    "HOP",
    "MALFORMED_MESSAGE",
    "NO_RESERVATION",
    "OK",
    "PERMISSION_DENIED",
    "RESERVATION_REFUSED",
    "RESOURCE_LIMIT_EXCEEDED",
    "STOP",
    "UNEXPECTED_MESSAGE",
    "HopMessage",
    "Limit",
    "PeerId",
    "Reservation",
    "Status",
    "StopMessage",
    "connect",
    "name",
    "peer_in",
    "read_message",
    "terms_in",
    "write_message",
]
