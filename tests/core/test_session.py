"""Sessions: which one is used, what is opened in them, and the tags that prove the pair's secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import handshake, ratchet, session
from p2pchat.core import primitives as prim
from p2pchat.core.envelope import BUCKETS, OVERHEAD
from p2pchat.core.ids import ContactId, PeerKey, SessionId
from p2pchat.core.prekeys import make_set, open_bundle
from p2pchat.core.session import Session, for_sending, hello_days, hello_tag, open_envelope, pair, renew_key, seal
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS
from tests.core.people import LATER, NOW, Chance, flipped, meet, nothing, person

ROOT, ALICE, BOB, CAROL = bytes(32), b"\x01" * 32, PeerKey(b"\x02" * 32), b"\x03" * 32
HERE, THERE = PeerKey(b"\x04" * 32), PeerKey(b"\x05" * 32)


# --- envelopes ---------------------------------------------------------------------------------------------------


def test_a_session_is_confirmed_by_the_other_sides_first_envelope() -> None:
    both = meet("confirm")
    assert not both.alice.live.confirmed
    assert both.alice.open(both.bob.seal(b"hi")) == b"hi"
    assert both.alice.live.confirmed


def test_the_old_session_is_untouched() -> None:
    both = meet("untouched")
    before = both.alice.live
    copy = ratchet.dump(before.ratchet)
    after = seal(before, b"x", both.alice.chance.random).session
    assert after is not before
    assert ratchet.dump(before.ratchet) == copy


def test_an_envelope_does_not_come_back_to_its_sender() -> None:
    both = meet("mirror")
    for _ in range(3):
        for one, other in ((both.alice, both.bob), (both.bob, both.alice)):
            envelope = one.seal(b"mirror")
            with pytest.raises(CannotOpen):
                one.open(envelope)
            assert other.open(envelope) == b"mirror"


def test_an_envelope_opens_in_its_own_session_only() -> None:
    one, other = meet("one"), meet("other")
    with pytest.raises(CannotOpen):
        other.bob.open(one.alice.seal(b"x"))


def test_a_session_with_another_name_opens_nothing() -> None:
    """`session_id` is in every header and body: the same keys under another transcript are another session."""
    both = meet("named")
    both.bob.session = replace(both.bob.live, session_id=SessionId(flipped(both.bob.live.session_id, 0)))
    with pytest.raises(CannotOpen):
        both.bob.open(both.alice.seal(b"x"))


@pytest.mark.parametrize("size", [OVERHEAD + 2, 4095, 4097, 16383, 65537])
def test_an_envelope_of_another_size_is_refused_though_its_keys_are_right(size: int) -> None:
    both = meet("size")
    state, sealed = ratchet.encrypt(
        both.alice.live.ratchet, prim.pad(b"x", size - OVERHEAD), both.alice.live.session_id, both.alice.chance.random
    )
    assert len(sealed) == size
    assert size not in BUCKETS
    with pytest.raises(CannotOpen):
        both.bob.open(sealed)
    both.alice.session = replace(both.alice.live, ratchet=state)
    assert both.bob.open(both.alice.seal(b"the next one")) == b"the next one"


def test_a_body_without_padding_is_refused_and_uses_up_no_key() -> None:
    both = meet("unpadded")
    _, sealed = ratchet.encrypt(
        both.alice.live.ratchet, bytes(4096 - OVERHEAD), both.alice.live.session_id, both.alice.chance.random
    )
    before = ratchet.dump(both.bob.live.ratchet)
    with pytest.raises(CannotOpen):
        both.bob.open(sealed)
    assert ratchet.dump(both.bob.live.ratchet) == before


# --- which session -----------------------------------------------------------------------------------------------


def test_the_smallest_living_session_that_can_send_is_used() -> None:
    base = replace(meet("choose").alice.live, confirmed=True)
    one, two, three = (replace(base, session_id=SessionId(bytes([n]) * 32)) for n in (1, 2, 3))
    assert for_sending([]) is None
    assert for_sending([three, one, two]) is one
    assert for_sending([three, replace(one, ends_at=NOW), two]) is two
    assert for_sending([replace(one, ends_at=NOW)]) is None
    unsure = replace(one, confirmed=False)
    assert for_sending([three, unsure, two]) is two, "the other side may not have that one yet"
    assert for_sending([unsure, replace(two, confirmed=False)]) is unsure


def test_a_receiver_that_has_heard_nothing_cannot_send() -> None:
    silent = ratchet.respond(bytes(32), bytes(32), bytes(32), bytes(range(32)))
    deaf = Session(
        session_id=SessionId(bytes(32)),
        initiator=False,
        pair_root=bytes(32),
        sas=bytes(32),
        ratchet=silent,
        confirmed=False,
    )
    assert for_sending([deaf]) is None
    with pytest.raises(ValueError, match="cannot send"):
        seal(deaf, b"", Chance("x").random)


def test_a_renewed_session_starts_from_nothing_old() -> None:
    both = meet("renew")
    prekeys = make_set(both.bob.device, LATER, one_time=True, random=both.bob.chance.random)
    renewed, initial = handshake.initiate(
        both.alice.device, open_bundle(prekeys.bundle), b"again", NOW, both.alice.chance.entropy
    )
    answered, _ = handshake.respond(both.bob.device, prekeys, handshake.parse(initial), both.bob.chance.entropy)
    old = both.alice.live
    assert answered.session_id == renewed.session_id != old.session_id
    assert renewed.pair_root != old.pair_root
    assert for_sending([replace(old, ends_at=NOW + session.LINGER_MS), renewed]) is renewed
    # the old one still opens what is on its way
    assert both.alice.open(both.bob.seal(b"late")) == b"late"
    assert both.bob.open(both.alice.seal(b"later")) == b"later"


# --- hello -------------------------------------------------------------------------------------------------------


def test_a_hello_tag_is_for_one_side_one_day_and_two_hosts() -> None:
    one = pair(ContactId(b"contact"), SessionId(bytes(32)), ROOT, ALICE, BOB)
    tag = hello_tag(one.ours, HERE, THERE, 20_000)
    assert len(tag) == session.HELLO
    assert tag == hello_tag(one.ours, THERE, HERE, 20_000), "both ends compute it"
    others = [
        hello_tag(one.theirs, HERE, THERE, 20_000),  # a mirror proves nothing
        hello_tag(one.ours, HERE, THERE, 20_001),
        hello_tag(one.ours, HERE, BOB, 20_000),  # it cannot be carried to another connection
        hello_tag(
            pair(ContactId(b"contact"), SessionId(bytes(32)), flipped(ROOT, 0), ALICE, BOB).ours, HERE, THERE, 20_000
        ),
    ]
    assert tag not in others
    assert len(set(others)) == 4


def test_each_side_proves_with_a_key_of_its_own() -> None:
    alices, bobs = (
        pair(ContactId(b"bob"), SessionId(bytes(32)), ROOT, ALICE, BOB),
        pair(ContactId(b"alice"), SessionId(bytes(32)), ROOT, BOB, ALICE),
    )
    assert (alices.ours, alices.theirs) == (bobs.theirs, bobs.ours)
    assert alices.ours != alices.theirs


def test_a_hello_tag_is_what_the_protocol_says() -> None:
    for mine, side in ((ALICE, b"\0"), (CAROL, b"\1")):
        key = prim.hkdf(ROOT, "presence", 32, context=side)
        expected = prim.hmac_sha256(key, b"hello" + HERE + THERE + bytes.fromhex("00004e20"))[:16]
        assert (
            hello_tag(pair(ContactId(b""), SessionId(bytes(32)), ROOT, mine, BOB).ours, THERE, HERE, 20_000) == expected
        )


@given(st.integers(0, 1 << 45), st.integers(-DAY_MS, DAY_MS))
def test_clocks_a_day_apart_still_meet(now: int, wrong: int) -> None:
    assert hello_days(max(now + wrong, 0))[0] in hello_days(now)


@given(st.integers(0, 1 << 45))
def test_every_day_is_one_a_tag_can_name(now: int) -> None:
    today, *_ = days = hello_days(now)
    assert len(set(days)) == 3
    assert today in (now // DAY_MS, 1)
    for day in days:
        hello_tag(ROOT, HERE, THERE, day)


def test_the_renew_key_is_no_other_key() -> None:
    assert renew_key(ROOT) != renew_key(flipped(ROOT, 3))
    assert renew_key(ROOT) not in (prim.hkdf(ROOT, "presence", 32, context=side) for side in (b"\0", b"\1"))


def test_nothing_secret_is_shown() -> None:
    both = meet("shown")
    received = open_envelope(both.bob.live, both.alice.seal(b"secret plan"), nothing, both.bob.chance.entropy)
    peers = pair(ContactId(b""), SessionId(bytes(32)), ROOT, ALICE, BOB)
    assert repr(peers.ours) not in repr(peers)
    for shown in (repr(received), repr(received.session), repr(received.session.ratchet), repr(person("x").device)):
        assert "secret plan" not in shown
        assert repr(received.session.pair_root) not in shown
        assert repr(received.session.ratchet.root) not in shown
        assert "device_private" not in shown
