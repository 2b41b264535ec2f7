"""libp2p, contained: nothing outside of this package knows it. Importing the package imports it, leanly."""

from p2pchat.net.lean import leanly

with leanly():
    import libp2p.network.stream.net_stream  # noqa: F401
