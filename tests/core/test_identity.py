"""Identities, their certified devices, and the numbers that people compare."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import pwhash

from p2pchat.core import identity
from p2pchat.core import primitives as prim
from p2pchat.core.codec import encode
from p2pchat.core.identity import DEVICE_ID, Device, safety_number, sas_words, verify_device
from p2pchat.core.safety_words import WORDS
from p2pchat.errors import CannotOpen
from tests.core.people import Chance, flipped

KEYS = st.binary(min_size=32, max_size=32)


def test_a_device_is_certified_by_its_identity() -> None:
    device = Device.fresh(Chance("device").random)
    assert device.identity == prim.sign_public(device.identity_seed)
    assert device.device == prim.x25519_public(device.device_private)
    verify_device(device.identity, DEVICE_ID, device.device, device.certificate)
    assert Device.from_seeds(device.identity_seed, device.device_private) == device


def test_two_people_share_nothing() -> None:
    chance = Chance("two")
    one, other = Device.fresh(chance.random), Device.fresh(chance.random)
    assert len({one.identity, one.device, other.identity, other.device}) == 4
    assert one.identity_seed != one.device_private


@given(st.integers(0), st.sampled_from(["identity", "device", "certificate"]))
def test_a_changed_certificate_is_refused(bit: int, which: str) -> None:
    me = Device.fresh(Chance("me").random)
    parts = {"identity": me.identity, "device": me.device, "certificate": me.certificate}
    parts[which] = flipped(parts[which], bit)
    with pytest.raises(CannotOpen):
        verify_device(parts["identity"], DEVICE_ID, parts["device"], parts["certificate"])


def test_a_certificate_is_for_one_device_id() -> None:
    me = Device.fresh(Chance("me").random)
    with pytest.raises(CannotOpen):
        verify_device(me.identity, DEVICE_ID + 1, me.device, me.certificate)


def test_a_certificate_of_another_is_refused() -> None:
    me, other = Device.fresh(Chance("me").random), Device.fresh(Chance("other").random)
    with pytest.raises(CannotOpen):
        verify_device(me.identity, DEVICE_ID, other.device, other.certificate)
    with pytest.raises(CannotOpen):
        verify_device(other.identity, DEVICE_ID, me.device, me.certificate)


def test_a_signature_for_another_purpose_is_no_certificate() -> None:
    me = Device.fresh(Chance("me").random)
    signed = prim.sign(me.identity_seed, "bundle", encode([me.identity, DEVICE_ID, me.device]))
    with pytest.raises(CannotOpen):
        verify_device(me.identity, DEVICE_ID, me.device, signed)


# --- safety numbers ----------------------------------------------------------------------------------------------


def test_the_numeric_fingerprint_is_signals() -> None:
    # the vector of libsignal's fingerprint tests: keys with their type byte, phone numbers as stable identifiers
    alice = bytes.fromhex("0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868")
    bob = bytes.fromhex("05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b")
    halves = (identity._fingerprint(alice, b"+14152222222"), identity._fingerprint(bob, b"+14153333333"))
    assert "".join(sorted(halves)) == "300354477692869396892869876765458257569162576843440918079131"


def test_both_see_the_same_safety_number() -> None:
    mine, theirs = bytes(range(32)), bytes(range(32, 64))
    number = safety_number(mine, theirs)
    assert number == safety_number(theirs, mine)
    groups = number.split(" ")
    assert [len(group) for group in groups] == [5] * 12
    assert number.replace(" ", "").isdecimal()
    joined = "".join(groups)
    assert joined[:30] <= joined[30:]
    assert {joined[:30], joined[30:]} == {identity._fingerprint(mine, mine), identity._fingerprint(theirs, theirs)}


def test_another_identity_has_another_safety_number() -> None:
    mine, theirs = bytes(range(32)), bytes(range(32, 64))
    assert safety_number(mine, theirs) != safety_number(mine, flipped(theirs, 7))


# --- the eight words ---------------------------------------------------------------------------------------------


def test_the_words_are_those_of_bip_39() -> None:
    listed = hashlib.sha256("".join(f"{word}\n" for word in WORDS).encode()).hexdigest()
    assert listed == "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    assert len({word[:4] for word in WORDS}) == 2048


def test_equal_words_cannot_be_searched_for() -> None:
    """88 bits: nobody meets a given value. Argon2id before them: nor are two equal values of two lists for sale."""
    assert [len(sas_words(bytes([seed]) * 32).split()) for seed in range(4)] == [8, 8, 8, 8]
    assert _bits_that_differ(sas_words(bytes(32)), sas_words(bytes(31) + b"\1")) > 20
    passes, memory = identity._SAS_PASSES, identity._SAS_MEMORY_BYTES
    assert (passes, memory) == (2, 16 * 2**20)


def test_the_words_are_the_first_88_bits_of_argon2id() -> None:
    secret = bytes(range(32))
    stretched = pwhash.argon2id.kdf(32, secret, b"p2pchat1 words\0\0", opslimit=2, memlimit=16 * 2**20)
    assert _number(sas_words(secret)) == int.from_bytes(stretched[:11], "big")


def _number(words: str) -> int:
    number = 0
    for word in words.split(" "):
        number = number << 11 | WORDS.index(word)
    return number


def _bits_that_differ(one: str, other: str) -> int:
    return (_number(one) ^ _number(other)).bit_count()
