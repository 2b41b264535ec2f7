"""By which of its circuits Tor brings somebody to an onion service: what stands before the first byte, if Tor was told
`HiddenServiceExportCircuitID haproxy` (https://spec.torproject.org/haproxy-proxy.html).

All clients of an onion service come from loopback. By its circuit each can be given limits of its own. The number is
one that Tor counts up, and says nothing about where the client is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable

import trio

MAX_LINE = 107
"""Bytes of a line of the PROXY protocol, with its end."""
_BEGIN = b"PROXY "
_LINE = re.compile(rb"PROXY TCP6 ([0-9a-f:]{2,39}) [0-9a-f:]{2,39} \d{1,5} \d{1,5}\r\n")
_CIRCUIT_BYTES = 4
"""The last ones of the address in that line are the circuit's number; the others mean nothing."""


async def circuit_of(receive: Callable[[int], Awaitable[bytes]]) -> tuple[str, bytes]:
    """Return the name of the circuit, "" if none is named, and the bytes received after that line. receive: waits for
    at most so many bytes; b"" at the end. Raises BrokenResourceError for a line that is not Tor's.
    """
    head = b""
    while head.startswith(_BEGIN[: len(head)]) and b"\n" not in head and len(head) < MAX_LINE:
        piece = await receive(MAX_LINE - len(head))
        if not piece:
            break
        head += piece
    if not head.startswith(_BEGIN):
        return "", head
    line = _LINE.match(head)
    try:
        number = ipaddress.IPv6Address("" if line is None else line[1].decode("ascii")).packed[-_CIRCUIT_BYTES:]
    except ValueError:
        raise trio.BrokenResourceError from None
    return number.hex(), head[0 if line is None else line.end() :]
