"""Cutting into parts and joining them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.codec import encode
from p2pchat.core.groups import parts
from p2pchat.core.groups.parts import Part, WaitingParts, cut, part_room, read_part
from p2pchat.errors import CannotOpen

DATA = bytes(range(256)) * 8


@given(st.integers(min_value=1, max_value=len(DATA)), st.randoms(use_true_random=False))
def test_parts_join_in_any_order_and_twice(size: int, random: st.DataObject) -> None:
    pieces = list(cut(DATA, max(size, len(DATA) // parts.MAX_PARTS + 1))) * 2
    random.shuffle(pieces)  # type: ignore[attr-defined]
    waiting, wholes = WaitingParts(), []
    for piece in pieces:
        waiting, whole = waiting.add(read_part(piece.fields()))
        wholes += [] if whole is None else [whole]
    assert wholes
    assert set(wholes) == {DATA}


def test_a_part_that_is_none_of_its_whole_is_refused() -> None:
    first, second, *_ = cut(DATA, 1000)
    for hashes, which, data in (
        (first.hashes, 0, second.data),
        (first.hashes, 3, first.data),
        ((), 0, first.data),
        (first.hashes, 0, b""),
        (first.hashes * 40, 0, first.data),
    ):
        with pytest.raises(CannotOpen):
            read_part([list(hashes), which, data])


def test_bogus_parts_cannot_take_the_place_of_real_ones() -> None:
    """Whoever knows the name of a whole could otherwise keep it from being joined: its own removal, say."""
    first, second, *_ = cut(DATA, 1024)
    bogus = cut(DATA[:1024] + bytes(1024), 1024)[1]
    assert bogus.whole != first.whole
    waiting = WaitingParts()
    for piece in (first, bogus):
        waiting, whole = waiting.add(piece)
        assert whole is None
    assert waiting.add(second)[1] == DATA


def test_what_waits_is_bounded_and_the_oldest_goes() -> None:
    waiting = WaitingParts(max_bytes=5_000)
    kept = cut(b"k" * 3000, 1500)
    waiting, _ = waiting.add(kept[0])
    for number in range(50):
        waiting, _ = waiting.add(cut(bytes([number]) * 2000, 1000)[0])
        waiting, _ = waiting.add(kept[0])
        assert waiting.size <= 5_000
    assert waiting.add(kept[1])[1] == b"k" * 3000


def test_a_whole_that_would_be_too_long_is_dropped() -> None:
    data = b"x" * 64_000
    part = cut(data, 64_000)[0]
    hashes = part.hashes * 95 + (b"?" * parts.HASH_BYTES,)
    waiting = WaitingParts()
    for which in range(95):
        waiting, whole = waiting.add(Part(hashes, which, data))
        assert whole is None
        assert waiting.size <= parts.MAX_WHOLE + 96 * parts.HASH_BYTES
    assert waiting.size < parts.MAX_WHOLE


@pytest.mark.parametrize("size", [1, 999, 1000, 10_000, 60_000])
def test_the_room_of_a_part_holds_it_encoded(size: int) -> None:
    data = b"x" * size
    room = part_room(1200, size) if size < 50_000 else part_room(5000, size)
    for part in cut(data, room):
        assert len(encode([2, *part.fields()])) <= (1200 if size < 50_000 else 5000)


def test_what_is_too_long_is_not_cut() -> None:
    for data, size in ((bytes(97), 1), (b"", 1), (bytes(parts.MAX_WHOLE + 1), 1 << 20)):
        with pytest.raises(ValueError, match="too long"):
            cut(data, size)
    with pytest.raises(ValueError, match="too long"):
        part_room(1200, 100_000)


def test_a_part_says_its_whole() -> None:
    first, *others = cut(DATA, 500)
    assert {first.whole} == {other.whole for other in others}
    assert replace(first, hashes=first.hashes[:-1]).whole != first.whole
