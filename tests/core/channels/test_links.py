"""The text that leads to a channel."""

from __future__ import annotations

import pytest

from p2pchat.core.channels.links import CHANNEL, ChannelLink, decode_link, encode_link
from p2pchat.core.codec import encode
from p2pchat.core.ids import PeerKey
from p2pchat.core.invite import (
    CHECK_BYTES,
    REUSABLE,
    Invite,
    InviteWay,
    check_bytes,
    decode_invite,
    encode_invite,
    from_text,
    kind_in,
    read_invite,
    to_text,
)
from p2pchat.errors import BadInvite, CannotOpen
from tests.core.channels.writing import KEY, OTHER_SEED, SEED

WAY = InviteWay(PeerKey(bytes(32)), b"\4\1\2\3\4\6\0\1", 1)
LINK = ChannelLink(KEY, None, (WAY, InviteWay(PeerKey(bytes(32)), b"\4\1\2\3\4\6\0\1", 1, b"secret")), "news")


def test_a_link_reads_back_from_its_text() -> None:
    for link in (LINK, ChannelLink(KEY, bytes(32), (), ""), ChannelLink(KEY, None, (), "news", OTHER_SEED)):
        data = from_text("look here: " + to_text(encode_link(link)) + " !")
        assert decode_link(data) == link
        assert kind_in(data) == CHANNEL


def test_an_invite_is_no_link_and_a_link_no_invite() -> None:
    invite = encode_invite(Invite(REUSABLE, bytes(32), bytes(32), 0, (), None))
    assert kind_in(invite) == REUSABLE
    with pytest.raises(CannotOpen):
        decode_link(invite)
    with pytest.raises(CannotOpen):
        decode_invite(encode_link(LINK))
    with pytest.raises(BadInvite):
        read_invite(to_text(encode_link(LINK)))


def test_a_changed_link_is_refused() -> None:
    data = bytearray(encode_link(LINK))
    data[10] ^= 1
    with pytest.raises(CannotOpen):
        decode_link(bytes(data))
    with pytest.raises(BadInvite):
        from_text(to_text(bytes(data)))


def test_a_link_that_would_make_its_reader_the_owner_is_refused() -> None:
    with pytest.raises(CannotOpen):
        decode_link(encode_link(ChannelLink(KEY, None, (), "news", SEED)))


def test_a_way_that_is_no_relay_is_refused() -> None:
    with pytest.raises(CannotOpen):
        decode_link(encode_link_with_node())


def encode_link_with_node() -> bytes:
    """Return a link one of whose ways is somebody's node."""
    unchecked = encode([1, CHANNEL, KEY, None, [[bytes(32), b"\4", 0]], "", bytes(CHECK_BYTES)])[:-CHECK_BYTES]
    return unchecked + check_bytes(unchecked)
