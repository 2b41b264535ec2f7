"""Short connections: how much may go over one, on a network that freezes all that carry more.

Such networks were seen to let 15 to 20 kB or 25 packets through. What stays below both gets through each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

MAX_SHORT_BYTES = 14_000
"""Bytes, with the headers of IP and TCP, that go over a short connection in one direction."""
MAX_SHORT_PACKETS = 20
"""Packets in one direction, those that only acknowledge included."""
_HEADERS = 52  # bytes of one packet: IPv4 and TCP with time stamps


class Traffic(NamedTuple):
    """What a connection has carried so far: bytes of payload and packets that came in, and that arrived there."""

    bytes_in: int = 0
    packets_in: int = 0
    bytes_out: int = 0
    packets_out: int = 0


class Allowance:
    """What may still go over a short connection. measure: what it has carried."""

    def __init__(self, measure: Callable[[], Traffic]) -> None:
        self._measure = measure

    def fits(self, size: int, packets: int) -> bool:
        """Return whether `size` bytes in `packets` packets may still go, in both directions."""
        bytes_in, packets_in, bytes_out, packets_out = self._measure()
        return all(
            count + packets <= MAX_SHORT_PACKETS and carried + size + _HEADERS * (count + packets) <= MAX_SHORT_BYTES
            for carried, count in ((bytes_in, packets_in), (bytes_out, packets_out))
        )
