"""What strangers may have of a host."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 2**18  # bytes a peer may send on one stream before we have read: yamux's own least; 2.6 MB/s at 100 ms


@dataclass(frozen=True, slots=True)
class HostLimits:
    """How much strangers may have of us. Times in seconds, sizes in bytes."""

    inbound: int = 250  # connections we have not dialled, handshakes included
    inbound_per_place: int = 64  # of these, from one IPv4 address or one IPv6 /64; networks have more (`places`)
    circuits: int = 128  # connections that come by relays, besides
    circuits_per_relay: int = 64
    idle: float = 40.0  # how long one may have no stream that has proven nothing
    proof: float = 10.0  # how long one that came by a relay may take to prove that a contact made it
    connections_per_peer: int = 4  # with the same peer; one that is not in use, or the oldest, goes for a further one
    streams_per_peer: int = 16  # inbound, open at the same time
    unread: int = 24 * WINDOW  # received on one connection and not read yet: more than its windows allow
    handshake: float = 10.0
    negotiation: float = 10.0
    open: float = 10.0  # to reach a host, or to agree on a protocol where it is reached
    queue: float = 30.0  # how long who is reached may take to shake hands: a crowd may have come at once
