"""What the mailbox asks of the streams of a real host; its tests have others."""

from __future__ import annotations

from p2pchat.net.admission.budget import Account
from p2pchat.net.libp2p.streams import LibP2PStream
from p2pchat.net.ports import Stream


def account_of(stream: Stream) -> Account:
    """Return what the connection of a stream may cost."""
    assert isinstance(stream, LibP2PStream)
    return stream.account


def write_now(stream: Stream, data: bytes) -> bool:
    """Write all of `data` without waiting, or nothing: returns False then."""
    assert isinstance(stream, LibP2PStream)
    return stream.write_now(data)


def place_of(stream: Stream) -> str:
    """Return where on the network a stream comes from. By another relay come people from many places, of whom nothing
    is known but their keys.
    """
    if stream.route != "direct":
        return f"{stream.route} {stream.peer.hex()}"
    return stream.place if isinstance(stream, LibP2PStream) else ""
