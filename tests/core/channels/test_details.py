"""What a head says besides: encoded, sealed, refused."""

from __future__ import annotations

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.channels.details import ChannelDetails, decode_details, encode_details
from p2pchat.core.channels.posts import MAX_DETAILS_BYTES, ChannelWriter, decode_head, encode_head, make_head
from p2pchat.core.codec import encode
from p2pchat.core.ids import PeerKey, WriterKey
from p2pchat.core.invite import (
    GROUP,
    MAX_ADDRESS,
    MAX_INVITE,
    REUSABLE,
    ROLE_NODE,
    ROLE_RELAY,
    Invite,
    InviteWay,
    encode_invite,
)
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.errors import CannotOpen
from tests.core.channels.writing import FEED, KEY, NOW, OTHER, OTHER_SEED, SEED

RANDOM = prim.system_entropy().random
WAYS = tuple(InviteWay(PeerKey(bytes([n]) * 32), b"\4" * MAX_ADDRESS, ROLE_RELAY, b"t" * MAX_TOKEN) for n in range(3))


def invite_to(kind: int) -> bytes:
    way = InviteWay(PeerKey(bytes(32)), b"\4", ROLE_RELAY)
    return encode_invite(Invite(kind, bytes(32), bytes(32), 1, (way,), "talk", bytes(32)))


@pytest.mark.parametrize("secret", [None, bytes(32)])
def test_the_largest_details_fit_and_come_back(secret: bytes | None) -> None:
    details = ChannelDetails(WAYS, invite_to(GROUP), bytes(32))
    raw = encode_details(details, KEY, secret, RANDOM)
    assert decode_details(raw, KEY, secret) == details
    largest = encode_details(ChannelDetails(WAYS, bytes(MAX_INVITE), bytes(32)), KEY, secret, RANDOM)
    assert len(largest) <= MAX_DETAILS_BYTES
    writers = tuple(ChannelWriter(WriterKey(bytes([n]) * 32), "n" * 64) for n in range(16))
    head = make_head(SEED, FEED, 0, bytes(32), NOW, "n" * 64, writers, largest)
    assert decode_head(FEED, encode_head(head)).details == largest


def test_details_of_a_private_channel_are_read_with_its_link_alone() -> None:
    raw = encode_details(ChannelDetails(WAYS), KEY, bytes(32), RANDOM)
    assert len(raw) == len(encode_details(ChannelDetails(), KEY, bytes(32), RANDOM)) == MAX_DETAILS_BYTES
    for key, secret in ((KEY, b"\1" * 32), (KEY, None), (OTHER.writer, bytes(32))):
        with pytest.raises(CannotOpen):
            decode_details(raw, key, secret)


@pytest.mark.parametrize(
    "fields",
    [
        [[[bytes(32), b"\4", ROLE_NODE]], None],
        [[[bytes(32), b"\4", ROLE_RELAY]] * 2, None],
        [[[bytes([n]) * 32, b"\4", ROLE_RELAY] for n in range(4)], None],
        [[], invite_to(REUSABLE)],
        [[], b"no invite"],
        [[], None, b"short"],
        [[]],
    ],
    ids=["a node", "one twice", "four", "to a person", "no invite", "no mark", "too short"],
)
def test_what_details_are_not(fields: list[object]) -> None:
    with pytest.raises(CannotOpen):
        decode_details(encode(fields), KEY, None)


def test_details_from_before_the_group_had_a_mark_are_read() -> None:
    assert decode_details(encode([[], invite_to(GROUP)]), KEY, None) == ChannelDetails((), invite_to(GROUP))


def test_another_writer_signs_no_details() -> None:
    head = make_head(OTHER_SEED, OTHER, 0, bytes(32), NOW, details=b"\1")
    with pytest.raises(CannotOpen):
        decode_head(OTHER, encode_head(head))
