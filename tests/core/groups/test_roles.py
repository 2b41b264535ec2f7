"""Roles and the ids of members."""

from __future__ import annotations

from p2pchat.core.groups.roles import Role, member_id


def test_nobody_is_senior_to_an_equal() -> None:
    for first in Role:
        for second in Role:
            assert first.is_senior_to(second) == (first.value < second.value)


def test_an_id_is_eight_bytes_of_the_key() -> None:
    assert len(member_id(bytes(32))) == 8
    assert member_id(bytes(32)) != member_id(b"\x01" + bytes(31))
