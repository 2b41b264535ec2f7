"""The only modules that import libp2p. Importing this package imports libp2p without the parts that are not used.

host                our `ports.Host`: it starts and joins the rest
swarm               the connections of a host, and the tasks that serve them
connections         which connections to a peer are alive, which is best, how one ends
dial                dialling a peer at all its addresses
listen              listening sockets
inbound             connections that others make
holes               connections through routers, begun by both sides
handshake           multistream-select and Noise
secure_channel      the bytes below the muxer
yamux               the muxer's loops
streams             streams with one kind of error
circuit_messages    the messages of circuits
kademlia_messages   the messages of the DHT
standard_protocols  identify, push and ping
hardening           workarounds for faults of py-libp2p
lazy_imports        importing less of it
log_filter          its log without peers
"""

from p2pchat.net.libp2p.lazy_imports import leave_out_unused

with leave_out_unused():
    import libp2p.crypto.serialization
    import libp2p.peer.envelope
    import libp2p.security.base_session
    import libp2p.stream_muxer.yamux.yamux  # noqa: F401
