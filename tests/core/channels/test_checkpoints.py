"""Merkle roots over 256 posts."""

from __future__ import annotations

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.channels import checkpoints

HASHES = [prim.blake2b(bytes((number,)), b"test") for number in range(checkpoints.EVERY)]
ROOT = checkpoints.merkle_root(HASHES)
PERSON = b"p2pchat1 ch tree"


def root_of(hashes: list[bytes]) -> bytes:
    """The root as the page defines it, from the top."""
    if len(hashes) == 1:
        return prim.blake2b(b"\x00" + hashes[0], PERSON)
    half = len(hashes) // 2
    return prim.blake2b(b"\x01" + root_of(hashes[:half]) + root_of(hashes[half:]), PERSON)


def test_every_256th_post_has_one_but_the_first() -> None:
    assert [seq for seq in range(1000) if checkpoints.is_due(seq)] == [256, 512, 768]


@pytest.mark.parametrize("place", [0, 1, 100, 254])
def test_a_root_is_over_each_post_at_its_place(place: int) -> None:
    assert root_of(HASHES) == ROOT
    changed, swapped = list(HASHES), list(HASHES)
    changed[place] = bytes(32)
    swapped[place : place + 2] = reversed(HASHES[place : place + 2])
    for wrong in (changed, swapped):
        assert checkpoints.merkle_root(wrong) == root_of(wrong) != ROOT


def test_a_root_is_over_exactly_256() -> None:
    with pytest.raises(ValueError, match="256"):
        checkpoints.merkle_root(HASHES[:-1])
