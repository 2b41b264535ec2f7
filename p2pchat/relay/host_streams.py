"""What the mailbox needs to know about the streams of a real host; its tests use fakes."""

from __future__ import annotations

from p2pchat.net.admission.budget import Account
from p2pchat.net.libp2p import streams
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.ports import Stream


def account_of(stream: Stream) -> Account:
    """Return the account that pays for the work of a stream's connection."""
    assert isinstance(stream, LibP2PStream)
    return stream.account


def write_now(stream: Stream, data: bytes) -> bool:
    """Write all of `data` without waiting and return True, or write nothing and return False."""
    assert isinstance(stream, LibP2PStream)
    return stream.write_now(data)


def is_over(stream: Stream) -> bool:
    """Return whether the connection of a stream has ended, or is about to."""
    assert isinstance(stream, LibP2PStream)
    return streams.is_over(stream)


def place_of(stream: Stream) -> str:
    """Return the place on the network from which a stream comes. People from many places come through another relay,
    and nothing is known of them but their keys, so there each peer is a place of its own.
    """
    if stream.route != "direct":
        return f"{stream.route} {stream.peer.hex()}"
    return stream.place if isinstance(stream, LibP2PStream) else ""
