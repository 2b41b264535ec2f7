"""libp2p, contained: only these modules import it. Importing this package imports libp2p without what is not used."""

from p2pchat.net.libp2p.lazy_imports import leanly

with leanly():
    import libp2p.network.stream.net_stream  # noqa: F401
