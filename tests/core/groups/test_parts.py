"""Cutting into parts; joining them: tests/store/groups/test_items.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.core.codec import encode
from p2pchat.core.groups import parts
from p2pchat.core.groups.parts import cut, part_room, read_part
from p2pchat.errors import CannotOpen

DATA = bytes(range(256)) * 8


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
