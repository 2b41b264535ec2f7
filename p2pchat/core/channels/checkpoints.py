"""Checkpoints: each post whose number is a multiple of 256 commits to the 256 before it (docs/protocol/channels.md).

A reader who has one checked post can check any earlier page with one header for each 256 posts between.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core import primitives as prim

EVERY = 256
"""Posts from one checkpoint to the next."""
_LEAF, _NODE = b"\x00", b"\x01"


def is_due(seq: int) -> bool:
    """Return whether the post with this number has a checkpoint."""
    return seq > 0 and seq % EVERY == 0


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Return the 32-byte root over the hashes of 256 posts. Raises ValueError for another number of them."""
    if len(hashes) != EVERY:
        raise ValueError("a checkpoint is over 256 posts")
    level = [_hash(_LEAF, item) for item in hashes]
    while len(level) > 1:
        level = [_hash(_NODE, level[at] + level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def _hash(kind: bytes, data: bytes) -> bytes:
    return prim.blake2b(kind + data, b"p2pchat1 ch tree")
