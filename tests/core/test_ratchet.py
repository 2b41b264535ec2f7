"""The double ratchet: what opens, what does not, and that a failure leaves everything as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import primitives as prim
from p2pchat.core import ratchet
from p2pchat.core.codec import decode, encode
from p2pchat.core.envelope import HEADER_BYTES, HEADER_PLAIN
from p2pchat.core.ratchet import MAX_SKIPPED, OLD_CHAINS, Decrypted, Ratchet
from p2pchat.errors import CannotOpen
from tests.core.people import Chance, flipped, nothing
from tests.core.test_primitives import LOW_ORDER_X, hkdf_by_definition

AD = b"the transcript"


class Side:
    """One ratchet with a store for skipped keys. `receive` keeps what `decrypt` gives only if all went well."""

    def __init__(self, state: Ratchet, name: str) -> None:
        self.state = state
        self.chance = Chance(name)
        self.skipped: dict[tuple[int, int], bytes] = {}

    def send(self, text: bytes) -> bytes:
        self.state, sealed = ratchet.encrypt(self.state, text, AD, self.chance.random)
        return sealed

    def receive(self, sealed: bytes) -> bytes:
        opened = self.open(sealed)
        self.state = opened.state
        if opened.used is not None:
            del self.skipped[opened.used]
        self.skipped.update({(chain, number): key for chain, number, key in opened.skipped})
        return opened.plaintext

    def open(self, sealed: bytes) -> Decrypted:
        return ratchet.decrypt(self.state, sealed, AD, lambda *which: self.skipped.get(which), self.chance.entropy)

    def refuses(self, sealed: bytes) -> None:
        """Neither does it open, nor does anything change."""
        state, dumped, skipped = self.state, ratchet.dump(self.state), dict(self.skipped)
        with pytest.raises(CannotOpen):
            self.receive(sealed)
        assert self.state is state
        assert ratchet.dump(self.state) == dumped
        assert self.skipped == skipped

    def restart(self) -> None:
        self.state = ratchet.load(ratchet.dump(self.state))


def two(seed: str = "") -> tuple[Side, Side]:
    """Alice who can send, and Bob who waits for her first message."""
    chance = Chance(f"two {seed}")
    root, header, next_header, prekey = (chance.random(32) for _ in range(4))
    public = prim.x25519_public(prekey)
    alice = Side(ratchet.initiate(root, header, next_header, public, chance.entropy), f"alice {seed}")
    bob = Side(ratchet.respond(root, header, next_header, prekey), f"bob {seed}")
    return alice, bob


def talking(seed: str = "") -> tuple[Side, Side]:
    """Both have written and read."""
    alice, bob = two(seed)
    bob.receive(alice.send(b""))
    alice.receive(bob.send(b""))
    return alice, bob


def turn(one: Side, other: Side, times: int) -> None:
    """`times` messages to and fro, each with new keys."""
    for _ in range(times):
        assert other.receive(one.send(b"to")) == b"to"
        assert one.receive(other.send(b"fro")) == b"fro"


def ahead(side: Side, steps: int) -> None:
    """As if `side` had sent `steps` messages."""
    key = side.state.sending
    assert key is not None
    for _ in range(steps):
        _, key = ratchet._chain_step(key)
    side.state = replace(side.state, sending=key, sent=side.state.sent + steps)


# --- key schedule ------------------------------------------------------------------------------------------------


def test_chain_keys_are_signals() -> None:
    # libsignal's vector for chain keys (ratchet/keys.rs); its message keys follow by HKDF with another label
    seed = bytes.fromhex("8ab72d6f4cc5ac0d387eaf463378ddb28edd07385b1cb01250c715982e7ad48f")
    message, following = ratchet._chain_step(seed)
    assert following.hex() == "28e8f8fee54b801eef7c5cfb2f17f32c7b334485bbb70fac6ec10342a246d15d"
    keys = hkdf_by_definition(message, bytes(32), b"WhisperMessageKeys", 80)
    assert keys[:32].hex() == "bf51e9d75e0e31031051f82a2491ffc084fa298b7793bd9db620056febf45217"


def test_the_labels_of_the_key_schedule() -> None:
    root, ikm = bytes(range(32)), bytes(range(64))
    keys = hkdf_by_definition(ikm, root, b"p2pchat/1 dr root", 96)
    assert ratchet._turn_keys(root, ikm) == (keys[:32], keys[32:64], keys[64:])
    assert ratchet._message_key(root) == hkdf_by_definition(root, bytes(32), b"p2pchat/1 dr msg", 32)


# --- what opens --------------------------------------------------------------------------------------------------


def test_a_conversation() -> None:
    alice, bob = two()
    for text in (b"", b"a", b"x" * 5000):
        assert bob.receive(alice.send(text)) == text
    turn(bob, alice, 5)
    assert alice.skipped == bob.skipped == {}


def test_a_receiver_must_hear_before_it_speaks() -> None:
    alice, bob = two()
    assert not ratchet.can_send(bob.state)
    with pytest.raises(ValueError, match="cannot send"):
        bob.send(b"")
    bob.receive(alice.send(b""))
    assert ratchet.can_send(bob.state)


def test_reordered_within_a_chain() -> None:
    alice, bob = two()
    sent = [alice.send(bytes([number])) for number in range(10)]
    for number in (7, 2, 9, 0, 1, 8, 3, 6, 5, 4):
        assert bob.receive(sent[number]) == bytes([number])
    assert bob.skipped == {}


def test_late_messages_of_earlier_chains() -> None:
    alice, bob = talking()
    late = []
    for number in range(OLD_CHAINS):
        late.append(alice.send(bytes([number])))
        turn(alice, bob, 1)
    assert len(bob.skipped) == OLD_CHAINS
    for number in (3, 0, 4, 1, 2):
        bob.restart()
        assert bob.receive(late[number]) == bytes([number])
        bob.refuses(late[number])
    assert bob.skipped == {}


def test_header_keys_of_five_earlier_chains_are_kept() -> None:
    alice, bob = talking()
    late = alice.send(b"late")
    turn(alice, bob, OLD_CHAINS)
    assert bob.open(late).plaintext == b"late"
    turn(alice, bob, 1)
    assert bob.open(late).plaintext == b"late"
    turn(alice, bob, 1)
    bob.refuses(late)
    assert len(bob.state.old_headers) == OLD_CHAINS


def test_lost_messages_hold_nothing_up() -> None:
    alice, bob = talking()
    for _ in range(3):
        alice.send(b"lost")
    assert bob.receive(alice.send(b"seen")) == b"seen"
    alice.send(b"lost at the end of its chain")
    turn(bob, alice, 1)
    assert bob.receive(alice.send(b"next chain")) == b"next chain"
    assert len(bob.skipped) == 4


def test_sealed_text_grows_by_a_fixed_amount() -> None:
    alice, bob = talking()
    for side, other in ((alice, bob), (bob, alice)):
        for length in (0, 1, 1000):
            sealed = side.send(bytes(length))
            assert len(sealed) == length + 2430
            other.receive(sealed)
    first, _ = two("fresh")
    assert len(first.send(b"")) == 2430, "the first chain, which has no KEM ciphertext, looks like any other"


# --- what does not -----------------------------------------------------------------------------------------------


def test_nothing_opens_twice() -> None:
    alice, bob = two()
    sent = [alice.send(b"x") for _ in range(3)]
    for number in (2, 0, 1):
        bob.receive(sent[number])
        bob.refuses(sent[number])
    turn(bob, alice, 2)
    for sealed in sent:
        bob.restart()
        bob.refuses(sealed)


@given(st.integers(0), st.integers(0, 3))
def test_a_flipped_bit_is_refused_in_every_state(bit: int, turns: int) -> None:
    alice, bob = two()
    if turns:
        bob.receive(alice.send(b""))
        turn(bob, alice, turns - 1)
    skipped = alice.send(b"skipped")
    next_one = alice.send(b"next")
    bob.refuses(flipped(next_one, bit))
    assert bob.receive(next_one) == b"next"
    bob.refuses(flipped(skipped, bit))
    assert bob.receive(skipped) == b"skipped"


def test_parts_of_two_messages_do_not_make_a_third() -> None:
    alice, bob = talking()
    one, two_ = alice.send(b"one"), alice.send(b"two")
    bob.refuses(one[:HEADER_BYTES] + two_[HEADER_BYTES:])
    bob.refuses(two_[:HEADER_BYTES] + one[HEADER_BYTES:])
    bob.refuses(one + b"\0")
    bob.refuses(one[:-1])
    assert bob.receive(two_) == b"two"
    assert bob.receive(one) == b"one"


def test_a_message_does_not_come_back() -> None:
    alice, bob = talking()
    for _ in range(2):
        alice.refuses(alice.send(b"mirror"))
        bob.refuses(bob.send(b"mirror"))
        turn(alice, bob, 1)


def test_another_transcript_opens_nothing() -> None:
    alice, bob = talking()
    sealed = alice.send(b"x")
    with pytest.raises(CannotOpen):
        ratchet.decrypt(bob.state, sealed, b"another", nothing, bob.chance.entropy)
    assert bob.receive(sealed) == b"x"


@pytest.mark.parametrize("length", [0, 1, 2389, 2390, 2391, 2429, 2430, 4096])
def test_bytes_of_strangers_are_refused(length: int) -> None:
    alice, bob = talking()
    for side in (alice, bob, two()[1]):
        side.refuses(Chance("stranger").random(length))
        side.refuses(bytes(length))


def test_strangers_cannot_make_us_derive_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = talking()
    derived = []
    honest = ratchet._chain_step

    def counted(key: bytes) -> tuple[bytes, bytes]:
        derived.append(key)
        return honest(key)

    monkeypatch.setattr(ratchet, "_chain_step", counted)
    ahead(alice, 1000)
    sealed = alice.send(b"x")
    derived.clear()
    bob.refuses(flipped(sealed, 500))
    bob.refuses(Chance("stranger").random(4096))
    assert derived == []
    bob.receive(sealed)
    assert len(derived) == 1001


# --- limits ------------------------------------------------------------------------------------------------------


def test_the_longest_jump() -> None:
    alice, bob = talking()
    early = alice.send(b"early")
    ahead(alice, MAX_SKIPPED - 1)
    assert bob.receive(alice.send(b"far")) == b"far"
    assert len(bob.skipped) == MAX_SKIPPED
    assert bob.receive(early) == b"early"


def test_a_longer_jump_is_refused_and_wedges_nothing() -> None:
    alice, bob = talking()
    early = alice.send(b"early")
    ahead(alice, MAX_SKIPPED)
    too_far = alice.send(b"too far")
    bob.refuses(too_far)
    assert bob.receive(early) == b"early"
    assert bob.receive(too_far) == b"too far", "what came in between brings it into reach"
    turn(bob, alice, 2)


def test_a_jump_over_the_end_of_a_chain() -> None:
    alice, bob = talking()
    bob.receive(alice.send(b""))
    early = alice.send(b"early")
    ahead(alice, MAX_SKIPPED)
    alice.receive(bob.send(b"turn"))
    assert alice.state.sent_before == MAX_SKIPPED + 2
    next_chain = alice.send(b"next chain")
    bob.refuses(next_chain)
    assert bob.receive(early) == b"early"
    assert bob.receive(next_chain) == b"next chain"
    assert len(bob.skipped) == MAX_SKIPPED


def test_both_jumps_at_once_are_each_within_the_limit() -> None:
    alice, bob = talking()
    bob.receive(alice.send(b""))
    ahead(alice, MAX_SKIPPED)
    alice.receive(bob.send(b"turn"))
    ahead(alice, MAX_SKIPPED)
    assert bob.receive(alice.send(b"far")) == b"far"
    assert len(bob.skipped) == 2 * MAX_SKIPPED, "the store keeps the newest 20,000"


# --- what a malicious contact may put under a right header key ---------------------------------------------------


def crafted(side: Side, pack: Callable[[list[Any]], bytes], *, new_chain: bool) -> bytes:
    """An envelope with any header, sealed under the key that the other side tries."""
    key = side.state.next_header_out if new_chain else side.state.header_out
    assert key is not None
    assert side.state.kem is not None
    fields = [side.state.public, 0, 0, side.state.kem.public, side.state.kem_ciphertext]
    packed = pack(fields)
    plain = packed + bytes(max(HEADER_PLAIN - len(packed), 0))
    return prim.seal(key, plain, AD, side.chance.random(24)) + side.chance.random(100)


def changed(at: int, value: Any) -> Callable[[list[Any]], bytes]:
    def pack(fields: list[Any]) -> bytes:
        fields[at] = value
        return encode(fields)

    return pack


SHORT = HEADER_PLAIN - 1
HEADERS: dict[str, Callable[[list[Any]], bytes]] = {
    "as it should be, with a forged body": encode,
    "short key": changed(0, bytes(31)),
    "key that is text": changed(0, "x" * 32),
    "negative count": changed(1, -1),
    "count too large": changed(1, 1 << 32),
    "number too large": changed(2, 1 << 32),
    "number that jumps too far": changed(2, MAX_SKIPPED + 1),
    "largest number": changed(2, (1 << 32) - 1),
    "largest count": changed(1, (1 << 32) - 1),
    "number as a boolean": changed(2, True),
    "short KEM key": changed(3, bytes(1183)),
    "KEM key that is not canonical": changed(3, b"\xff" * 1184),
    "no KEM key": changed(3, None),
    "no KEM ciphertext": changed(4, None),
    "short KEM ciphertext": changed(4, bytes(1087)),
    "one field less": lambda fields: encode(fields[:-1]),
    "one field more": lambda fields: encode([*fields, 0]),
    "nothing": lambda fields: b"",
    "zeros": lambda fields: bytes(HEADER_PLAIN),
    "0xff": lambda fields: b"\xff" * HEADER_PLAIN,
    "0xce": lambda fields: b"\xce" * HEADER_PLAIN,
    "0xc0": lambda fields: b"\xc0" * HEADER_PLAIN,
    "a byte in the padding": lambda fields: encode(fields).ljust(SHORT, b"\0") + b"\1",
    "a byte right after the fields": lambda fields: encode(fields) + b"\1",
    "number in a longer form": lambda fields: encode(fields).replace(b"\0\0\xc5\x04\xa0", b"\0\xcc\0\xc5\x04\xa0", 1),
    "key in a longer form": lambda fields: encode(fields).replace(b"\x95\xc4\x20", b"\x95\xc5\0\x20", 1),
    "a map": lambda fields: encode({1: 2}),
    "too long": lambda fields: encode(fields) + bytes(100),
    "too short": lambda fields: bytes(100),
} | {f"low order {point[:8]}…{point[-2:]}": changed(0, bytes.fromhex(point)) for point in LOW_ORDER_X}


# well formed: what is wrong with them shows only when they are followed
FOLLOWED = {
    name for name in HEADERS if name.startswith(("as it", "number that", "largest", "KEM key that", "no KEM c"))
}
FOLLOWED |= {name for name in HEADERS if name.startswith("low order")}


@pytest.mark.parametrize("case", sorted(HEADERS.keys() - FOLLOWED - {"too long", "too short"}))
def test_a_malformed_header_is_refused_by_itself(case: str) -> None:
    fields = [bytes(32), 0, 0, bytes(1184), bytes(1088)]
    packed = HEADERS[case](fields)
    with pytest.raises(CannotOpen):
        ratchet._parse_header(packed + bytes(HEADER_PLAIN - len(packed)))


def follow(side: Side, header: ratchet._Header) -> None:
    turned, _ = ratchet._turn(side.state, header, side.chance.entropy)
    ratchet._skip(turned, header.number)


@pytest.mark.parametrize("case", sorted(FOLLOWED - {"as it should be, with a forged body"}))
def test_a_malicious_header_is_not_followed_into_a_turn(case: str) -> None:
    alice, bob = talking()
    bob.receive(alice.send(b""))
    assert alice.state.kem is not None
    fields = [alice.state.public, 0, 0, alice.state.kem.public, alice.state.kem_ciphertext]
    packed = HEADERS[case](fields)
    header = ratchet._parse_header(packed + bytes(HEADER_PLAIN - len(packed)))
    with pytest.raises(CannotOpen):
        follow(bob, header)


@pytest.mark.parametrize("new_chain", [False, True])
@pytest.mark.parametrize("case", HEADERS)
def test_a_malicious_header_is_refused(case: str, new_chain: bool) -> None:
    alice, bob = talking()
    bob.refuses(crafted(alice, HEADERS[case], new_chain=new_chain))
    assert bob.receive(alice.send(b"next")) == b"next"
    turn(bob, alice, 1)


def test_a_malicious_header_may_be_of_the_wrong_size() -> None:
    alice, bob = talking()
    assert alice.state.header_out is not None
    for size in (0, 1, HEADER_PLAIN - 1):
        bob.refuses(prim.seal(alice.state.header_out, bytes(size), AD, bytes(24)) + bytes(100))


def test_a_kem_ciphertext_in_the_first_chain_is_refused() -> None:
    alice, bob = two()
    assert alice.state.kem is not None
    ciphertext, _ = prim.kem_encapsulate(alice.state.kem.public)
    honest = alice.state
    alice.state = replace(honest, kem_ciphertext=ciphertext)
    bob.refuses(alice.send(b"x"))
    alice.state = honest
    assert bob.receive(alice.send(b"x")) == b"x"


def test_nobody_falls_back_to_the_classical_ratchet() -> None:
    """A contact's program leaves the KEM out of a turn, in all its computing: ours does not follow."""
    alice, bob = talking()
    bob.receive(alice.send(b""))
    sealed = bob.send(b"x")
    classical = prim.Entropy(alice.chance.random, lambda public: (b"", prim.ZERO_KEY))
    opened = ratchet.decrypt(alice.state, sealed, AD, nothing, classical)
    stripped = Side(replace(opened.state, kem_ciphertext=None), "stripped")
    bob.refuses(stripped.send(b"no longer hybrid"))
    alice.receive(sealed)
    assert bob.receive(alice.send(b"hybrid")) == b"hybrid"


def test_a_ciphertext_that_ends_in_zeros_is_not_taken_for_padding() -> None:
    fields = [bytes(32), 0, 0, bytes(1184), b"\1" + bytes(1087)]
    packed = encode(fields)
    header = ratchet._parse_header(packed + bytes(HEADER_PLAIN - len(packed)))
    assert header.kem_ciphertext == b"\1" + bytes(1087)


@pytest.mark.parametrize("before", [0, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1])
@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1])
def test_headers_of_any_number_fit(before: int, number: int) -> None:
    for ciphertext in (None, bytes(1088)):
        fields = [bytes(32), before, number, bytes(1184), ciphertext]
        packed = encode(fields)
        assert len(packed) <= HEADER_PLAIN
        header = ratchet._parse_header(packed + bytes(HEADER_PLAIN - len(packed)))
        assert (header.before, header.number, header.kem_ciphertext) == (before, number, ciphertext)


# --- secrets in the turn -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["root", "private", "kem"])
def test_each_turn_needs_every_secret(part: str) -> None:
    alice, bob = talking()
    bob.receive(alice.send(b""))
    sealed = bob.send(b"x")
    other: Any = prim.KemKey(bytes(64)) if part == "kem" else bytes(range(32))
    honest = alice.state
    alice.state = replace(honest, **{part: other})
    # the header opens, since its key is older; the body does not
    alice.refuses(sealed)
    alice.state = honest
    assert alice.receive(sealed) == b"x"


def test_a_stolen_state_is_healed_by_one_round_trip() -> None:
    alice, bob = talking()
    bob.receive(alice.send(b""))
    thief = Side(ratchet.load(ratchet.dump(alice.state)), "thief")
    seen = bob.send(b"the thief reads this")
    assert thief.receive(seen) == alice.receive(seen)
    turn(alice, bob, 1)
    for _ in range(2):
        thief.refuses(bob.send(b"and this no more"))
        turn(alice, bob, 1)


def test_a_restored_state_repeats_keys_but_no_keystream() -> None:
    """Attack 7: two programs go on from one copy. The random nonces keep the two texts apart."""
    alice, bob = talking()
    copy = Side(ratchet.load(ratchet.dump(alice.state)), "the other program")
    one, two_ = alice.send(bytes(64)), copy.send(b"\xff" * 64)
    assert one[:24] != two_[:24]
    assert one[HEADER_BYTES : HEADER_BYTES + 24] != two_[HEADER_BYTES : HEADER_BYTES + 24]
    mixed = bytes(a ^ b for a, b in zip(one[HEADER_BYTES + 24 : -16], two_[HEADER_BYTES + 24 : -16], strict=True))
    assert mixed != b"\xff" * 64
    assert bob.receive(one) == bytes(64)
    bob.refuses(two_)


# --- at rest -----------------------------------------------------------------------------------------------------


def test_a_state_comes_back_from_the_store() -> None:
    alice, bob = two()
    states = [alice.state, bob.state]
    bob.receive(alice.send(b""))
    states += [alice.state, bob.state]
    for _ in range(OLD_CHAINS + 2):
        turn(bob, alice, 1)
        states += [alice.state, bob.state]
    for state in states:
        dumped = ratchet.dump(state)
        back = ratchet.load(dumped)
        assert back == state
        assert ratchet.dump(back) == dumped
        assert len(dumped) <= 2000


def test_a_damaged_state_is_refused() -> None:
    with pytest.raises(CannotOpen):
        ratchet.load_seal(bytes(ratchet.SEAL_BYTES - 1))
    with pytest.raises(CannotOpen):
        ratchet.load_chain(ratchet.dump_chain(ratchet.sending_chain(talking()[0].state)) + b"\0")
    dumped = ratchet.dump(talking()[0].state)
    fields = decode(dumped, 8192)
    wrong = [b"", b"\x90", dumped[:-1], dumped + b"\0", encode([*fields, 0]), encode(fields[:-1])]
    for at, value in (
        (0, bytes(31)),
        (2, bytes(63)),
        (3, bytes(1087)),
        (7, -1),
        (7, 1 << 32),
        (12, None),
        (15, None),
        *((at, None) for at in (2, 5, 6, 10, 11)),
    ):
        wrong.append(encode([*fields[:at], value, *fields[at + 1 :]]))
    for data in wrong:
        with pytest.raises(CannotOpen):
            ratchet.load(data)
