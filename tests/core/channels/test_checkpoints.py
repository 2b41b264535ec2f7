"""Merkle roots over 256 posts."""

from __future__ import annotations

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.channels import checkpoints
from p2pchat.errors import CannotOpen

HASHES = [prim.blake2b(bytes((number,)), b"test") for number in range(checkpoints.EVERY)]
ROOT = checkpoints.merkle_root(HASHES)


def test_every_256th_post_has_one_but_the_first() -> None:
    assert [seq for seq in range(1000) if checkpoints.is_due(seq)] == [256, 512, 768]


@pytest.mark.parametrize("place", [0, 1, 100, 255])
def test_a_proof_leads_to_the_root_from_its_place_alone(place: int) -> None:
    proof = checkpoints.proof(HASHES, place)
    checkpoints.check_proof(ROOT, place, HASHES[place], proof)
    for wrong in (place ^ 1, place + 256, -1):
        with pytest.raises(CannotOpen):
            checkpoints.check_proof(ROOT, wrong, HASHES[place], proof)
    with pytest.raises(CannotOpen):
        checkpoints.check_proof(ROOT, place, HASHES[place ^ 1], proof)
    with pytest.raises(CannotOpen):
        checkpoints.check_proof(ROOT, place, HASHES[place], proof[:-1])


def test_an_inner_node_is_not_taken_for_a_post() -> None:
    """The attack on trees without a prefix: the hash of a node, shown as that of a post one level up."""
    proof = checkpoints.proof(HASHES, 0)
    joined = HASHES[0] + HASHES[1]
    with pytest.raises(CannotOpen):
        checkpoints.check_proof(ROOT, 0, joined, [*proof[1:], proof[0]])


def test_a_root_is_over_exactly_256() -> None:
    with pytest.raises(ValueError, match="256"):
        checkpoints.merkle_root(HASHES[:-1])
