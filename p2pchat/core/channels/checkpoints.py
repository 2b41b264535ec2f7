"""Checkpoints: each post whose number is a multiple of 256 commits to the 256 before it (docs/protocol/channels.md).

A reader who has one checked post can check any earlier page with one header for each 256 posts between, and a single
post with eight hashes.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core import primitives as prim
from p2pchat.errors import CannotOpen

EVERY = 256
"""Posts from one checkpoint to the next."""
PROOF_HASHES = 8
_LEAF, _NODE = b"\x00", b"\x01"


def is_due(seq: int) -> bool:
    """Return whether the post with this number has a checkpoint."""
    return seq > 0 and seq % EVERY == 0


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Return the 32-byte root over the hashes of 256 posts. Raises ValueError for another number of them."""
    if len(hashes) != EVERY:
        raise ValueError("a checkpoint is over 256 posts")
    return _levels(hashes)[-1][0]


def proof(hashes: Sequence[bytes], place: int) -> list[bytes]:
    """Return the eight hashes that lead from the post at `place` (0 to 255) to the root, lowest level first."""
    levels = _levels(hashes)[:-1]
    return [level[(place >> height) ^ 1] for height, level in enumerate(levels)]


def check_proof(root: bytes, place: int, post: bytes, hashes: Sequence[bytes]) -> None:
    """Return if the post with the hash `post` is at `place` below this root. Raises CannotOpen if not."""
    if len(hashes) != PROOF_HASHES or not 0 <= place < EVERY:
        raise CannotOpen
    node = _hash(_LEAF, post)
    for height, other in enumerate(hashes):
        node = _hash(_NODE, other + node if place >> height & 1 else node + other)
    if node != root:
        raise CannotOpen


def _levels(hashes: Sequence[bytes]) -> list[list[bytes]]:
    level = [_hash(_LEAF, item) for item in hashes]
    levels = [level]
    while len(level) > 1:
        level = [_hash(_NODE, level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        levels.append(level)
    return levels


def _hash(kind: bytes, data: bytes) -> bytes:
    return prim.blake2b(kind + data, b"p2pchat1 ch tree")
