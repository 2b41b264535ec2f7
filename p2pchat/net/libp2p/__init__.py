"""The only modules that import libp2p. Importing this package imports libp2p without the parts that are not used."""

from p2pchat.net.libp2p.lazy_imports import leave_out_unused

with leave_out_unused():
    import libp2p.crypto.serialization
    import libp2p.peer.envelope
    import libp2p.security.base_session
    import libp2p.stream_muxer.yamux.yamux  # noqa: F401
