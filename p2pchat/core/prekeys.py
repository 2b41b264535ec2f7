"""Prekey bundles: the public keys for somebody's first message, and the secrets behind them.

A set has a signed X25519 prekey and an ML-KEM-768 key; one for a single use adds a one-time key of each kind. The
bundle is the public half, signed by the identity: [body, signature] with body = [1, [suite...], IK, DK, device
certificate, device id, spk id, SPK, kpk id, KPK, [opk id, OPK] | nil, [okpk id, OKPK] | nil, not_after (u32 seconds),
min_client].
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.codec import (
    U8,
    U32,
    array,
    binary,
    binary_upto,
    decode,
    encode,
    exactly,
    listing,
    maybe,
    uint,
)
from p2pchat.core.identity import DEVICE_ID, Device, verify_device
from p2pchat.errors import CannotOpen

MAX_BUNDLE = 4000
MIN_CLIENT = 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """The public half, as received; `encoded` is what was signed and hashed."""

    suites: tuple[int, ...]
    identity: bytes
    device: bytes
    certificate: bytes
    device_id: int
    spk_id: int
    spk: bytes
    kpk_id: int
    kpk: bytes
    opk: tuple[int, bytes] | None
    okpk: tuple[int, bytes] | None
    not_after: int
    min_client: int
    encoded: bytes

    @property
    def digest(self) -> bytes:
        """The hash that an invite carries and a handshake binds."""
        return bundle_digest(self.encoded)


@dataclass(frozen=True, slots=True, repr=False)
class PrekeySet:
    """The secret half, kept until it is used or expires. One number names all its keys."""

    number: int
    spk: bytes
    kpk_seed: bytes
    opk: bytes | None
    okpk_seed: bytes | None
    bundle: bytes


def bundle_digest(encoded: bytes) -> bytes:
    """Return the BLAKE2b-256 hash of a bundle's bytes."""
    return prim.blake2b(encoded, b"p2pchat1 bundle")


def person_digest(identity: bytes, device: bytes) -> bytes:
    """Return the digest in a reusable invite: of the person's keys and not of a bundle, because its bundle is
    renewed.
    """
    return prim.blake2b(identity + device, b"p2pchat1 person")


def make_set(me: Device, not_after: int, *, one_time: bool, random: prim.Random) -> PrekeySet:
    """Return fresh prekeys whose bundle is valid until `not_after` (seconds since the epoch, at most in the
    year 2106).
    """
    number = int.from_bytes(random(4), "big")
    spk, kpk = random(prim.KEY_BYTES), prim.KemKey(random(prim.KEM_SEED))
    opk = random(prim.KEY_BYTES) if one_time else None
    okpk = prim.KemKey(random(prim.KEM_SEED)) if one_time else None
    body = encode(
        [
            1,
            [prim.SUITE],
            me.identity,
            me.device,
            me.certificate,
            DEVICE_ID,
            number,
            prim.x25519_public(spk),
            number,
            kpk.public,
            None if opk is None else [number, prim.x25519_public(opk)],
            None if okpk is None else [number, okpk.public],
            min(not_after, U32),
            MIN_CLIENT,
        ]
    )
    bundle = encode([body, prim.sign(me.identity_seed, "bundle", body)])
    return PrekeySet(number, spk, kpk.seed, opk, None if okpk is None else okpk.seed, bundle)


_KEY = binary(prim.KEY_BYTES)
_KEM = binary(prim.KEM_PUBLIC)
_OUTER = array(binary_upto(MAX_BUNDLE), binary(prim.SIGNATURE))
_BODY = array(
    exactly(1),
    listing(uint(U8), 16),
    _KEY,
    _KEY,
    binary(prim.SIGNATURE),
    uint(U8),
    uint(U32),
    _KEY,
    uint(U32),
    _KEM,
    maybe(array(uint(U32), _KEY)),
    maybe(array(uint(U32), _KEM)),
    uint(U32),
    uint(U8),
)


def open_bundle(encoded: bytes) -> Bundle:
    """Parse and verify a bundle: signature, device certificate, suite. The caller checks whose it is. Raises
    CannotOpen.
    """
    body, signature = _OUTER(decode(encoded, MAX_BUNDLE))
    _, *fields = _BODY(decode(body, MAX_BUNDLE))
    bundle = Bundle(*(*fields, encoded))
    prim.verify(bundle.identity, "bundle", body, signature)
    verify_device(bundle.identity, bundle.device_id, bundle.device, bundle.certificate)
    if prim.SUITE not in bundle.suites or bundle.min_client > MIN_CLIENT:
        raise CannotOpen
    return bundle


_SET = array(uint(U32), _KEY, binary(prim.KEM_SEED), maybe(_KEY), maybe(binary(prim.KEM_SEED)), binary_upto(MAX_BUNDLE))


def dump_set(prekeys: PrekeySet) -> bytes:
    """Return the set as bytes for the store."""
    return encode([prekeys.number, prekeys.spk, prekeys.kpk_seed, prekeys.opk, prekeys.okpk_seed, prekeys.bundle])


def load_set(data: bytes) -> PrekeySet:
    """Return the set that `dump_set` wrote. Raises CannotOpen."""
    return PrekeySet(*_SET(decode(data, 2 * MAX_BUNDLE)))
