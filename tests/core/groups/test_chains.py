"""Sender chains: keys in any order, each once, and how far they may be skipped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.groups import chains
from p2pchat.core.groups.chains import Chain, SoughtKey, chain_heads, seek
from p2pchat.core.ids import MemberId
from p2pchat.errors import CannotOpen

HEAD = Chain(bytes(range(32)))


def none(number: int) -> bytes | None:
    return None


def keys(count: int) -> list[bytes]:
    chain, found = HEAD, []
    for _ in range(count):
        key, chain = chains.advance_chain(chain)
        found.append(key)
    return found


def test_every_member_has_a_chain_of_its_own_in_each_epoch() -> None:
    ids = [MemberId(bytes([number]) * 8) for number in range(3)]
    heads = [*chain_heads(bytes(32), ids).values(), *chain_heads(b"\x01" * 32, ids).values()]
    assert len({head.key for head in heads}) == 6
    assert {head.next for head in heads} == {0}


@given(st.permutations(range(12)))
def test_keys_are_found_in_any_order_and_each_once(order: list[int]) -> None:
    chain, skipped, expected = HEAD, dict[int, bytes](), keys(12)
    for number in order:
        found = seek(chain, number, skipped.get)
        assert found.key == expected[number]
        chain = found.chain
        skipped.update(found.skipped)
        if found.used:
            del skipped[number]
        with pytest.raises(CannotOpen):
            seek(chain, number, skipped.get)
    assert not skipped


def test_a_jump_has_a_limit_and_changes_nothing() -> None:
    with pytest.raises(CannotOpen):
        seek(HEAD, chains.MAX_JUMP + 1, none)
    found = seek(HEAD, chains.MAX_JUMP, none)
    assert found.chain.next == chains.MAX_JUMP + 1
    assert [number for number, _ in found.skipped] == list(
        range(chains.MAX_JUMP - chains.MAX_SKIPPED_SENDER, chains.MAX_JUMP)
    )


def test_skipping_needs_leave_only_if_there_is_any() -> None:
    asked: list[int] = []

    def refuse(count: int) -> bool:
        asked.append(count)
        return False

    assert isinstance(seek(HEAD, 0, none, refuse), SoughtKey)
    assert not asked
    with pytest.raises(CannotOpen):
        seek(HEAD, 3, none, refuse)
    assert asked == [3]


def test_a_chain_has_an_end() -> None:
    last = Chain(bytes(32), chains.MAX_NUMBER)
    _, after = chains.advance_chain(last)
    with pytest.raises(ValueError, match="no more keys"):
        chains.advance_chain(after)
    with pytest.raises(CannotOpen):
        seek(after, chains.MAX_NUMBER + 1, none)


def test_the_surplus_of_skipped_keys_goes() -> None:
    assert chains.surplus(2_000, 20_000) == (0, 0)
    assert chains.surplus(2_003, 20_003) == (3, 0)
    assert chains.surplus(2_003, 20_010) == (3, 7)
    assert chains.surplus(10, 20_001) == (0, 1)
