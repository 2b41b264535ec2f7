"""Descriptors and lists of them: what is sealed comes out, and nothing else does."""

from __future__ import annotations

import pytest

from p2pchat.core.descriptors import (
    LIST_BYTES,
    MAX_DESCRIPTOR,
    Descriptor,
    decode_list,
    encode_list,
    networks,
    open_descriptor,
    read_descriptor,
    sign_descriptor,
)
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import sign_public
from p2pchat.errors import CannotOpen

SEED = bytes(range(32))
RELAY = PeerKey(sign_public(SEED))
GOOD = Descriptor(RELAY, 7, 1_700_000_000, 1_700_000_000 + 86_400, 3, ("/ip4/192.0.2.1/tcp/4001",))


def test_a_descriptor_opens_as_it_was_signed() -> None:
    raw = sign_descriptor(SEED, GOOD)
    assert open_descriptor(raw) == read_descriptor(raw) == GOOD
    assert GOOD.holds(1000 * GOOD.made)
    assert not GOOD.holds(1000 * GOOD.until)
    assert not GOOD.holds(1000 * (GOOD.made - 3 * 86_400))
    with pytest.raises(CannotOpen):
        open_descriptor(sign_descriptor(bytes(32), GOOD))  # by another
    with pytest.raises(CannotOpen):
        open_descriptor(raw + bytes(MAX_DESCRIPTOR))


def test_a_list_has_one_size_and_as_many_as_have_room() -> None:
    many = [bytes([number]) * 900 for number in range(9)]
    for listed, fitting in (([], 0), (many[:1], 1), (many, 4)):
        body = encode_list(listed)
        assert len(body) == LIST_BYTES
        assert decode_list(body) == tuple(listed[:fitting])
    good = encode_list(many)
    for bad in (good[:-1], good[:-1] + b"\1", b"\xff\xff" + good[2:], encode_list([b""])):
        with pytest.raises(CannotOpen):
            decode_list(bad)


def test_addresses_of_one_operator_are_usually_in_one_network() -> None:
    alike = [
        ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.77.1/tcp/2/ws"),
        ("/ip6/2001:db8:1::1/tcp/1", "/ip6/2001:db8:2::1/tcp/1"),
        ("/dns/a.example.org/tcp/443/wss", "/dns4/B.Example.org/tcp/443/wss"),
        (f"/dns/{'a' * 56}.onion/tcp/80", f"/onion3/{'b' * 56}:80"),
    ]
    assert [len(networks(pair)) for pair in alike] == [1, 1, 1, 1]
    assert len(networks(pair[0] for pair in alike)) == 4
    assert networks(["/ip4/nonsense/tcp/1"]) == {"ip4"}
