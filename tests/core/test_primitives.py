"""Each primitive against published vectors and against a second implementation, and what each refuses."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import sys
from collections.abc import Callable

import cryptography.hazmat.primitives.asymmetric as asymmetric
import nacl.bindings as sodium
import pytest
from Crypto.Cipher import ChaCha20_Poly1305
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import UnavailableError

from p2pchat.core import primitives as prim
from p2pchat.errors import CannotOpen, MissingPrimitive
from tests.core import mlkem_reference
from tests.core.people import Chance, flipped

KEYS = st.binary(min_size=32, max_size=32)
# the points of small order on the curve, with their non-canonical encodings (Montgomery form)
LOW_ORDER_X = [
    bytes(32).hex(),
    "01" + bytes(31).hex(),
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]
# the same in Edwards form
LOW_ORDER_ED = [
    bytes(32).hex(),
    "01" + bytes(31).hex(),
    "01" + bytes(30).hex() + "80",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]


# --- hashes and key derivation -----------------------------------------------------------------------------------


def hkdf_by_definition(ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 §2, from HMAC alone."""
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    okm, block = b"", b""
    for counter in range(1, length // 32 + 2):
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        okm += block
    return okm[:length]


def test_the_second_hkdf_is_right() -> None:
    # RFC 5869, appendix A.1
    okm = hkdf_by_definition(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"


@given(st.binary(max_size=200), KEYS, st.binary(max_size=40), st.integers(1, 160))
def test_hkdf(ikm: bytes, salt: bytes, context: bytes, length: int) -> None:
    expected = hkdf_by_definition(ikm, salt, b"p2pchat/1 some label" + context, length)
    assert prim.hkdf(ikm, "some label", length, salt=salt, context=context) == expected


def test_hmac() -> None:
    # RFC 4231 §4.2
    expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert prim.hmac_sha256(b"\x0b" * 20, b"Hi There").hex() == expected


@pytest.mark.parametrize("size", [0, 20, 32, 64])
def test_hmacs_under_one_key_are_those_one_by_one(size: int) -> None:
    key, messages = bytes(range(size)), [b"", b"Hi There", bytes(200)]
    assert prim.hmac_sha256_each(key, messages) == [prim.hmac_sha256(key, message) for message in messages]


def test_hmacs_under_one_key_refuse_a_key_that_would_have_to_be_hashed() -> None:
    with pytest.raises(ValueError, match="too long"):
        prim.hmac_sha256_each(bytes(65), [b""])


@given(st.binary(max_size=300), st.binary(max_size=16), st.integers(1, 64))
def test_blake2b(data: bytes, person: bytes, size: int) -> None:
    padded = person.ljust(16, b"\0")
    second = sodium.crypto_generichash_blake2b_salt_personal(data, digest_size=size, person=padded)
    assert prim.blake2b(data, person, size) == second


def test_argon2id() -> None:
    second = Argon2id(salt=b"sixteen bytes ok", length=32, iterations=2, lanes=1, memory_cost=64)
    assert prim.argon2id(b"pass", b"sixteen bytes ok", 2, 64 * 1024) == second.derive(b"pass")


def test_equal() -> None:
    assert prim.equal(b"same", b"same")
    assert not prim.equal(b"same", b"diff")


# --- authenticated encryption ------------------------------------------------------------------------------------


def test_xchacha_vector() -> None:
    # draft-irtf-cfrg-xchacha-03, appendix A.3.1
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you "
        b"only one tip for the future, sunscreen would be it."
    )
    sealed = prim.seal(
        bytes(range(0x80, 0xA0)), text, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), bytes(range(0x40, 0x58))
    )
    assert sealed[24:].hex() == (
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
        "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
        "b52ec0875924c1c7987947deafd8780acf49"
    )


@given(KEYS, st.binary(max_size=500), st.binary(max_size=50), st.binary(min_size=24, max_size=24))
def test_seal_and_open(key: bytes, plaintext: bytes, ad: bytes, nonce: bytes) -> None:
    sealed = prim.seal(key, plaintext, ad, nonce)
    second = ChaCha20_Poly1305.new(key=key, nonce=nonce)
    second.update(ad)
    assert sealed == nonce + b"".join(second.encrypt_and_digest(plaintext))
    assert prim.open_sealed(key, sealed, ad) == plaintext


@given(KEYS, st.binary(max_size=50), st.integers(0))
def test_a_flipped_bit_is_noticed(key: bytes, plaintext: bytes, bit: int) -> None:
    sealed = prim.seal(key, plaintext, b"ad", bytes(24))
    for wrong_key, wrong_sealed, wrong_ad in [
        (key, flipped(sealed, bit), b"ad"),
        (flipped(key, bit), sealed, b"ad"),
        (key, sealed, b"da"),
        (key, sealed[:-1], b"ad"),
        (key, sealed + b"\0", b"ad"),
    ]:
        with pytest.raises(CannotOpen):
            prim.open_sealed(wrong_key, wrong_sealed, wrong_ad)


@pytest.mark.parametrize("size", [0, 1, 24, 39])
def test_what_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(CannotOpen):
        prim.open_sealed(bytes(32), bytes(size), b"")


@pytest.mark.parametrize("size", [0, 1, 2, 1000, 4094, 4095])
@pytest.mark.parametrize("last", [b"\0", b"\x80", b"a"])
def test_padding(size: int, last: bytes) -> None:
    data = (b"a" * size)[:-1] + last if size else b""
    padded = prim.pad(data, 4096)
    assert len(padded) == 4096
    assert prim.unpad(padded) == data
    assert sodium.sodium_unpad(padded, 4096) == data, "libsodium reads the same padding"


@pytest.mark.parametrize("data", [b"", b"\0", b"\x80", b"a", b"a\x80", b"\x80\0\0", b"abcdefg"])
def test_padding_of_a_known_length_is_what_unpad_would_take_off(data: bytes) -> None:
    padded = prim.pad(data, 8)
    assert [size for size in range(10) if prim.is_padded(padded, size)] == [len(data)]
    for wrong in (padded[:-1] + b"a", padded[: len(data)] + bytes(8 - len(data)), data):
        assert not prim.is_padded(wrong, len(data))


def test_padding_needs_room() -> None:
    for size in (4096, 4097):
        with pytest.raises(ValueError, match="room"):
            prim.pad(bytes(size), 4096)


@pytest.mark.parametrize("wrong", [b"", b"\0", bytes(4096), b"a", b"\x80a", b"\x81\0\0", b"a" * 4096])
def test_what_is_not_padded_is_refused(wrong: bytes) -> None:
    with pytest.raises(CannotOpen):
        prim.unpad(wrong)


# --- X25519 ------------------------------------------------------------------------------------------------------


def test_x25519_vectors() -> None:
    # RFC 7748 §6.1 and, with 1,000 steps, §5.2
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert prim.x25519_public(alice).hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert prim.x25519(alice, prim.x25519_public(bob)).hex() == shared
    assert prim.x25519(bob, prim.x25519_public(alice)).hex() == shared
    k = u = b"\x09" + bytes(31)
    for _ in range(1000):
        k, u = prim.x25519(k, u), k
    assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


@given(KEYS, KEYS)
def test_x25519_agrees_with_openssl(private: bytes, other: bytes) -> None:
    public = prim.x25519_public(other)
    second = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    assert prim.x25519(private, public) == second


@pytest.mark.parametrize("high_bit", [0, 0x80])
@pytest.mark.parametrize("point", LOW_ORDER_X)
def test_points_of_low_order_are_refused(point: str, high_bit: int) -> None:
    public = bytes.fromhex(point)
    with pytest.raises(CannotOpen):
        prim.x25519(bytes(range(32)), public[:31] + bytes([public[31] | high_bit]))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_x25519_refuses_other_lengths(size: int) -> None:
    with pytest.raises(CannotOpen):
        prim.x25519(bytes(range(32)), b"\x09" * size)


# --- Ed25519 -----------------------------------------------------------------------------------------------------


def test_ed25519_vector() -> None:
    # RFC 8032 §7.1, test 2
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    assert prim.sign_public(seed).hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"


@given(KEYS, st.binary(max_size=200))
def test_signatures_agree_with_openssl_and_carry_their_label(seed: bytes, data: bytes) -> None:
    signature = prim.sign(seed, "some label", data)
    assert signature == Ed25519PrivateKey.from_private_bytes(seed).sign(b"p2pchat/1 some label\0" + data)
    public = prim.sign_public(seed)
    prim.verify(public, "some label", data, signature)
    with pytest.raises(CannotOpen):
        prim.verify(public, "other label", data, signature)


@given(KEYS, st.binary(max_size=50), st.integers(0))
def test_a_forged_signature_is_refused(seed: bytes, data: bytes, bit: int) -> None:
    public, signature = prim.sign_public(seed), prim.sign(seed, "x", data)
    for wrong_public, wrong_data, wrong_signature in [
        (flipped(public, bit), data, signature),
        (public, data + b"\0", signature),
        (public, data, flipped(signature, bit)),
        (public, data, signature[:-1]),
        (public, data, signature + b"\0"),
        (public[:-1], data, signature),
        (public + b"\0", data, signature),
        (public, data, b""),
    ]:
        with pytest.raises(CannotOpen):
            prim.verify(wrong_public, "x", wrong_data, wrong_signature)


def test_the_small_order_forgery_openssl_accepts_is_refused() -> None:
    # A = R = the neutral element, S = 0 "signs" every message
    neutral = b"\x01" + bytes(31)
    forgery = neutral + bytes(32)
    Ed25519PublicKey.from_public_bytes(neutral).verify(forgery, b"anything")
    with pytest.raises(CannotOpen):
        prim.verify(neutral, "x", b"anything", forgery)


@pytest.mark.parametrize("r", LOW_ORDER_ED)
@pytest.mark.parametrize("a", LOW_ORDER_ED)
def test_small_order_keys_are_refused(a: str, r: str) -> None:
    # R = small, S = 0 verifies whenever h·A = -R, for one in eight messages at least: try many
    for message in range(16):
        with pytest.raises(CannotOpen):
            prim.verify(bytes.fromhex(a), "x", bytes([message]), bytes.fromhex(r) + bytes(32))


def test_a_signature_has_one_form() -> None:
    # S + L verifies too where nobody looks, and would give one signature two hashes
    order = 2**252 + 27742317777372353535851937790883648493
    seed = bytes(range(32))
    signature = prim.sign(seed, "x", b"data")
    grown = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(CannotOpen):
        prim.verify(prim.sign_public(seed), "x", b"data", signature[:32] + grown.to_bytes(32, "little"))


# --- keys made ahead ---------------------------------------------------------------------------------------------


def test_keys_made_ahead_are_given_once_and_in_order() -> None:
    made = prim.Entropy(Chance("keys").random, prim.kem_encapsulate)
    ahead = prim.Entropy(Chance("keys").random, prim.kem_encapsulate)
    for _ in range(2):
        ahead.prepare()
    assert [ahead.keys() for _ in range(4)] == [made.keys() for _ in range(4)]
    private, public, kem = made.keys()
    assert public == prim.x25519_public(private)
    assert kem != made.keys()[2]


# --- ML-KEM-768 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(5))
def test_ml_kem_agrees_with_a_second_implementation(number: int) -> None:
    chance = Chance(f"kem {number}")
    key = prim.KemKey(chance.random(64))
    assert key.public == mlkem_reference.public_key(key.seed)
    ciphertext, secret = mlkem_reference.encapsulate(key.public, chance.random(32))
    assert (len(key.public), len(ciphertext)) == (prim.KEM_PUBLIC, prim.KEM_CIPHERTEXT)
    assert key.decapsulate(ciphertext) == secret


def test_a_forged_kem_ciphertext_gives_another_secret() -> None:
    key = prim.KemKey(bytes(64))
    ciphertext, secret = prim.kem_encapsulate(key.public)
    assert key.decapsulate(ciphertext) == secret
    rejected = key.decapsulate(flipped(ciphertext, 12345))
    assert rejected != secret
    # FIPS 203 algorithm 18: J(z || c)
    assert rejected == hashlib.shake_256(key.seed[32:] + flipped(ciphertext, 12345)).digest(32)


@pytest.mark.parametrize("at", [0, 3, 1149])
def test_a_kem_key_that_is_not_canonical_is_refused(at: int) -> None:
    public = bytearray(prim.KemKey(bytes(64)).public)
    public[at], public[at + 1] = 0xFF, public[at + 1] | 0x0F  # a coefficient of 4,095: at least q
    with pytest.raises(CannotOpen):
        prim.kem_encapsulate(bytes(public))


@pytest.mark.parametrize("size", [0, 1, 1183, 1185])
def test_a_kem_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(CannotOpen):
        prim.kem_encapsulate(bytes(size))


@pytest.mark.parametrize("size", [0, 1, 1087, 1089])
def test_a_kem_ciphertext_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(CannotOpen):
        prim.KemKey(bytes(64)).decapsulate(bytes(size))


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_a_kem_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(CannotOpen):
        prim.KemKey(bytes(size)).decapsulate(bytes(prim.KEM_CIPHERTEXT))


# --- self test ---------------------------------------------------------------------------------------------------


def test_the_installed_libraries_pass() -> None:
    prim.self_test()


def _wrong_bytes(*_: object, **__: object) -> bytes:
    return bytes(32)


def _missing(*_: object, **__: object) -> bytes:
    raise UnavailableError("this build has it not")


def _forbidden(*_: object, **__: object) -> bytes:
    raise ValueError("disabled for FIPS")


@pytest.mark.parametrize("broken", [_wrong_bytes, _missing, _forbidden])
@pytest.mark.parametrize(
    "name", ["x25519", "sign_public", "sign", "seal", "hmac_sha256", "hkdf", "blake2b", "argon2id", "kem_encapsulate"]
)
def test_a_primitive_that_is_wrong_or_missing_stops_the_start(
    name: str, broken: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prim, name, broken)
    with pytest.raises(MissingPrimitive):
        prim.self_test()


def test_without_ml_kem_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "cryptography.hazmat.primitives.asymmetric.mlkem"
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr(asymmetric, "mlkem", raising=False)
    spec = importlib.util.spec_from_file_location("primitives_without_kem", prim.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    with pytest.raises(MissingPrimitive, match="ML-KEM-768"):
        spec.loader.exec_module(module)


def test_system_entropy() -> None:
    entropy = prim.system_entropy()
    assert entropy.random(32) != entropy.random(32)
    key = prim.KemKey(entropy.random(64))
    ciphertext, secret = entropy.encapsulate(key.public)
    assert key.decapsulate(ciphertext) == secret
