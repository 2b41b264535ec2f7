"""Prekey bundles: what is signed is what is used, and nothing can be left out of one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.identity import DEVICE_ID, Device
from p2pchat.core.prekeys import (
    MAX_BUNDLE,
    bundle_digest,
    dump_set,
    load_set,
    make_set,
    open_bundle,
    person_digest,
)
from p2pchat.errors import CannotOpen
from tests.core.people import LATER, Chance, flipped

ME = Device.fresh(Chance("me").random)
OTHER = Device.fresh(Chance("other").random)
ONE_TIME = make_set(ME, LATER, one_time=True, random=Chance("one time").random)
LASTING = make_set(ME, LATER, one_time=False, random=Chance("lasting").random)
# positions in the body
SUITES, IDENTITY, DEVICE, CERTIFICATE, DEVICE_NUMBER, SPK, KPK, OPK, OKPK, NOT_AFTER, MIN_CLIENT = (
    *(1, 2, 3, 4, 5),
    *(7, 9, 10, 11, 12, 13),
)


def resigned(changes: dict[int, Any], signer: Device = ME, label: str = "bundle") -> bytes:
    """The one-time bundle with other fields, signed anew."""
    body = decode(decode(ONE_TIME.bundle, MAX_BUNDLE)[0], MAX_BUNDLE)
    for at, value in changes.items():
        body[at] = value
    packed = encode(body)
    return encode([packed, prim.sign(signer.identity_seed, label, packed)])


def test_a_bundle_shows_the_public_half() -> None:
    for one_time, prekeys in ((True, ONE_TIME), (False, LASTING)):
        bundle = open_bundle(prekeys.bundle)
        assert (bundle.identity, bundle.device, bundle.not_after) == (ME.identity, ME.device, LATER)
        assert bundle.suites == (prim.SUITE,)
        assert bundle.spk == prim.x25519_public(prekeys.spk)
        assert bundle.kpk == prim.KemKey(prekeys.kpk_seed).public
        assert (bundle.opk is not None, bundle.okpk is not None) == (one_time, one_time)
        if prekeys.opk is not None and prekeys.okpk_seed is not None:
            assert bundle.opk == (prekeys.number, prim.x25519_public(prekeys.opk))
            assert bundle.okpk == (prekeys.number, prim.KemKey(prekeys.okpk_seed).public)
        assert bundle.digest == bundle_digest(prekeys.bundle)
        assert len(prekeys.bundle) <= MAX_BUNDLE


def test_a_bundle_holds_no_secret() -> None:
    for secret in (ONE_TIME.spk, ONE_TIME.kpk_seed, ONE_TIME.opk, ONE_TIME.okpk_seed, ME.identity_seed):
        assert secret is not None
        assert secret[:16] not in ONE_TIME.bundle
    assert ME.device_private not in ONE_TIME.bundle


def test_every_set_is_fresh() -> None:
    chance = Chance("sets")
    one, two = (make_set(ME, LATER, one_time=True, random=chance.random) for _ in range(2))
    assert one.opk is not None
    assert len({one.spk, one.opk, two.spk, two.opk}) == 4
    assert len({one.kpk_seed, one.okpk_seed, two.kpk_seed, two.okpk_seed}) == 4
    assert one.number != two.number


def test_the_changes_below_are_refused_for_their_own_reason() -> None:
    assert open_bundle(resigned({})).identity == ME.identity


@given(st.integers(0))
def test_every_flipped_bit_is_noticed(bit: int) -> None:
    with pytest.raises(CannotOpen):
        open_bundle(flipped(ONE_TIME.bundle, bit))


@pytest.mark.parametrize(
    ("changes", "signer", "label"),
    [
        ({}, OTHER, "bundle"),  # somebody else signed it
        ({}, ME, "devcert"),  # signed for another purpose
        ({IDENTITY: OTHER.identity}, ME, "bundle"),
        ({IDENTITY: OTHER.identity}, OTHER, "bundle"),  # another's identity over a device it did not certify
        ({DEVICE: OTHER.device}, ME, "bundle"),
        ({CERTIFICATE: OTHER.certificate}, ME, "bundle"),
        ({DEVICE_NUMBER: DEVICE_ID + 1}, ME, "bundle"),
        ({0: 2}, ME, "bundle"),  # another version
        ({SUITES: []}, ME, "bundle"),
        ({SUITES: [2]}, ME, "bundle"),  # no suite we know
        ({SUITES: [1] * 17}, ME, "bundle"),
        ({MIN_CLIENT: 2}, ME, "bundle"),  # made for a newer program
        ({SPK: bytes(31)}, ME, "bundle"),
        ({KPK: bytes(1183)}, ME, "bundle"),
        ({KPK: None}, ME, "bundle"),  # without its post-quantum key
        ({OPK: [1]}, ME, "bundle"),
        ({OKPK: [1, bytes(32)]}, ME, "bundle"),
        ({NOT_AFTER: 1 << 32}, ME, "bundle"),
    ],
)
def test_a_wrong_bundle_is_refused(changes: dict[int, Any], signer: Device, label: str) -> None:
    with pytest.raises(CannotOpen):
        open_bundle(resigned(changes, signer, label))


@pytest.mark.parametrize("at", [OPK, OKPK, KPK])
def test_nobody_between_can_strip_a_key(at: int) -> None:
    body, signature = decode(ONE_TIME.bundle, MAX_BUNDLE)
    fields = decode(body, MAX_BUNDLE)
    fields[at] = None
    with pytest.raises(CannotOpen):
        open_bundle(encode([encode(fields), signature]))


def test_one_field_more_is_refused() -> None:
    body = decode(decode(ONE_TIME.bundle, MAX_BUNDLE)[0], MAX_BUNDLE)
    packed = encode([*body, 0])
    with pytest.raises(CannotOpen):
        open_bundle(encode([packed, prim.sign(ME.identity_seed, "bundle", packed)]))
    with pytest.raises(CannotOpen):
        open_bundle(encode([*decode(ONE_TIME.bundle, MAX_BUNDLE), 0]))


def test_a_suite_of_the_future_beside_ours_is_fine() -> None:
    assert open_bundle(resigned({SUITES: [1, 2]})).suites == (1, 2)


def test_a_person_digest_binds_both_keys() -> None:
    assert len({person_digest(ME.identity, ME.device), person_digest(ME.identity, OTHER.device)}) == 2
    assert person_digest(ME.identity, ME.device) != person_digest(OTHER.identity, ME.device)


def test_a_set_comes_back_from_the_store() -> None:
    assert load_set(dump_set(ONE_TIME)) == ONE_TIME
    assert load_set(dump_set(LASTING)) == LASTING


def test_a_damaged_set_is_refused() -> None:
    data = dump_set(ONE_TIME)
    for wrong in (b"", data[:-1], data + b"\0", encode([1]), data.replace(b"\xc4\x40", b"\xc4\x3f", 1)):
        with pytest.raises(CannotOpen):
            load_set(wrong)


def test_a_set_does_not_show_its_secrets() -> None:
    assert repr(ONE_TIME.spk) not in repr(ONE_TIME)
    assert repr(ME.identity_seed) not in repr(ME)
    assert repr(ONE_TIME.kpk_seed) not in repr(prim.KemKey(ONE_TIME.kpk_seed))
