"""Protocol names that only the two ends of a stream can compute (docs/protocol/names.md).

A constant name would be an oracle: anyone who asks for it would learn what runs here. So each name is derived from a
secret that both ends have, and from the host that is asked; to anyone else the host supports only what every libp2p
host does.
"""

from __future__ import annotations

import base64

from p2pchat.core import primitives as prim

NAME = 16
"""Bytes of a name before they are written as text: 26 characters behind a slash."""
PASS = 10
"""Bytes of a relay's pass."""
MAILBOX = "/p2pchat/mailbox/1"
"""The mailbox of a relay without a token, which is meant to be found."""
DHT = "/p2pchat/dht/1"
"""Where a relay without a token says which DHT server it runs."""
FEED = "/p2pchat/feed/1"
"""Where a relay without a token mirrors channels."""
HOP = "/libp2p/circuit/relay/0.2.0/hop"
"""Circuits of a relay without a token, as libp2p names them."""


def link_name(key: bytes, host: bytes, day: int) -> str:
    """Return the name by which the side of a pair that proves itself with `key` asks `host` for a link.

    key: that side's hello key (`session.pair`). host: the transport key of the host that is asked. day: UTC days since
    the epoch.
    """
    return _name(key, b"link" + host + day.to_bytes(4, "big"))


def file_name(key: bytes, host: bytes, day: int) -> str:
    """Return the name by which the same asks `host` for a stream for files; the arguments are those of `link_name`."""
    return _name(key, b"file" + host + day.to_bytes(4, "big"))


def join_name(hello_key: bytes, host: bytes) -> str:
    """Return the name by which whoever holds an invite asks the inviter's `host` (a transport key) for the joining
    dialogue.
    """
    return _name(hello_key, b"name" + host)


def mailbox_name(relay: bytes, token: bytes) -> str:
    """Return the name of the mailbox at the relay with this transport key; `token` is b"" where it has none."""
    return _name(_relay_key(relay, token), b"mailbox") if token else MAILBOX


def feed_name(relay: bytes, token: bytes) -> str:
    """Return the name by which the relay with this transport key mirrors channels; `token` as in `mailbox_name`."""
    return _name(_relay_key(relay, token), b"feed") if token else FEED


def relay_pass(relay: bytes, token: bytes) -> bytes:
    """Return the pass of a relay with a token: it admits those who come through the relay to somebody else, without
    revealing the token; b"" without a token. relay: its transport key.
    """
    return prim.hmac_sha256(_relay_key(relay, token), b"pass")[:PASS] if token else b""


def hop_name(relay_pass: bytes) -> str:
    """Return the name by which a relay with this pass (b"": none) serves reservations and circuits."""
    return _name(relay_pass, b"hop") if relay_pass else HOP


def dht_name(relay_pass: bytes) -> str:
    """Return the name by which a relay with this pass (b"": none) says which DHT server it runs."""
    return _name(relay_pass, b"dht") if relay_pass else DHT


def web_path(relay_pass: bytes) -> str:
    """Return the only path at which a relay with this pass accepts WebSocket; "/", meaning any path, without a pass
    (b"").
    """
    return "/" + _text(prim.hmac_sha256(relay_pass, b"web")[:NAME]) if relay_pass else "/"


def _relay_key(relay: bytes, token: bytes) -> bytes:
    return prim.hkdf(token, "relay token", prim.KEY_BYTES, context=relay)


def _name(key: bytes, what: bytes) -> str:
    return "/" + _text(prim.hmac_sha256(key, what)[:NAME])


def _text(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()
