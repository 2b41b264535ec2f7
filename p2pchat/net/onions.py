"""The names of onion services, version 3 (Tor's rend-spec-v3, "Encoding onion addresses")."""

from __future__ import annotations

import base64
import hashlib

ONION_BYTES = 35
"""A public key, two bytes of a checksum, and the version."""
_KEY_BYTES = 32
_VERSION = b"\x03"
_SUFFIX = ".onion"


def name_of(raw: bytes) -> str:
    """Return the name, `….onion`, of a service by its bytes. Raises ValueError for a wrong checksum and any other
    version.
    """
    key, checksum, version = raw[:_KEY_BYTES], raw[_KEY_BYTES:-1], raw[-1:]
    right = hashlib.sha3_256(b".onion checksum" + key + version).digest()[:2]
    if len(raw) != ONION_BYTES or version != _VERSION or checksum != right:
        raise ValueError("not an onion address")
    return letters_of(raw) + _SUFFIX


def letters_of(raw: bytes) -> str:
    """Return the 56 characters in which these bytes are written, right or not."""
    return base64.b32encode(raw).decode("ascii").lower()


def bytes_of(name: str) -> bytes:
    """Return the bytes of 56 characters of lower-case base32, with `.onion` behind them or not."""
    return base64.b32decode(name.removesuffix(_SUFFIX).upper())
