"""Who a person is: the identity key, the device key it certifies, and the numbers two people compare.

The identity (IK) is Ed25519 and only signs. The device key (DK) is a separate X25519 key, certified by the identity,
and only agrees on secrets. Neither is ever a libp2p key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from p2pchat.core import primitives as prim
from p2pchat.core.codec import encode
from p2pchat.core.safety_words import WORDS

DEVICE_ID = 1
_FINGERPRINT_ROUNDS = 5200
SAS_WORDS = 8
_WORD_BITS = 11
_SAS_SALT = b"p2pchat1 words\0\0"
_SAS_PASSES = 2
_SAS_MEMORY_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, repr=False)
class Device:
    """One installation's keys: the identity's seed, the device's private key, and what they prove in public."""

    identity_seed: bytes
    device_private: bytes
    identity: bytes
    device: bytes
    certificate: bytes

    @staticmethod
    def from_seeds(identity_seed: bytes, device_private: bytes) -> Device:
        """Make the device of two 32-byte secrets."""
        identity = prim.sign_public(identity_seed)
        device = prim.x25519_public(device_private)
        certificate = prim.sign(identity_seed, "devcert", _certified(identity, DEVICE_ID, device))
        return Device(identity_seed, device_private, identity, device, certificate)

    @staticmethod
    def fresh(random: prim.Random) -> Device:
        """Return a device with new random keys: a new person."""
        return Device.from_seeds(random(prim.KEY_BYTES), random(prim.KEY_BYTES))


def verify_device(identity: bytes, device_id: int, device: bytes, certificate: bytes) -> None:
    """Return if `identity` certified `device` (both 32-byte keys). Raises CannotOpen where it did not."""
    prim.verify(identity, "devcert", _certified(identity, device_id, device), certificate)


def _certified(identity: bytes, device_id: int, device: bytes) -> bytes:
    return encode([identity, device_id, device])


def safety_number(mine: bytes, theirs: bytes) -> str:
    """Return the 60 digits both people see, in 12 groups of 5: Signal's numeric fingerprint, version 0.

    Input key and stable identifier are both the 32-byte identity key; 5,200 rounds of SHA-512; the two halves of 30
    digits sorted, so that both sides print the same.
    """
    digits = "".join(sorted((_fingerprint(mine, mine), _fingerprint(theirs, theirs))))
    return " ".join(digits[start : start + 5] for start in range(0, 60, 5))


def _fingerprint(key: bytes, stable_id: bytes) -> str:
    digest = b"\0\0" + key + stable_id
    for _ in range(_FINGERPRINT_ROUNDS):
        digest = prim.sha512(digest + key)
    chunks = (digest[start : start + 5] for start in range(0, 30, 5))
    return "".join(f"{int.from_bytes(chunk, 'big') % 100_000:05d}" for chunk in chunks)


@lru_cache(maxsize=512)
def sas_words(secret: bytes) -> str:
    """Eight words (88 bits) from a handshake's 32-byte SAS secret; both sides show the same.

    Argon2id comes before the words, so that each try of somebody who searches for equal words costs 20 ms and 16 MiB.
    A result is remembered, since faces ask for it again and again.
    """
    stretched = prim.argon2id(secret, _SAS_SALT, _SAS_PASSES, _SAS_MEMORY_BYTES)
    number = int.from_bytes(stretched, "big") >> (8 * len(stretched) - SAS_WORDS * _WORD_BITS)
    shifts = range((SAS_WORDS - 1) * _WORD_BITS, -1, -_WORD_BITS)
    return " ".join(WORDS[(number >> shift) % len(WORDS)] for shift in shifts)
