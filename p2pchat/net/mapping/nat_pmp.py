"""The packets of NAT-PMP (RFC 6886): what asks for the public address and for a TCP port, and what is answered."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from p2pchat.core.network import MappingState
from p2pchat.net.mapping.grants import NoMapping

PORT = 5351
"""The UDP port at which a router is asked, by PCP too."""
VERSION = 0
ASK_ADDRESS = bytes(2)
_ADDRESS, _TCP, _ANSWER = 0, 2, 128
_ASK_TCP = struct.Struct("!BBHHHI")
_HEAD = struct.Struct("!BBHI")
_ADDRESS_ANSWER = struct.Struct("!BBHI4s")
_TCP_ANSWER = struct.Struct("!BBHIHHI")


class NatPmpMapping(NamedTuple):
    """The port outside, and the seconds for which it leads here."""

    port: int
    seconds: int


def ask_tcp(inside: int, outside: int, seconds: int) -> bytes:
    """Return the 12 bytes that ask for a TCP port, or with 0 seconds for its end; `outside` is a wish."""
    return _ASK_TCP.pack(VERSION, _TCP, 0, inside, outside if seconds else 0, seconds)


def read_address(packet: bytes) -> IPv4Address | None:
    """Return the router's public address; None for anything but an answer to that question. Raises NoMapping if it
    says no.
    """
    if not _is_answer(packet, _ADDRESS) or len(packet) != _ADDRESS_ANSWER.size:
        return None
    return IPv4Address(_ADDRESS_ANSWER.unpack(packet)[4])


def read_tcp(packet: bytes, inside: int) -> NatPmpMapping | None:
    """Return what became of the TCP port `inside`; None for anything but an answer to that question. Raises NoMapping
    if the router says no.
    """
    if not _is_answer(packet, _TCP) or len(packet) != _TCP_ANSWER.size:
        return None
    *_, answered, outside, seconds = _TCP_ANSWER.unpack(packet)
    return NatPmpMapping(outside, seconds) if answered == inside else None


def _is_answer(packet: bytes, opcode: int) -> bool:
    """Return whether this answers a question of that kind with yes."""
    if len(packet) < _HEAD.size:
        return False
    version, answered, code, _ = _HEAD.unpack_from(packet)
    if version != VERSION or answered != _ANSWER + opcode:
        return False
    if code:
        raise NoMapping(MappingState.REFUSED)
    return True
