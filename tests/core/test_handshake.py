"""The first message: who can make one, who can open one, and what each stolen key gives an attacker.

What X3DH promises about stolen keys, and the tests below hold it to:
* My identity and device keys stolen: nobody can write to me as a contact of mine, as long as my prekeys are not
  stolen too; and nobody can read what I was sent or begin a session with me as somebody else.
* My signed prekey stolen while it is still held: whoever has it can write ONE first message in anybody's name (their
  side of the first secret is all that speaks for them). This is why a second handshake of a known identity is a
  request, and why a set made for one invite is deleted with its first use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import handshake, ratchet, session
from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.envelope import BUCKETS, HEADER_BYTES, seal_blob
from p2pchat.core.identity import DEVICE_ID, Device
from p2pchat.core.prekeys import Bundle, PrekeySet, make_set, open_bundle
from p2pchat.errors import CannotOpen
from tests.core.people import LATER, NOW, Chance, flipped, meet, nothing, person

# positions in an InitialMessage
SUITE, IDENTITY, DEVICE, CERTIFICATE, DEVICE_NUMBER, EPHEMERAL, KEM, SPK_ID, KPK_ID, OPK_ID, OKPK_ID, HEAD, BODY = (
    range(1, 14)
)
ONE_TIME = meet("one time")
LASTING = meet("lasting", one_time=False)
EVE = person("eve").device


def edited(message: bytes, changes: dict[int, Any]) -> bytes:
    fields = decode(message, BUCKETS[-1])
    for at, value in changes.items():
        fields[at] = value
    return encode(fields)


def refused(me: Device, prekeys: PrekeySet, message: bytes) -> None:
    with pytest.raises(CannotOpen):
        handshake.respond(me, prekeys, handshake.parse(message), Chance("refused").entropy)


def forge(
    claimed: Device,
    bundle: Bundle,
    static_secret: bytes,
    *,
    with_opk: bool = True,
    with_okpk: bool = True,
    named: bool = True,
) -> bytes:
    """An InitialMessage in the name of `claimed`, of whom only public keys and the certificate are used.

    `static_secret` is the attacker's idea of X25519(claimed's device key, signed prekey): the one secret that an
    honest initiator has and the attacker has not.
    """
    chance = Chance("forge")
    if not with_opk:
        bundle = replace(bundle, opk=None)
    if not with_okpk:
        bundle = replace(bundle, okpk=None)
    ephemeral = chance.random(32)
    ciphertext, shared = prim.kem_encapsulate(bundle.kpk if bundle.okpk is None else bundle.okpk[1])
    secrets = [static_secret, prim.x25519(ephemeral, bundle.device), prim.x25519(ephemeral, bundle.spk)]
    if bundle.opk is not None:
        secrets.append(prim.x25519(ephemeral, bundle.opk[1]))
    ids = (None if bundle.opk is None else bundle.opk[0], None if bundle.okpk is None else bundle.okpk[0])
    if not named:
        ids = (None, None)
    public = prim.x25519_public(ephemeral)
    session_id = handshake._transcript(claimed.identity, claimed.device, public, ciphertext, *ids, bundle.digest)
    keys = handshake._keys(session_id, secrets, shared)
    state = ratchet.initiate(keys.root, keys.header, keys.next_header, bundle.spk, chance.entropy)
    _, sealed = ratchet.encrypt(state, b"forged", session_id, chance.random)
    fields = [1, prim.SUITE, claimed.identity, claimed.device, claimed.certificate, DEVICE_ID, public, ciphertext]
    return encode([*fields, bundle.spk_id, bundle.kpk_id, *ids, sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]])


# --- agreement ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [ONE_TIME, LASTING], ids=["one-time", "lasting"])
def test_both_sides_agree(both: Any) -> None:
    alice, bob = both.alice.live, both.bob.live
    assert (alice.session_id, alice.pair_root, alice.sas) == (bob.session_id, bob.pair_root, bob.sas)
    assert (alice.initiator, bob.initiator) == (True, False)
    assert (alice.confirmed, bob.confirmed) == (False, True)
    assert len({alice.session_id, alice.pair_root, alice.sas, alice.ratchet.root}) == 4
    assert handshake.transcript(handshake.parse(both.initial), both.prekeys) == alice.session_id


@pytest.mark.parametrize("first", [b"", b"\0", b"x" * 60_000], ids=["empty", "zero", "long"])
def test_the_first_content(first: bytes) -> None:
    both = meet("first", first=first)
    assert len(seal_blob(bytes(32), both.initial, Chance("blob").random)) in BUCKETS


def test_a_small_first_message_fits_the_smallest_bucket() -> None:
    assert len(seal_blob(bytes(32), meet("small", first=bytes(200)).initial, Chance("blob").random)) == BUCKETS[0]


def test_two_handshakes_share_nothing() -> None:
    alice = person("twice")
    one, _ = handshake.initiate(alice.device, LASTING.bundle, b"", NOW, alice.chance.entropy)
    two, _ = handshake.initiate(alice.device, LASTING.bundle, b"", NOW, alice.chance.entropy)
    for name in ("session_id", "pair_root", "sas"):
        assert getattr(one, name) != getattr(two, name)
    assert one.ratchet.root != two.ratchet.root


def test_the_hybrid_needs_every_secret_of_the_receiver() -> None:
    """With any one of the private keys exchanged for another, the first message stays closed."""
    bob, prekeys, message = ONE_TIME.bob.device, ONE_TIME.prekeys, ONE_TIME.initial
    other = make_set(EVE, LATER, one_time=True, random=Chance("other").random)
    handshake.respond(bob, prekeys, handshake.parse(message), Chance("as it is").entropy)
    refused(bob, replace(prekeys, spk=other.spk), message)
    refused(bob, replace(prekeys, opk=other.opk), message)
    refused(bob, replace(prekeys, okpk_seed=other.okpk_seed), message)
    refused(replace(bob, device_private=EVE.device_private), prekeys, message)
    refused(LASTING.bob.device, replace(LASTING.prekeys, kpk_seed=other.kpk_seed), LASTING.initial)


# --- replay (attack 3) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [ONE_TIME, LASTING], ids=["one-time", "lasting"])
def test_a_replayed_first_message_has_the_same_name(both: Any) -> None:
    """The core holds no memory: it gives the caller the `session_id` by which a repetition is known."""
    again, content = handshake.respond(
        both.bob.device, both.prekeys, handshake.parse(both.initial), both.bob.chance.entropy
    )
    assert again.session_id == both.bob.live.session_id
    assert content == b"hello"
    assert again.ratchet.private != both.bob.live.ratchet.private, "a second answer would fork the session"


def test_a_replay_to_the_next_set_is_refused() -> None:
    bob = LASTING.bob.device
    refused(bob, make_set(bob, LATER, one_time=False, random=Chance("next").random), LASTING.initial)
    renumbered = replace(
        make_set(bob, LATER, one_time=False, random=Chance("next").random), number=LASTING.prekeys.number
    )
    refused(bob, renumbered, LASTING.initial)


# --- downgrade (attack 4) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("with_opk", "with_okpk"), [(False, False), (True, False), (False, True)])
def test_leaving_out_one_time_keys_is_refused(with_opk: bool, with_okpk: bool) -> None:
    alice, bob, prekeys = ONE_TIME.alice.device, ONE_TIME.bob.device, ONE_TIME.prekeys
    secret = prim.x25519(alice.device_private, ONE_TIME.bundle.spk)
    refused(bob, prekeys, forge(alice, ONE_TIME.bundle, secret, with_opk=with_opk, with_okpk=with_okpk))
    handshake.respond(bob, prekeys, handshake.parse(forge(alice, ONE_TIME.bundle, secret)), Chance("x").entropy)


def test_using_one_time_keys_without_naming_them_is_refused() -> None:
    """All secrets are right, but the message does not say which keys it used up."""
    secret = prim.x25519(ONE_TIME.alice.device.device_private, ONE_TIME.bundle.spk)
    message = forge(ONE_TIME.alice.device, ONE_TIME.bundle, secret, named=False)
    refused(ONE_TIME.bob.device, ONE_TIME.prekeys, message)


def test_claiming_one_time_keys_that_are_not_there_is_refused() -> None:
    number = LASTING.prekeys.number
    for changes in ({OPK_ID: number}, {OKPK_ID: number}, {OPK_ID: number, OKPK_ID: number}):
        refused(LASTING.bob.device, LASTING.prekeys, edited(LASTING.initial, changes))


@pytest.mark.parametrize("changes", [{0: 0}, {0: 2}, {SUITE: 0}, {SUITE: 2}, {KEM: b""}, {KEM: None}])
def test_no_other_version_suite_or_kem(changes: dict[int, Any]) -> None:
    with pytest.raises(CannotOpen):
        handshake.parse(edited(ONE_TIME.initial, changes))


def test_an_expired_bundle_is_not_written_to() -> None:
    alice = person("late")
    at = LATER * 1000
    handshake.initiate(alice.device, ONE_TIME.bundle, b"", at - 1, alice.chance.entropy)
    with pytest.raises(CannotOpen):
        handshake.initiate(alice.device, ONE_TIME.bundle, b"", at, alice.chance.entropy)


# --- key compromise (attack 1) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [ONE_TIME, LASTING], ids=["one-time", "lasting"])
def test_my_stolen_long_term_keys_let_nobody_write_to_me_as_a_contact(both: Any) -> None:
    alice, bob, bundle = both.alice.device, both.bob.device, both.bundle
    guesses = [
        prim.x25519(bob.device_private, alice.device),  # the static secret the thief can compute
        prim.x25519(bob.device_private, bundle.spk),
        prim.ZERO_KEY,
        bob.device_private,
    ]
    for guess in guesses:
        refused(bob, both.prekeys, forge(alice, bundle, guess))


@pytest.mark.parametrize("both", [ONE_TIME, LASTING], ids=["one-time", "lasting"])
def test_a_stolen_signed_prekey_does(both: Any) -> None:
    """The edge of the promise, as any X3DH has it: it must stay known, and it shows that `forge` would work."""
    alice, bob = both.alice.device, both.bob.device
    stolen = prim.x25519(both.prekeys.spk, alice.device)
    opened, content = handshake.respond(
        bob, both.prekeys, handshake.parse(forge(alice, both.bundle, stolen)), Chance("x").entropy
    )
    assert content == b"forged"
    assert opened.session_id != both.bob.live.session_id, "it is a second session, which the caller must show"


def test_my_stolen_long_term_keys_do_not_open_what_i_wrote() -> None:
    alice, bob, prekeys = ONE_TIME.alice.device, ONE_TIME.bob.device, ONE_TIME.prekeys
    # the thief of Alice's keys knows one of the four secrets, and has to guess Bob's keys
    for guess in (alice.device_private, EVE.device_private):
        refused(replace(bob, device_private=guess), prekeys, ONE_TIME.initial)
        refused(bob, replace(prekeys, spk=guess), ONE_TIME.initial)
        refused(bob, replace(prekeys, opk=guess), ONE_TIME.initial)


def test_nobody_can_offer_a_bundle_in_anothers_name() -> None:
    stolen = ONE_TIME.alice.device  # the attacker has all of Alice's keys and wants to be Bob to her
    body, _ = decode(ONE_TIME.prekeys.bundle, 4000)
    with pytest.raises(CannotOpen):
        open_bundle(encode([body, prim.sign(stolen.identity_seed, "bundle", body)]))


# --- reflection (attack 2) and misbinding (attack 5) -------------------------------------------------------------


def test_nobody_talks_to_themselves() -> None:
    bob = ONE_TIME.bob
    with pytest.raises(CannotOpen):
        handshake.initiate(bob.device, ONE_TIME.bundle, b"", NOW, bob.chance.entropy)
    secret = prim.x25519(bob.device.device_private, ONE_TIME.bundle.spk)
    refused(bob.device, ONE_TIME.prekeys, forge(bob.device, ONE_TIME.bundle, secret))


def test_my_device_under_another_identity_is_me() -> None:
    """Eve certifies Bob's device as hers: neither bundle nor first message gets through to him."""
    bob = ONE_TIME.bob.device
    body = decode(decode(ONE_TIME.prekeys.bundle, 4000)[0], 4000)
    certificate = prim.sign(EVE.identity_seed, "devcert", encode([EVE.identity, DEVICE_ID, bob.device]))
    body[2], body[4] = EVE.identity, certificate
    packed = encode(body)
    bundle = open_bundle(encode([packed, prim.sign(EVE.identity_seed, "bundle", packed)]))
    with pytest.raises(CannotOpen):
        handshake.initiate(bob, bundle, b"", NOW, Chance("x").entropy)


def test_a_first_message_for_eve_does_not_open_at_bob() -> None:
    """Eve's bundle holds Bob's keys: Alice believes she writes to Eve, who hands the message on to Bob."""
    bob, alice = ONE_TIME.bob.device, person("alice")
    body = decode(decode(ONE_TIME.prekeys.bundle, 4000)[0], 4000)
    certificate = prim.sign(EVE.identity_seed, "devcert", encode([EVE.identity, DEVICE_ID, bob.device]))
    body[2], body[4] = EVE.identity, certificate
    packed = encode(body)
    eves = open_bundle(encode([packed, prim.sign(EVE.identity_seed, "bundle", packed)]))
    _, message = handshake.initiate(alice.device, eves, b"for Eve", NOW, alice.chance.entropy)
    refused(bob, ONE_TIME.prekeys, message)


def test_a_first_message_of_alice_does_not_pass_as_eves() -> None:
    """Eve certifies Alice's device key as her own and puts her name on Alice's message."""
    alice = ONE_TIME.alice.device
    certificate = prim.sign(EVE.identity_seed, "devcert", encode([EVE.identity, DEVICE_ID, alice.device]))
    refused(
        ONE_TIME.bob.device,
        ONE_TIME.prekeys,
        edited(ONE_TIME.initial, {IDENTITY: EVE.identity, CERTIFICATE: certificate}),
    )


# --- binding (attack 8) ------------------------------------------------------------------------------------------


@given(st.integers(0))
def test_every_flipped_bit_is_noticed(bit: int) -> None:
    refused(ONE_TIME.bob.device, ONE_TIME.prekeys, flipped(ONE_TIME.initial, bit))


@pytest.mark.parametrize(
    "at", [IDENTITY, DEVICE, CERTIFICATE, DEVICE_NUMBER, EPHEMERAL, KEM, SPK_ID, KPK_ID, OPK_ID, OKPK_ID, HEAD, BODY]
)
def test_no_field_comes_from_another_message(at: int) -> None:
    """A field of another honest message of the same two people to the same bundle, one at a time."""
    both = ONE_TIME
    stranger = person("stranger")
    _, again = handshake.initiate(stranger.device, both.bundle, b"hello", NOW, stranger.chance.entropy)
    value = decode(again, BUCKETS[-1])[at]
    if at in (DEVICE_NUMBER, SPK_ID, KPK_ID, OPK_ID, OKPK_ID):
        value += 1
    refused(both.bob.device, both.prekeys, edited(both.initial, {at: value}))


def test_a_first_message_is_the_first_of_its_chain() -> None:
    """Anybody who holds a reusable invite may send one: nobody has to derive the keys of 20,000 that never were."""
    both = meet("later")
    envelope = both.alice.seal(b"second")
    refused(
        both.bob.device,
        both.prekeys,
        edited(both.initial, {HEAD: envelope[:HEADER_BYTES], BODY: envelope[HEADER_BYTES:]}),
    )


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)])
@pytest.mark.parametrize("at", [EPHEMERAL, DEVICE])
def test_points_of_low_order_are_refused(point: bytes, at: int) -> None:
    changes = {at: point}
    if at == DEVICE:  # with a right certificate
        identity = ONE_TIME.alice.device
        changes[CERTIFICATE] = prim.sign(
            identity.identity_seed, "devcert", encode([identity.identity, DEVICE_ID, point])
        )
    refused(ONE_TIME.bob.device, ONE_TIME.prekeys, edited(ONE_TIME.initial, changes))


@pytest.mark.parametrize("field", ["device", "spk", "opk"])
def test_a_bundle_with_a_point_of_low_order_is_not_written_to(field: str) -> None:
    value: Any = (1, bytes(32)) if field == "opk" else bytes(32)
    alice = person("low")
    with pytest.raises(CannotOpen):
        handshake.initiate(alice.device, replace(ONE_TIME.bundle, **{field: value}), b"", NOW, alice.chance.entropy)


def test_a_bundle_with_a_broken_kem_key_is_not_written_to() -> None:
    alice = person("kem")
    broken = b"\xff" * prim.KEM_PUBLIC
    for bundle in (replace(ONE_TIME.bundle, okpk=(1, broken)), replace(LASTING.bundle, kpk=broken)):
        with pytest.raises(CannotOpen):
            handshake.initiate(alice.device, bundle, b"", NOW, alice.chance.entropy)


# --- both at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_both_write_first_and_agree_on_one_session(seed: int) -> None:
    alice, bob = person(f"a{seed}"), person(f"b{seed}")
    sets = [make_set(one.device, LATER, one_time=False, random=one.chance.random) for one in (alice, bob)]
    bundles = [open_bundle(one.bundle) for one in sets]
    hers, from_alice = handshake.initiate(alice.device, bundles[1], b"a", NOW, alice.chance.entropy)
    his, from_bob = handshake.initiate(bob.device, bundles[0], b"b", NOW, bob.chance.entropy)
    hers_at_bob, _ = handshake.respond(bob.device, sets[1], handshake.parse(from_alice), bob.chance.entropy)
    his_at_alice, _ = handshake.respond(alice.device, sets[0], handshake.parse(from_bob), alice.chance.entropy)
    # until something came back each writes where the other surely can read, in the session the other began
    at_alice, at_bob = session.for_sending([hers, his_at_alice]), session.for_sending([his, hers_at_bob])
    assert at_alice is his_at_alice
    assert at_bob is hers_at_bob
    sealed, answered = (
        session.seal(his_at_alice, b"", alice.chance.random),
        session.seal(hers_at_bob, b"", bob.chance.random),
    )
    his_at_alice, hers_at_bob = sealed.session, answered.session
    hers = session.open_envelope(hers, answered.envelope, nothing, alice.chance.entropy).session
    his = session.open_envelope(his, sealed.envelope, nothing, bob.chance.entropy).session
    at_alice, at_bob = session.for_sending([hers, his_at_alice]), session.for_sending([his, hers_at_bob])
    assert at_alice is not None
    assert at_bob is not None
    assert at_alice.session_id == at_bob.session_id == min(hers.session_id, his.session_id)
    assert at_alice.pair_root == at_bob.pair_root
