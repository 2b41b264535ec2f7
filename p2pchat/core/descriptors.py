"""Relay descriptors: what a relay says of itself, signed with its transport key, and lists of them
(docs/protocol/relays.md).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U16, U32, array, binary, decode, encode, exactly, listing, text, uint
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen

MAX_DESCRIPTOR = 1024
MAX_ADDRESSES = 6
MAX_ADDRESS = 256
MAX_LISTED = 16
"""Descriptors in one list."""
LIST_BYTES = 4096
"""The size of a list as a relay sends it, whatever is in it."""
LIFE_SECONDS = 30 * 86_400
MAX_LIFE_SECONDS = 90 * 86_400
MAX_AHEAD_SECONDS = 2 * 86_400
"""How far in the future a descriptor may have been made, for clocks that differ."""
ONION = "onion"
_LABEL = "relay descriptor"
_MAX_SEQUENCE = 1 << 53
_SPELLING = re.compile(r"/[!-.0-~]+(/[!-.0-~]+)+")
"""A multiaddr as text: printable ASCII, no empty part."""


class RelayFlag(IntFlag):
    """The known bits of a descriptor's flags: what the relay offers, and PRIVATE, which forbids passing it on."""

    MAILBOX = 1
    CIRCUITS = 2
    PRIVATE = 4


MAILBOX, CIRCUITS, PRIVATE = RelayFlag


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a relay says of itself. addresses: multiaddrs as text, best first, without its peer id; some may be of kinds
    that are not known here. sequence: of two descriptors of one relay the higher one counts. made, until: seconds since
    the epoch.
    """

    relay: PeerKey
    sequence: int
    made: int
    until: int
    flags: int
    addresses: tuple[str, ...]

    def holds(self, now: int) -> bool:
        """Return whether the descriptor is used at `now` (ms): it has not expired, and is not of the far future."""
        seconds = now // 1000
        return seconds < self.until and self.made <= seconds + MAX_AHEAD_SECONDS


def _address(value: Any) -> str:
    address: str = text(MAX_ADDRESS)(value)
    if not _SPELLING.fullmatch(address):
        raise CannotOpen
    return address


_BODY = array(
    exactly(1),
    binary(prim.KEY_BYTES),
    uint(_MAX_SEQUENCE),
    uint(U32),
    uint(U32),
    uint(U16),
    listing(_address, MAX_ADDRESSES),
)


def sign_descriptor(seed: bytes, descriptor: Descriptor) -> bytes:
    """Return the descriptor's bytes, signed with the `seed` of the relay's transport key."""
    body = encode(
        [
            1,
            descriptor.relay,
            descriptor.sequence,
            descriptor.made,
            descriptor.until,
            descriptor.flags,
            list(descriptor.addresses),
        ]
    )
    return encode([body, prim.sign(seed, _LABEL, body)])


def open_descriptor(raw: bytes) -> Descriptor:
    """Return the descriptor in these bytes if the relay that it names has signed it. Raises CannotOpen."""
    body, signature = _SIGNED(decode(raw, MAX_DESCRIPTOR))
    descriptor = _read(body)
    prim.verify(descriptor.relay, _LABEL, body, signature)
    return descriptor


def read_descriptor(raw: bytes) -> Descriptor:
    """Return a descriptor that was opened before, without checking the signature again."""
    return _read(_SIGNED(decode(raw, MAX_DESCRIPTOR))[0])


def _read(body: bytes) -> Descriptor:
    descriptor = Descriptor(*_BODY(decode(body, MAX_DESCRIPTOR))[1:])
    if not descriptor.addresses or not descriptor.made < descriptor.until <= descriptor.made + MAX_LIFE_SECONDS:
        raise CannotOpen
    return descriptor


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise CannotOpen
    return value


_SIGNED = array(_bytes, binary(prim.SIGNATURE))


# --- lists at a relay ------------------------------------------------------------------------------------------------


def encode_list(descriptors: Sequence[bytes]) -> bytes:
    """Return the body of a LIST frame: as many of these descriptors, first ones first, as have room in it."""
    fitting: list[bytes] = []
    for raw in descriptors[:MAX_LISTED]:
        if len(encode([*fitting, raw])) > LIST_BYTES - 2:
            break
        fitting.append(raw)
    packed = encode(fitting)
    return (len(packed).to_bytes(2, "big") + packed).ljust(LIST_BYTES, b"\0")


def decode_list(body: bytes) -> tuple[bytes, ...]:
    """Return the descriptors in the body of a LIST frame, none of them checked yet. Raises CannotOpen."""
    size = int.from_bytes(body[:2], "big")
    if len(body) != LIST_BYTES or size > LIST_BYTES - 2 or any(body[2 + size :]):
        raise CannotOpen
    return tuple(_LISTED(decode(body[2 : 2 + size], LIST_BYTES)))


def _listed(value: Any) -> bytes:
    raw = _bytes(value)
    if not 0 < len(raw) <= MAX_DESCRIPTOR:
        raise CannotOpen
    return raw


_LISTED = listing(_listed, MAX_LISTED)


# --- where a relay is ------------------------------------------------------------------------------------------------


def networks(addresses: Iterable[str]) -> frozenset[str]:
    """Return the networks in which these addresses are: one operator usually has all of one. An IPv4 /16, an IPv6 /32,
    the last two labels of a name; all onion services count as one network, since making another costs nothing. Where
    circuits begin does not count.
    """
    return frozenset(_network(address) for address in addresses if not is_circuit(address))


def _network(address: str) -> str:
    _, kind, host, *_ = address.split("/")
    if kind in ("dns", "dns4", "dns6"):
        labels = host.lower().split(".")
        return ONION if labels[-1] == ONION else ".".join(labels[-2:])
    if kind in ("onion", "onion3"):
        return ONION
    try:
        if kind == "ip4":
            return ".".join(str(ipaddress.IPv4Address(host)).split(".")[:2])
        if kind == "ip6":
            return ipaddress.IPv6Address(host.partition("%")[0]).packed[:4].hex()
    except ValueError:
        pass
    return kind


def is_circuit(address: str) -> bool:
    """Return whether an address leads to the relay through another relay."""
    return address.endswith("/p2p-circuit")
