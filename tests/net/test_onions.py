"""The names of onion services: a checksum and a version, both checked."""

from __future__ import annotations

import pytest

from p2pchat.net import onions

NAME = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"  # the Tor Project's own


def test_a_name_and_its_bytes() -> None:
    raw = onions.bytes_of(NAME)
    assert len(raw) == onions.ONION_BYTES
    assert onions.name_of(raw) == NAME
    assert onions.letters_of(raw) + ".onion" == NAME
    assert onions.bytes_of(onions.letters_of(raw)) == raw


@pytest.mark.parametrize("place", range(onions.ONION_BYTES))
def test_one_wrong_bit_is_noticed(place: int) -> None:
    raw = bytearray(onions.bytes_of(NAME))
    raw[place] ^= 4
    with pytest.raises(ValueError, match="not an onion"):
        onions.name_of(bytes(raw))


@pytest.mark.parametrize("raw", [b"", bytes(34), bytes(35), bytes(36)])
def test_other_bytes_are_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not an onion"):
        onions.name_of(raw)
