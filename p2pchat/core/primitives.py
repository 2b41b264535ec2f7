"""Every cryptographic primitive of suite 1, and the only importer of nacl and cryptography.

Suite 1 is one indivisible choice: X25519 (RFC 7748), Ed25519 (RFC 8032, verified by libsodium alone), ML-KEM-768
(FIPS 203), XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), HKDF and HMAC with SHA-256 (RFC 5869, RFC 2104), BLAKE2b
(RFC 7693) and Argon2id (RFC 9106). Lengths are in bytes. Whatever a stranger's bytes make fail raises `CannotOpen`,
with nothing that tells one failure from another. In all of the core, what holds secrets has no `repr`: logs and
tracebacks must not tell them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import nacl.bindings as sodium
from cryptography.exceptions import InternalError, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.exceptions import CryptoError

from p2pchat.errors import CannotOpen, MissingPrimitive

try:
    from cryptography.hazmat.primitives.asymmetric import mlkem
except ImportError as missing:  # cryptography before 47
    raise MissingPrimitive("The installed `cryptography` has no ML-KEM-768") from missing

SUITE = 1
KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
SIGNATURE = 64
KEM_SEED = 64
KEM_PUBLIC = 1184
KEM_CIPHERTEXT = 1088
ZERO_KEY = bytes(32)

Keys: TypeAlias = "tuple[bytes, bytes, KemKey]"
"""An X25519 private key with its public key, and an ML-KEM-768 key."""
Random = Callable[[int], bytes]
Encapsulate = Callable[[bytes], tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Entropy:
    """The two sources of randomness. `random(n)` returns n bytes, `encapsulate(public)` returns (ciphertext, shared
    secret).

    They are arguments everywhere in the core so that test vectors can be frozen.
    """

    random: Random
    encapsulate: Encapsulate
    ahead: deque[Keys] = field(default_factory=deque, repr=False)

    def keys(self) -> Keys:
        """Return new keys, made ahead by `prepare` or made now. Each call returns other ones."""
        return self.ahead.popleft() if self.ahead else self._made()

    def prepare(self) -> None:
        """Make the keys for one more call of `keys` in advance, at a quiet moment: they are the most expensive part of
        a turn of the ratchet.
        """
        keys = self._made()
        _ = keys[2].public  # computed and cached
        self.ahead.append(keys)

    def _made(self) -> Keys:
        private = self.random(KEY_BYTES)
        return private, x25519_public(private), KemKey(self.random(KEM_SEED))


def system_entropy() -> Entropy:
    """Return the operating system's randomness, which every running program uses."""
    return Entropy(sodium.randombytes, kem_encapsulate)


# --- hashes and key derivation -----------------------------------------------------------------------------------


def blake2b(data: bytes, person: bytes, size: int = 32) -> bytes:
    """Return the BLAKE2b hash of `data`, personalised with at most 16 bytes (RFC 7693 §2.5)."""
    return hashlib.blake2b(data, digest_size=size, person=person).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Return the 32 bytes of HMAC-SHA256 (RFC 2104) of `data` under `key`."""
    return hmac.digest(key, data, "sha256")


def hmac_sha256_each(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """Return `hmac_sha256` of each message under one key of at most 64 bytes, in a third of the time: what depends on
    the key alone is hashed once (RFC 2104 §4). Raises ValueError for a longer key.
    """
    if len(key) > _HMAC_BLOCK:
        raise ValueError("the key is too long")
    padded = key.ljust(_HMAC_BLOCK, b"\0")
    inner, outer = hashlib.sha256(padded.translate(_INNER)), hashlib.sha256(padded.translate(_OUTER))
    made = list[bytes]()
    for message in messages:
        inside, outside = inner.copy(), outer.copy()
        inside.update(message)
        outside.update(inside.digest())
        made.append(outside.digest())
    return made


_HMAC_BLOCK = 64
"""Bytes of a block of SHA-256."""
_INNER, _OUTER = (bytes(byte ^ mask for byte in range(256)) for mask in (0x36, 0x5C))
"""What each byte of the key becomes before it is hashed, for the two hashes of an HMAC (RFC 2104 §2)."""


def hkdf(ikm: bytes, label: str, length: int, *, salt: bytes = ZERO_KEY, context: bytes = b"") -> bytes:
    """Derive `length` bytes with HKDF-SHA256, info = "p2pchat/1 " + label + context (RFC 5869)."""
    info = b"p2pchat/1 " + label.encode("ascii") + context
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(ikm)


def sha512(data: bytes) -> bytes:
    """Return the 64 bytes of SHA-512, which only safety numbers use."""
    return hashlib.sha512(data).digest()


def argon2id(passphrase: bytes, salt: bytes, ops: int, memory_bytes: int) -> bytes:
    """Derive a 32-byte key from a passphrase (RFC 9106); `salt` is 16 bytes. Slow on purpose."""
    return sodium.crypto_pwhash_alg(
        KEY_BYTES, passphrase, salt, ops, memory_bytes, alg=sodium.crypto_pwhash_ALG_ARGON2ID13
    )


def equal(first: bytes, second: bytes) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(first, second)


# --- authenticated encryption ------------------------------------------------------------------------------------


def seal(key: bytes, plaintext: bytes, ad: bytes, nonce: bytes) -> bytes:
    """Encrypt with XChaCha20-Poly1305. The 24-byte nonce is put in front: nonce || ciphertext || tag."""
    return nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)


def open_sealed(key: bytes, sealed: bytes, ad: bytes) -> bytes:
    """Return the plaintext of `seal` under the same 32-byte key. Raises CannotOpen."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise CannotOpen
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[NONCE_BYTES:], ad, sealed[:NONCE_BYTES], key)
    except CryptoError:
        raise CannotOpen from None


class ShortNonceCipher:
    """ChaCha20-Poly1305 (RFC 8439) under one 32-byte key, several times as fast as `seal`. The caller numbers the
    12-byte nonces: under one of them no two plaintexts may be encrypted. It may be used from several threads.
    """

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)

    def encrypt(self, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
        """Return the ciphertext followed by its 16-byte tag."""
        return self._aead.encrypt(nonce, plaintext, ad)

    def decrypt(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        """Return the plaintext. Raises CannotOpen."""
        try:
            return self._aead.decrypt(nonce, sealed, ad)
        except InvalidTag:
            raise CannotOpen from None


class CountingCipher:
    """ChaCha20-Poly1305 (RFC 8439) with a counter as nonce, for one direction (Noise Protocol Framework §5.1), as
    libp2p's transport uses it.
    """

    __slots__ = ("_aead", "_count")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._count = 0

    def encrypt(self, plaintext: bytes, ad: bytes = b"") -> bytes:
        """Encrypt one message and return its ciphertext followed by its 16-byte tag."""
        self._count += 1
        return self._aead.encrypt(bytes(4) + (self._count - 1).to_bytes(8, "little"), plaintext, ad)

    def decrypt(self, sealed: bytes, ad: bytes = b"") -> bytes:
        """Return the plaintext of the other end's next `encrypt`. Raises CannotOpen."""
        try:
            plaintext = self._aead.decrypt(bytes(4) + self._count.to_bytes(8, "little"), sealed, ad)
        except InvalidTag:
            raise CannotOpen from None
        self._count += 1
        return plaintext


def pad(data: bytes, size: int) -> bytes:
    """Pad `data` to exactly `size` bytes (ISO/IEC 7816-4); `data` must be shorter."""
    if len(data) >= size:
        raise ValueError("no room for padding")
    return data + b"\x80" + bytes(size - len(data) - 1)


def is_padded(padded: bytes, size: int) -> bool:
    """Return whether `unpad` would return the first `size` bytes; called on authenticated bytes alone, as that."""
    return padded[size : size + 1] == b"\x80" and padded.count(0, size + 1) == len(padded) - size - 1


def unpad(padded: bytes) -> bytes:
    """Undo `pad`. Raises CannotOpen. It is only called on authenticated bytes, so its timing reveals nothing to a
    stranger.
    """
    data = padded.rstrip(b"\0")
    if not data or data[-1] != 0x80:
        raise CannotOpen
    return data[:-1]


# --- X25519 ------------------------------------------------------------------------------------------------------


def x25519_public(private: bytes) -> bytes:
    """Return the public key of 32 random bytes."""
    return sodium.crypto_scalarmult_base(private)


def x25519(private: bytes, public: bytes) -> bytes:
    """Return the 32-byte shared secret (RFC 7748). Raises CannotOpen for a public key of small order (an all-zero
    result, §6.1).
    """
    if len(private) != KEY_BYTES or len(public) != KEY_BYTES:  # the binding does not check, and would read past the end
        raise CannotOpen
    try:
        return sodium.crypto_scalarmult(private, public)
    except (CryptoError, RuntimeError, TypeError, ValueError):
        raise CannotOpen from None


# --- Ed25519 -----------------------------------------------------------------------------------------------------


def sign_public(seed: bytes) -> bytes:
    """Return the Ed25519 public key of a 32-byte seed."""
    return sodium.crypto_sign_seed_keypair(seed)[0]


def sign(seed: bytes, label: str, data: bytes) -> bytes:
    """Return a 64-byte Ed25519 signature over "p2pchat/1 " + label + 0x00 + data."""
    secret = sodium.crypto_sign_seed_keypair(seed)[1]
    return sodium.crypto_sign(_labelled(label, data), secret)[:SIGNATURE]


def verify(public: bytes, label: str, data: bytes, signature: bytes) -> None:
    """Return if the 64-byte signature is valid (see `sign`). Raises CannotOpen if not.

    Only libsodium verifies: other libraries accept small-order keys that it refuses, and two verdicts would split
    peers.
    """
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE:
        raise CannotOpen
    try:
        sodium.crypto_sign_open(signature + _labelled(label, data), public)
    except (CryptoError, ValueError):
        raise CannotOpen from None


def sign_plain(seed: bytes, data: bytes) -> bytes:
    """Return a 64-byte Ed25519 signature over the plain `data`, for another protocol that prescribes what is signed:
    IPNS. The seed must have no other purpose.
    """
    return sodium.crypto_sign(data, sodium.crypto_sign_seed_keypair(seed)[1])[:SIGNATURE]


def verify_plain(public: bytes, data: bytes, signature: bytes) -> None:
    """Return if a 64-byte signature over the plain `data` is valid, as another protocol makes it: libp2p's Noise
    handshake, and IPNS. Raises CannotOpen if not.
    """
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE:
        raise CannotOpen
    try:
        sodium.crypto_sign_open(signature + data, public)
    except (CryptoError, ValueError):
        raise CannotOpen from None


def _labelled(label: str, data: bytes) -> bytes:
    return b"p2pchat/1 " + label.encode("ascii") + b"\0" + data


# --- ML-KEM-768 --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class KemKey:
    """An ML-KEM-768 private key, given by its 64-byte seed. Expanding a seed is the most expensive step of a ratchet
    turn, so the object caches the expanded key.
    """

    seed: bytes

    @cached_property
    def _private(self) -> mlkem.MLKEM768PrivateKey:
        try:
            return mlkem.MLKEM768PrivateKey.from_seed_bytes(self.seed)
        except ValueError:
            raise CannotOpen from None
        except UnsupportedAlgorithm as missing:
            raise MissingPrimitive("The installed `cryptography` cannot do ML-KEM-768") from missing

    @cached_property
    def public(self) -> bytes:
        """The 1,184-byte encapsulation key."""
        return self._private.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the 32-byte shared secret. A forged ciphertext gives an unrelated one (implicit rejection, FIPS 203).
        Raises CannotOpen for one of another size.
        """
        try:
            return self._private.decapsulate(ciphertext)
        except (ValueError, InternalError):
            raise CannotOpen from None


def kem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """Return (ciphertext of 1,088 bytes, shared secret of 32 bytes). Raises CannotOpen for a non-canonical public
    key.
    """
    try:
        secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except (ValueError, InternalError):
        raise CannotOpen from None
    return ciphertext, secret


# --- self test ---------------------------------------------------------------------------------------------------


def self_test() -> None:
    """Try one known answer per primitive (a few ms). Raises MissingPrimitive for a wrong or missing one.

    Run at the start of every process that holds keys: a library that lost an algorithm must stop us there, never make
    us fall back.
    """
    try:
        for name, check in _KNOWN_ANSWERS:
            if not check():
                raise MissingPrimitive(f"The installed cryptography libraries compute {name} wrongly")
    except (CannotOpen, CryptoError, UnsupportedAlgorithm, InternalError, *_BROKEN) as missing:
        raise MissingPrimitive from missing


def _kem_agrees() -> bool:
    key = KemKey(bytes(KEM_SEED))
    ciphertext, secret = kem_encapsulate(key.public)
    known = blake2b(key.public, b"p2pchat1 test") == _hex(
        "1778680581b71169ebbfd04a2bc6d2f0af34bced31357edbf264055029e676db"
    )
    return known and key.decapsulate(ciphertext) == secret


def _signature_holds() -> bool:
    verify(sign_public(_SEQUENCE), "test", b"", sign(_SEQUENCE, "test", b""))
    return True


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


# what a library raises if it has removed, renamed or forbidden an algorithm
_BROKEN = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_SEQUENCE = bytes(range(32))
_X25519_BASE = bytes([9]) + bytes(31)
_RFC8439_PLAINTEXT = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you "
    b"only one tip for the future, sunscreen would be it."
)
_KNOWN_ANSWERS: tuple[tuple[str, Callable[[], bool]], ...] = (
    # RFC 7748 §5.2, the first step of the iterated test
    (
        "X25519",
        lambda: (
            x25519(_X25519_BASE, _X25519_BASE)
            == _hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
        ),
    ),
    # RFC 8032 §7.1, test 1: the key; then our own label
    (
        "Ed25519",
        lambda: (
            sign_public(_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
            == _hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
            and _signature_holds()
        ),
    ),
    # draft-irtf-cfrg-xchacha-03 §A.3.1, its tag
    (
        "XChaCha20-Poly1305",
        lambda: (
            seal(
                bytes(range(0x80, 0xA0)), _RFC8439_PLAINTEXT, _hex("50515253c0c1c2c3c4c5c6c7"), bytes(range(0x40, 0x58))
            )[-TAG_BYTES:]
            == _hex("c0875924c1c7987947deafd8780acf49")
        ),
    ),
    # RFC 4231 §4.3
    (
        "HMAC-SHA256",
        lambda: (
            hmac_sha256(b"Jefe", b"what do ya want for nothing?")
            == _hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        ),
    ),
    # our own, computed from the definitions in RFC 5869 §2 and RFC 7693 §2.5; tests/core computes them in another way
    (
        "HKDF-SHA256",
        lambda: hkdf(_SEQUENCE, "test", 32) == _hex("ada68e6fdc316e3fa6a08a22636f9deb34bec780e5f3ec60c5451f4b557ff587"),
    ),
    (
        "BLAKE2b",
        lambda: (
            blake2b(_SEQUENCE, b"p2pchat1 test")
            == _hex("126e4ef94a33d1a9fa0baf2429789a54d7d1a4dd32ce8931ff9723e751ec9cd8")
        ),
    ),
    (
        "Argon2id",
        lambda: (
            argon2id(b"test", bytes(16), 1, 8192)
            == _hex("185d9543e6945bb30c6ecb2d1ac58a388ddfe954c34cf395a4fa12f986897662")
        ),
    ),
    ("ML-KEM-768", _kem_agrees),
)
