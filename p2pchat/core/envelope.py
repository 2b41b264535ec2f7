"""Envelopes and blobs: what a stranger sees, byte strings of three sizes in which every byte looks random.

An envelope is a header and a body of the ratchet (`ratchet.py`) or a sealed first message (`handshake.py`). Its size is
one of `BUCKETS`; the padding is inside the encryption.
"""

from __future__ import annotations

from p2pchat.core import primitives as prim
from p2pchat.core.ids import EnvelopeId
from p2pchat.errors import CannotOpen

BUCKETS = (4096, 16384, 65536)
ID_BYTES = 16
HEADER_PLAIN = 2350
"""Bytes of every header before it is sealed: the longest has 2,323, and the rest is room for a field or two."""
HEADER_BYTES = prim.NONCE_BYTES + HEADER_PLAIN + prim.TAG_BYTES
OVERHEAD = HEADER_BYTES + prim.NONCE_BYTES + prim.TAG_BYTES
MAX_CONTENT = BUCKETS[-1] - OVERHEAD - 1


def envelope_id(envelope: bytes) -> EnvelopeId:
    """Return the 16 bytes by which acks and refusals name an envelope."""
    return EnvelopeId(prim.blake2b(envelope, b"p2pchat1 env")[:ID_BYTES])


def padded(content: bytes) -> bytes:
    """Return `content`, of at most `MAX_CONTENT` bytes, padded so that its envelope fills a bucket."""
    return _to_bucket(content, OVERHEAD)


def seal_blob(key: bytes, data: bytes, random: prim.Random) -> bytes:
    """Seal a whole bucket under one 32-byte key: nonce || XChaCha20-Poly1305(padded data); for invites and renewals."""
    return prim.seal(key, _to_bucket(data, prim.NONCE_BYTES + prim.TAG_BYTES), b"", random(prim.NONCE_BYTES))


def open_blob(key: bytes, blob: bytes) -> bytes:
    """Return the data of `seal_blob`, under the same 32-byte key. Raises CannotOpen."""
    if len(blob) not in BUCKETS:
        raise CannotOpen
    return prim.unpad(prim.open_sealed(key, blob, b""))


def _to_bucket(data: bytes, overhead: int) -> bytes:
    for bucket in BUCKETS:
        if len(data) < bucket - overhead:
            return prim.pad(data, bucket - overhead)
    raise ValueError("content is larger than the largest envelope")
