"""The messages by which two contacts on a circuit connect through their routers (docs/protocol/punching.md).

Each is the body of a PUNCH frame, and always of one size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from p2pchat.errors import CannotOpen

ATTEMPT = 8
_FORM = struct.Struct(f">B{ATTEMPT}sH4sH16sH")
PUNCH_BYTES = _FORM.size
"""35: a step, the attempt, a time, an IPv4 and an IPv6 address with their ports."""
MAX_HELD_MS = 2**16 - 1


class PunchStep(IntEnum):
    """Who says what: the leader offers its addresses, the follower answers with its own, the leader says go."""

    OFFER = 1
    ANSWER = 2
    GO = 3


class PunchAddress(NamedTuple):
    """Where the internet sees the port that somebody listens at: the IP address, 4 or 16 bytes, and the port there."""

    ip: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Punch:
    """One message. attempt: `ATTEMPT` random bytes that the leader chose. held: how many ms the follower took to
    answer, in an ANSWER. addresses: at most one of IPv4 and one of IPv6; none in a GO, and in the ANSWER of somebody
    who does not take part.
    """

    step: PunchStep
    attempt: bytes
    held: int = 0
    addresses: tuple[PunchAddress, ...] = field(default=(), repr=False)


def encode(punch: Punch) -> bytes:
    """Return the body of the frame, `PUNCH_BYTES` long."""
    by_size = {len(address.ip): address for address in punch.addresses}
    ipv4, ipv6 = by_size.get(4, PunchAddress(bytes(4), 0)), by_size.get(16, PunchAddress(bytes(16), 0))
    return _FORM.pack(punch.step, punch.attempt, min(punch.held, MAX_HELD_MS), *ipv4, *ipv6)


def decode(body: bytes) -> Punch:
    """Read the body of a frame. Raises CannotOpen for any other form than `encode` gives."""
    if len(body) != PUNCH_BYTES:
        raise CannotOpen
    step, attempt, held, ip4, port4, ip6, port6 = _FORM.unpack(body)
    if step not in tuple(PunchStep):
        raise CannotOpen
    addresses = []
    for address in (PunchAddress(ip4, port4), PunchAddress(ip6, port6)):
        if any(address.ip) != bool(address.port):
            raise CannotOpen
        if address.port:
            addresses.append(address)
    punch = Punch(PunchStep(step), attempt, held, tuple(addresses))
    if (held and step != PunchStep.ANSWER) or (addresses and step == PunchStep.GO):
        raise CannotOpen
    return punch
