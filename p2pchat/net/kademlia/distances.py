"""How far servers are from keys: the XOR metric over SHA-256 (Maymounkov and Mazières, Kademlia, 2002; libp2p kad-dht
specification).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from p2pchat.core import ipns
from p2pchat.core.ids import PeerKey
from p2pchat.net import multiaddrs

BITS = 256
DECOY_BITS = 12
"""Bits that a decoy shares with the key that it stands for: in a network of fewer than 80,000 servers, the closest
ones to both are mostly the same."""


def of_key(key: bytes) -> int:
    """Return where a key lies."""
    return int.from_bytes(hashlib.sha256(key).digest(), "big")


def of_peer(peer: PeerKey) -> int:
    """Return where a server lies."""
    return of_key(multiaddrs.multihash(peer))


def shared_bits(first: int, second: int) -> int:
    """Return how many bits two places have in common before they differ."""
    return BITS - (first ^ second).bit_length()


def decoy(key: bytes, random: Callable[[int], bytes]) -> bytes:
    """Return a routing key close to `key`: whoever leads us there does not learn what we want. It is found by trying,
    which takes 2 ms.
    """
    head, sha256, count = ipns.routing_key(random(24)), hashlib.sha256, 0
    first, second, *_ = sha256(key).digest()
    while True:
        near = head + count.to_bytes(8, "big")
        digest = sha256(near).digest()
        if digest[0] == first and not (digest[1] ^ second) >> 16 - DECOY_BITS and near != key:
            return near
        count += 1
