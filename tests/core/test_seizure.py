"""What a seized state opens, and what an envelope shows to whoever records it.

The thief has everything a profile holds at that moment, and every envelope that ever went by. Nothing read before
opens. What stays open, by design:
* headers (counters and public keys, no content) of our current sending chain, our current receiving chain and the five
  receiving chains before it;
* messages that have not arrived yet: their keys are put aside for them;
* with the prekeys of a reusable invite still held, the first message and the sender's first chain after it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import pytest

from p2pchat.core import handshake, ratchet
from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode
from p2pchat.core.envelope import BUCKETS, HEADER_BYTES, seal_blob
from p2pchat.core.identity import Device
from p2pchat.core.prekeys import PrekeySet
from p2pchat.core.ratchet import OLD_CHAINS, Ratchet
from p2pchat.errors import CannotOpen
from tests.core.people import Chance, Meeting, Person, meet, nothing

ROUNDS = 9


@dataclass(frozen=True)
class Recorded:
    """One envelope as the wire had it."""

    sender: str
    round: int
    envelope: bytes


def talk(both: Meeting, rounds: int = ROUNDS) -> list[Recorded]:
    """Two messages each way a round, all of them read."""
    wire = []
    for number in range(rounds):
        for name, one, other in (("alice", both.alice, both.bob), ("bob", both.bob, both.alice)):
            for _ in range(2):
                wire.append(Recorded(name, number, one.seal(b"a secret")))
                assert other.open(wire[-1].envelope) == b"a secret"
    return wire


def secrets_of(person: Person) -> set[bytes]:
    """Every 32 bytes in what is stored: state, shared secrets, device keys, skipped keys."""
    found = {
        person.device.identity_seed,
        person.device.device_private,
        person.live.pair_root,
        person.live.sas,
        person.live.session_id,
        *person.skipped.values(),
    }

    def walk(value: object) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, bytes) and len(value) in (32, 64):
            found.update({value[:32], value[-32:]})

    walk(decode(ratchet.dump(person.live.ratchet), 8192))
    return found


def keys_from(secrets: set[bytes]) -> set[bytes]:
    """Body keys that any of the secrets gives: taken as a body key, a message key, or a chain key and 40 steps on."""
    keys = set(secrets)
    for secret in secrets:
        keys.add(ratchet._message_key(secret))
        chain = secret
        for _ in range(40):
            message, chain = ratchet._chain_step(chain)
            keys.add(ratchet._message_key(message))
    return keys


def opens(key: bytes, sealed: bytes, ad: bytes) -> bool:
    try:
        prim.open_sealed(key, sealed, ad)
    except CannotOpen:
        return False
    return True


def bodies_opened(person: Person, wire: list[Recorded]) -> list[Recorded]:
    """What the person's secrets open by the code's own way, and by brute force."""
    keys = keys_from(secrets_of(person))
    opened = []
    for one in wire:
        header, body = one.envelope[:HEADER_BYTES], one.envelope[HEADER_BYTES:]
        if any(opens(key, body, person.live.session_id + header) for key in keys):
            opened.append(one)
            continue
        try:
            ratchet.decrypt(
                person.live.ratchet, one.envelope, person.live.session_id, person.find, person.chance.entropy
            )
        except CannotOpen:
            continue
        opened.append(one)
    return opened


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_seized_state_opens_nothing_that_was_read(who: str) -> None:
    both = meet("seized")
    wire = talk(both)
    assert bodies_opened(getattr(both, who), wire) == []


def test_the_search_finds_what_is_there() -> None:
    """The same search, by one who took the state before: all that followed in its chains opens, by keys alone."""
    both = meet("control")
    talk(both, 2)
    thief = replace(both.bob, skipped={})
    late = [Recorded("alice", 0, both.alice.seal(b"late")) for _ in range(3)]
    assert bodies_opened(thief, late[:1]) == late[:1]
    for one in late:
        both.bob.open(one.envelope)
    chain = [Recorded("alice", 0, both.alice.seal(b"later")) for _ in range(3)]
    keys = keys_from(secrets_of(both.bob))
    for one in chain:
        header, body = one.envelope[:HEADER_BYTES], one.envelope[HEADER_BYTES:]
        assert any(opens(key, body, both.bob.live.session_id + header) for key in keys)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_the_headers_that_stay_open_are_known(who: str) -> None:
    both = meet("headers")
    wire = talk(both)
    person: Person = getattr(both, who)
    secrets = secrets_of(person)
    opened = {
        (one.sender, one.round)
        for one in wire
        if any(opens(secret, one.envelope[:HEADER_BYTES], person.live.session_id) for secret in secrets)
    }
    other = "bob" if who == "alice" else "alice"
    received = {(other, number) for number in range(ROUNDS - OLD_CHAINS - 1, ROUNDS)}
    # bob's last message made alice draw new keys, with which nothing was sent yet
    sent = set() if who == "alice" else {("bob", ROUNDS - 1)}
    assert opened == received | sent


def test_skipped_keys_open_what_is_still_missing_and_no_more() -> None:
    both = meet("missing")
    wire = talk(both, 2)
    missing = Recorded("alice", 2, both.alice.seal(b"missing"))
    wire += talk(both, 2)
    assert bodies_opened(both.bob, [*wire, missing]) == [missing]
    both.bob.open(missing.envelope)
    assert bodies_opened(both.bob, [*wire, missing]) == []


# --- the first message -------------------------------------------------------------------------------------------


def first_opens(me: Device, prekeys: PrekeySet, message: bytes) -> bool:
    try:
        handshake.respond(me, prekeys, handshake.parse(message), Chance("thief").entropy)
    except CannotOpen:
        return False
    return True


def test_a_first_message_to_a_one_time_invite_stays_closed() -> None:
    """The set is deleted with its use. The thief has all else, and puts whatever he finds in the missing places."""
    both = meet("first")
    talk(both, 2)
    assert first_opens(both.bob.device, both.prekeys, both.initial), "as long as the set is held"
    # nothing is added by knowing every secret that is left
    left = sorted(secrets_of(both.bob))
    seed = both.bob.live.ratchet.kem
    assert seed is not None
    for spk, opk in product(left, repeat=2):
        guess = replace(both.prekeys, spk=spk, opk=opk, kpk_seed=seed.seed, okpk_seed=seed.seed)
        assert not first_opens(both.bob.device, guess, both.initial)
    # and one of its one-time keys alone being gone is enough
    assert both.prekeys.opk is not None
    assert both.prekeys.okpk_seed is not None
    assert not first_opens(both.bob.device, replace(both.prekeys, opk=bytes(range(32))), both.initial)
    assert not first_opens(both.bob.device, replace(both.prekeys, okpk_seed=bytes(64)), both.initial)


def test_the_writer_of_a_first_message_cannot_open_it_again() -> None:
    both = meet("writer")
    fields = decode(both.initial, BUCKETS[-1])
    header, body = fields[12], fields[13]
    keys = keys_from(secrets_of(both.alice))
    assert not any(opens(key, body, both.alice.live.session_id + header) for key in keys)
    assert both.alice.live.ratchet.root not in (both.bob.live.ratchet.root, both.alice.live.pair_root)


def test_what_a_reusable_invite_leaves_open() -> None:
    """Its prekeys are held on: first message and first chain open to the thief, up to the first answer."""
    both = meet("reusable", one_time=False)
    first_chain = [both.alice.seal(b"before the answer") for _ in range(3)]
    for envelope in first_chain:
        both.bob.open(envelope)
    both.alice.open(both.bob.seal(b"the answer"))
    after = talk(both, 2)
    stolen, content = handshake.respond(
        both.bob.device, both.prekeys, handshake.parse(both.initial), Chance("thief").entropy
    )
    assert content == b"hello"
    state: Ratchet = stolen.ratchet
    for envelope in first_chain:
        opened = ratchet.decrypt(state, envelope, stolen.session_id, nothing, Chance("thief").entropy)
        assert prim.unpad(opened.plaintext) == b"before the answer"
        state = opened.state
    thief = replace(both.bob, session=replace(stolen, ratchet=state), skipped={})
    assert bodies_opened(thief, after) == []
    assert bodies_opened(both.bob, after) == []


# --- what the wire shows -----------------------------------------------------------------------------------------


def recorded_envelopes() -> tuple[list[bytes], list[bytes]]:
    """(200 small envelopes of first and later chains in both directions, 60 sealed first messages)."""
    both = meet("wire")
    seen = []
    for _ in range(50):  # alice's first chain, which has no KEM ciphertext
        seen.append(both.alice.seal(b"the same words"))
        both.bob.open(seen[-1])
    for _ in range(15):
        for one, other in ((both.bob, both.alice), (both.alice, both.bob)):
            for _ in range(5):
                seen.append(one.seal(b"the same words"))
                other.open(seen[-1])
    chance = Chance("seal")
    firsts = [seal_blob(bytes(32), meet(f"{number}").initial, chance.random) for number in range(60)]
    return seen, firsts


def test_envelopes_look_random() -> None:
    for envelopes in recorded_envelopes():
        assert {len(one) for one in envelopes} == {BUCKETS[0]}
        count = len(envelopes)
        # at each position the bytes vary as dice do: of `count` throws about 256·(1-e^(-count/256)) sides are seen
        for at in range(BUCKETS[0]):
            assert len({one[at] for one in envelopes}) > count * 0.5
        # and over all positions each value comes about as often: 8 standard deviations
        total = count * BUCKETS[0]
        joined = b"".join(envelopes)
        for value in range(256):
            assert abs(joined.count(value) - total / 256) < 8 * (total / 256) ** 0.5
        # no two share anything longer than chance allows, wherever it stands
        pieces = [one[at : at + 8] for one in envelopes for at in range(0, BUCKETS[0], 8)]
        assert len(set(pieces)) == len(pieces)


def test_two_envelopes_of_the_same_words_have_nothing_in_common() -> None:
    both = meet("twice")
    one, two = both.alice.seal(b"same"), both.alice.seal(b"same")
    equal = sum(a == b for a, b in zip(one, two, strict=True))
    assert equal < len(one) / 64


def test_no_name_or_key_is_on_the_wire() -> None:
    both = meet("names", first=b"Alice Exampleton")
    chance = Chance("seal")
    wire = seal_blob(bytes(32), both.initial, chance.random) + seal_blob(bytes(32), both.prekeys.bundle, chance.random)
    wire += b"".join(one.envelope for one in talk(both, 2))
    marks = [
        b"Alice",
        b"Exampleton",
        b"a secret",
        b"p2pchat",
        both.alice.live.session_id,
        both.bundle.spk,
        both.bundle.kpk[:32],
    ]
    for device in (both.alice.device, both.bob.device):
        marks += [device.identity, device.device, device.certificate]
    for mark in marks:
        assert mark not in wire
        assert mark[:8] not in wire


@pytest.mark.parametrize("length", [0, 1, 100, 1665, 1666, 13_953, 13_954, 48_000, 63_105])
def test_sizes_tell_the_bucket_only(length: int) -> None:
    both = meet("size")
    envelope = both.alice.seal(bytes(length))
    assert len(envelope) in BUCKETS
    assert len(envelope) == min(bucket for bucket in BUCKETS if bucket - 2430 > length)
