"""The packets of PCP (RFC 6887) with which a TCP port is asked for over IPv4: the opcode MAP, without options."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from p2pchat.core.network import MappingState
from p2pchat.net.mapping import nat_pmp
from p2pchat.net.mapping.grants import NoMapping

VERSION = 2
NONCE_BYTES = 12
MAX_BYTES = 1100
"""The largest packet that there is (RFC 6887 section 7)."""
_MAP, _ANSWER, _TCP = 1, 0x80, 6
_SUCCESS, _UNSUPPORTED_VERSION = 0, 1
_ASK = struct.Struct("!BBHI16s12sB3xHH16s")
_HEAD = struct.Struct("!BBBBII12x")
_MAPPED = struct.Struct("!12sB3xHH16s")


class PcpMapping(NamedTuple):
    """The address and port outside, and the seconds for which they lead here."""

    address: IPv4Address
    port: int
    seconds: int


class OtherVersion(Exception):
    """The router does not speak this version, so it may speak NAT-PMP."""


def ask(own: IPv4Address, nonce: bytes, inside: int, outside: int, seconds: int) -> bytes:
    """Return the 60 bytes that ask for a TCP port, or with 0 seconds for its end; `outside` is a wish. nonce: 12 bytes,
    the same for everything about this port.
    """
    wish = outside if seconds else 0
    return _ASK.pack(VERSION, _MAP, 0, seconds, _mapped(own), nonce, _TCP, inside, wish, _mapped(IPv4Address(0)))


def read(packet: bytes, nonce: bytes, inside: int) -> PcpMapping | None:
    """Return what became of the TCP port `inside`; None for anything but an answer to that question. Raises NoMapping
    if the router says no, and OtherVersion.
    """
    if packet[:1] == bytes([nat_pmp.VERSION]) and packet[1:2] >= b"\x80":
        raise OtherVersion
    if not _HEAD.size <= len(packet) <= MAX_BYTES or len(packet) % 4:
        return None
    version, opcode, _, code, seconds, _ = _HEAD.unpack_from(packet)
    if opcode != _MAP | _ANSWER:
        return None
    if code == _UNSUPPORTED_VERSION or version != VERSION:
        raise OtherVersion
    if code != _SUCCESS:
        raise NoMapping(MappingState.REFUSED)
    if len(packet) < _HEAD.size + _MAPPED.size:
        return None
    answered, protocol, port, outside, address = _MAPPED.unpack_from(packet, _HEAD.size)
    ip = IPv6Address(address).ipv4_mapped
    if (answered, protocol, port) != (nonce, _TCP, inside) or ip is None:
        return None
    return PcpMapping(ip, outside, seconds)


def _mapped(ip: IPv4Address) -> bytes:
    return bytes(10) + b"\xff\xff" + ip.packed
