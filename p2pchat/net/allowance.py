"""What may go over a connection that carries only so much: a short one, or a circuit by a relay with limits.

Short connections are for networks that freeze all that carry more. Such networks were seen to let 15 to 20 kB or 25
packets through. What stays below both gets through each time.
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


MIN_FILES_BYTES = 1 << 24
"""Bytes that a circuit has to be allowed if files are to go over it: a new one for every few blobs is worth nobody's
while."""


class CircuitTerms:
    """What a relay lets one circuit carry, as it has said, and what it has carried.

    max_bytes: in both directions together; 0: no limit. carried: counted by those who send and receive.
    """

    __slots__ = ("carried", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.carried = 0

    @property
    def for_files(self) -> bool:
        """Whether files may go over such a circuit at all."""
        return not self.max_bytes or self.max_bytes >= MIN_FILES_BYTES

    @property
    def half_used(self) -> bool:
        """Whether half of the bytes have gone: the others are for messages."""
        return 0 < self.max_bytes <= 2 * self.carried
