"""What a newcomer and the member who adds it tell each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.groups import messages, welcome
from p2pchat.core.groups.epochs import Leaf
from p2pchat.core.groups.welcome import Welcome, check_join_keys, make_join_keys
from p2pchat.core.ids import GroupId
from p2pchat.errors import CannotOpen
from tests.core.groups.members import GROUP, crew, epoch_id, member
from tests.support.group_parts import joined

DAN = member("dan")
PAIR = b"p" * 32
KEYS = make_join_keys(GROUP, DAN.seed, DAN.leaf.leaf, "Dan", PAIR)


def whole_of(made: Welcome) -> bytes:
    return joined(welcome.cut_welcome(made))


@pytest.mark.parametrize("log", [(), (b"one", b"", b"three"), (bytes(200),) * 5000])
def test_a_welcome_opens_to_what_it_was(log: tuple[bytes, ...]) -> None:
    made = Welcome(GROUP, DAN.id, epoch_id(3), bytes(32), log)
    assert welcome.open_welcome(whole_of(made)) == made


@pytest.mark.parametrize("events", [1, 5_000])
def test_a_log_fits_into_a_welcome_until_it_is_too_long(events: int) -> None:
    fitting = next(size for size in range(6_000_000, 0, -10_000) if welcome.fits(events, size))
    assert fitting > 5_700_000
    log = (bytes(fitting - 10 * (events - 1)), *[bytes(10)] * (events - 1))
    assert welcome.cut_welcome(Welcome(GROUP, DAN.id, epoch_id(3), bytes(32), log))
    with pytest.raises(ValueError, match="too long"):
        welcome.cut_welcome(Welcome(GROUP, DAN.id, epoch_id(3), bytes(32), (*log, bytes(300_000))))
    assert not welcome.fits(events + 1, fitting + 300_000)
    assert not welcome.fits(welcome.MAX_EVENTS + 1, 0)


def test_a_part_of_a_welcome_fits_into_a_content() -> None:
    made = Welcome(GROUP, DAN.id, epoch_id(3), bytes(32), (bytes(880_000),))
    assert all(len(encode(part.fields())) <= welcome.PART_ROOM for part in welcome.cut_welcome(made))


@given(st.binary(max_size=60))
def test_lengths_are_refused_or_read_back(data: bytes) -> None:
    try:
        items = welcome.split_lengths(data, 5)
    except CannotOpen:
        return
    assert welcome.join_lengths(items, 5) == data


def test_a_welcome_of_another_shape_is_refused() -> None:
    whole = whole_of(Welcome(GROUP, DAN.id, epoch_id(3), bytes(32), (b"event",)))
    fields = decode(whole, 1000)
    for place, value in ((0, 2), (1, b""), (2, bytes(7)), (3, None), (4, bytes(31)), (5, b"\0\0\0\2x")):
        with pytest.raises(CannotOpen):
            welcome.open_welcome(encode([*fields[:place], value, *fields[place + 1 :]]))
    with pytest.raises(CannotOpen):
        welcome.open_welcome(encode([*fields, 0]))
    with pytest.raises(CannotOpen):
        welcome.split_lengths(bytes(4 * 6), 5)
    with pytest.raises(ValueError, match="too many"):
        welcome.join_lengths([b""] * 6, 5)


def test_a_newcomer_proves_that_it_holds_its_key() -> None:
    check_join_keys(GROUP, KEYS, PAIR)
    eve = member("eve")
    for group, keys in (
        (GroupId(bytes(32)), KEYS),
        (GROUP, replace(KEYS, name="Eve")),
        (GROUP, replace(KEYS, sign=eve.sign)),
        (GROUP, replace(KEYS, leaf=eve.leaf.leaf.key)),
        (GROUP, replace(KEYS, kem=None)),
    ):
        with pytest.raises(CannotOpen):
            check_join_keys(group, keys, PAIR)
    with pytest.raises(CannotOpen):
        check_join_keys(GROUP, KEYS, b"q" * 32)


@pytest.mark.parametrize("leaf", [DAN.leaf.leaf._replace(key=bytes(32)), DAN.leaf.leaf._replace(kem=b"\xff" * 1184)])
def test_a_newcomer_with_a_key_that_nothing_can_be_sealed_to_is_refused(leaf: Leaf) -> None:
    with pytest.raises(CannotOpen):
        check_join_keys(GROUP, make_join_keys(GROUP, DAN.seed, leaf, "Dan", PAIR), PAIR)
    assert len(leaf.kem or b"") in {0, prim.KEM_PUBLIC}


def test_a_history_opens_to_its_newest_messages() -> None:
    ann = crew("ann")[0]
    written = [ann.write(0, b"%d" % number)[0] for number in range(510)]
    whole = joined(welcome.cut_history(GROUP, [messages.encode_record(message) for message in written]))
    assert welcome.open_history(whole) == (GROUP, tuple(written[10:]))


def test_a_history_that_is_too_long_has_fewer_messages() -> None:
    ann = crew("ann")[0]
    written = [ann.write(0, bytes(60_000))[0] for _ in range(70)]
    records = [messages.encode_record(message) for message in written]
    data = b"".join(part.data for part in welcome.cut_history(GROUP, records))
    assert welcome.open_history(data)[1] == tuple(written[-66:])


def test_only_the_contact_can_check_who_somebody_is() -> None:
    proof = welcome.prove_member(GROUP, DAN.seed, b"p" * 32)
    welcome.check_member(GROUP, DAN.sign, b"p" * 32, proof)
    for group, key, pair in (
        (GroupId(bytes(32)), DAN.sign, b"p" * 32),
        (GROUP, member("eve").sign, b"p" * 32),
        (GROUP, DAN.sign, b"q" * 32),
    ):
        with pytest.raises(CannotOpen):
            welcome.check_member(group, key, pair, proof)
