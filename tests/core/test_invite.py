"""Invites: small enough to show, and damage is noticed at every letter."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import invite
from p2pchat.core.codec import U32, encode
from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import (
    ONE_TIME,
    REUSABLE,
    ROLE_RELAY,
    Invite,
    InviteWay,
    decode_invite,
    encode_invite,
    from_text,
    join_tag,
    new_secret,
    read_invite,
    to_text,
)
from p2pchat.core.primitives import sign_public
from p2pchat.errors import BadInvite, CannotOpen
from tests.core.people import Chance, flipped

IPV4 = bytes.fromhex("04c0000201060fa1")  # /ip4/192.0.2.1/tcp/4001 as multiaddr packs it
WAY = InviteWay(PeerKey(bytes(range(32))), IPV4, 0)
SMALL = Invite(ONE_TIME, b"\xaa" * 32, b"\xbb" * 16, 1_800_000_000, (WAY,), None)


def signed(fields: list[object]) -> bytes:
    """The bytes of any fields, with a right checksum."""
    unchecked = encode([*fields, bytes(4)])[:-4]
    return unchecked + invite.check_bytes(unchecked)


def fields_of(one: Invite) -> list[object]:
    ways = [[way.peer, way.address, way.role, *([way.token] if way.token else [])] for way in one.ways]
    return [1, one.kind, one.digest, one.secret, one.expires_at, ways, one.name, *([one.writer] if one.writer else [])]


def test_a_small_invite_fits_a_terminal() -> None:
    data = encode_invite(replace(SMALL, expires_at=U32))
    assert len(data) <= 116
    assert len(to_text(data)) <= 195
    assert set(to_text(data)) <= set(string.ascii_uppercase + string.digits + ":"), "what an alphanumeric QR holds"


KEYS, ADDRESSES = st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=192)
WAYS = st.builds(InviteWay, KEYS, ADDRESSES, st.integers(0, 255)) | st.builds(
    InviteWay, KEYS, ADDRESSES, st.just(ROLE_RELAY), st.binary(max_size=64)
)
INVITES = st.builds(
    Invite,
    st.just(ONE_TIME),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
    st.integers(0, U32),
    st.lists(WAYS, max_size=3).map(tuple),
    st.none() | st.sampled_from(["Alice", "مریم", "x" * 32]),
) | st.builds(
    Invite,
    st.just(REUSABLE),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.integers(0, U32),
    st.lists(WAYS, max_size=3).map(tuple),
    st.none(),
)


@given(INVITES)
def test_what_is_written_is_read(one: Invite) -> None:
    data = encode_invite(one)
    assert decode_invite(data) == one
    assert read_invite(to_text(data)) == (one, data)


def test_a_box_has_a_writer_only_where_there_is_a_relay() -> None:
    by_relay = replace(SMALL, ways=(replace(WAY, role=ROLE_RELAY),), writer=b"\xdd" * 32)
    assert decode_invite(encode_invite(by_relay)) == by_relay
    for refused in (replace(SMALL, writer=b"\xdd" * 32), replace(by_relay, writer=b"\xdd" * 31)):
        with pytest.raises(CannotOpen):
            decode_invite(encode_invite(refused))


def test_what_lies_in_a_box_is_signed_as_a_whole_and_for_one_invite() -> None:
    seed, other = b"\1" * 32, b"\2" * 32
    signed_box = (b"an invite", b"a bundle", b"a fetch key")
    signature = invite.sign_box(seed, *signed_box)
    invite.check_box(sign_public(seed), *signed_box, signature)
    for changed in range(3):
        parts = [*signed_box]
        parts[changed] += b"!"
        with pytest.raises(CannotOpen):
            invite.check_box(sign_public(seed), parts[0], parts[1], parts[2], signature)
    with pytest.raises(CannotOpen):
        invite.check_box(sign_public(other), *signed_box, signature)


def test_white_space_and_case_do_not_matter() -> None:
    data = encode_invite(SMALL)
    text = to_text(data)
    wrapped = "\n".join(text[start : start + 40] for start in range(0, len(text), 40))
    for written in (text.lower(), f"  {text}\r\n", wrapped, " ".join(text)):
        assert read_invite(written) == (SMALL, data)


def test_every_damaged_letter_is_noticed() -> None:
    text = to_text(encode_invite(SMALL))
    letters = string.ascii_uppercase + "234567"
    for at in range(len(text)):
        for letter in letters:
            if letter != text[at]:
                with pytest.raises(BadInvite):
                    read_invite(text[:at] + letter + text[at + 1 :])


def test_missing_doubled_and_swapped_letters_are_noticed() -> None:
    text = to_text(encode_invite(SMALL))
    for at in range(len(text)):
        damaged = [text[:at], text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]]
        swapped = text[:at] + text[at : at + 2][::-1] + text[at + 2 :]
        if swapped != text:
            damaged.append(swapped)
        for written in damaged:
            if text not in written:  # whole, with something before it or behind it
                with pytest.raises(BadInvite):
                    read_invite(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "P2PCHAT:",
        "p2pchat:",
        "hello",
        "P2PCHAT:A",
        "P2PCHAT:AA======",
        "P2PCHAT:AB",  # stray bits in the last letter
        "P2PCHAT:0189",
        "P2PCHAT:" + "A" * 100_000,
        "P2PCHAT:\u0410\u0410",
        "P2PCHAT:" + "\u0131" * 8,  # a dotless i is an I in upper case
        "HTTPS://EXAMPLE.ORG",
        "\0",
        "\ud800",
    ],
)
def test_other_text_is_no_invite(written: str) -> None:
    with pytest.raises(BadInvite):
        read_invite(written)


@pytest.mark.parametrize(
    "around",
    ["{}=", "This is it: {} see you soon", "│ {} │", "{}\n\nAnna, 08:30", "> {}\n> bye", "{}" + " again" * 500],
)
def test_what_stands_around_an_invite_is_left_out(around: str) -> None:
    data = encode_invite(SMALL)
    assert from_text(around.format(to_text(data).lower())) == data
    with pytest.raises(BadInvite):
        from_text(around.format(to_text(flipped(data, 9))))


@given(st.integers(0))
def test_every_flipped_bit_is_noticed(bit: int) -> None:
    with pytest.raises(CannotOpen):
        decode_invite(flipped(encode_invite(SMALL), bit))


WRONG: dict[str, list[object]] = {
    "another version": [2, *fields_of(SMALL)[1:]],
    "a group": [1, 2, *fields_of(SMALL)[2:]],
    "a short digest": [*fields_of(SMALL)[:2], b"\xaa" * 31, *fields_of(SMALL)[3:]],
    "a short secret": [*fields_of(SMALL)[:3], b"\xbb" * 15, *fields_of(SMALL)[4:]],
    "the secret of a reusable one": [*fields_of(SMALL)[:3], b"\xbb" * 32, *fields_of(SMALL)[4:]],
    "the secret of a one-time one": [1, REUSABLE, *fields_of(SMALL)[2:]],
    "an expiry after 2106": [*fields_of(SMALL)[:4], U32 + 1, *fields_of(SMALL)[5:]],
    "a token for a node": [*fields_of(SMALL)[:5], [[bytes(32), IPV4, 0, b"word"]], None],
    "an empty token": [*fields_of(SMALL)[:5], [[bytes(32), IPV4, 1, b""]], None],
    "four ways": [*fields_of(SMALL)[:5], [[bytes(32), IPV4, 0]] * 4, None],
    "a way without address": [*fields_of(SMALL)[:5], [[bytes(32), b"", 0]], None],
    "a long address": [*fields_of(SMALL)[:5], [[bytes(32), bytes(193), 0]], None],
    "a short peer": [*fields_of(SMALL)[:5], [[bytes(31), IPV4, 0]], None],
    "a long name": [*fields_of(SMALL)[:6], "x" * 33],
    "a name in bytes": [*fields_of(SMALL)[:6], b"x"],
    "one field more": [*fields_of(SMALL), 0],
    "one field less": fields_of(SMALL)[:-1],
}


@pytest.mark.parametrize("case", WRONG)
def test_a_right_checksum_excuses_nothing(case: str) -> None:
    with pytest.raises(CannotOpen):
        decode_invite(signed(WRONG[case]))


def test_the_cases_above_fail_for_their_own_reason() -> None:
    assert decode_invite(signed(fields_of(SMALL))) == SMALL


def test_the_name_is_cleaned() -> None:
    assert decode_invite(encode_invite(replace(SMALL, name="\x1b[1mAl\u202eice"))).name == "[1mAlice"
    assert decode_invite(encode_invite(replace(SMALL, name="\u202e\u3164"))).name is None


def test_secrets_have_the_length_of_their_kind() -> None:
    chance = Chance("secret")
    assert len(new_secret(ONE_TIME, chance.random)) == 16
    assert len(new_secret(REUSABLE, chance.random)) == 32


# --- keys and tags -----------------------------------------------------------------------------------------------


def test_one_secret_gives_keys_that_differ() -> None:
    assert len({invite.blob_key(b"\xbb" * 16), invite.hello_key(b"\xbb" * 16), invite.blob_key(b"\xbb" * 32)}) == 3


def test_a_join_tag_is_for_one_role_and_two_peers() -> None:
    key, one, other, third = bytes(32), b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
    tag = join_tag(key, "join", PeerKey(one), PeerKey(other))
    assert len(tag) == 16
    assert tag == join_tag(key, "join", PeerKey(other), PeerKey(one)), "both ends compute it"
    assert tag != join_tag(key, "offer", PeerKey(one), PeerKey(other)), "a mirror proves nothing"
    assert tag != join_tag(key, "join", PeerKey(one), PeerKey(third)), "it cannot be carried to another connection"
    assert tag != join_tag(flipped(key, 0), "join", PeerKey(one), PeerKey(other))


def test_an_invite_is_recognised_without_its_secret() -> None:
    data = encode_invite(SMALL)
    assert len(invite.invite_id(data)) == 8
    assert invite.invite_id(data) != invite.invite_id(encode_invite(replace(SMALL, secret=bytes(16))))


def test_an_invite_does_not_show_its_secret() -> None:
    assert "bb" * 4 not in repr(SMALL)
    assert repr(SMALL.secret) not in repr(SMALL)
