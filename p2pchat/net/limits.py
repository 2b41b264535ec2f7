"""What strangers may have of a host."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 2**18  # bytes a peer may send on one stream before we have read: yamux's own least; 2.6 MB/s at 100 ms


@dataclass(frozen=True, slots=True)
class Limits:
    """How much strangers may have of us. Times in seconds, sizes in bytes."""

    inbound: int = 250  # connections we have not dialled, handshakes and circuits included
    inbound_per_place: int = 64  # of these, from one IPv4 address or one IPv6 /64, or by one relay
    connections_per_peer: int = 4  # with the same peer; the oldest goes when a further one comes
    streams_per_peer: int = 16  # inbound, open at the same time
    unread: int = 24 * WINDOW  # received on one connection and not read yet: more than its windows allow
    handshake: float = 10.0
    negotiation: float = 10.0
    open: float = 10.0  # everything `open` may take
