"""Parts of what is longer than an item, which wait for each other within bounds; the other rows: test_members.py."""

from __future__ import annotations

from random import Random

import pytest

from p2pchat.core.groups.parts import MAX_PARTS, Part, cut, read_part
from p2pchat.core.ids import ChatId
from p2pchat.store.database import Database
from p2pchat.store.groups import items

DATA = bytes(range(256)) * 8
HIKERS, OTHERS = ChatId(b"hikers88"), ChatId(b"others88")


def keep(db: Database, *parts: Part, at: int = 1, chat: ChatId = HIKERS) -> list[bytes]:
    """Keep these; the wholes that they complete."""
    kept = [items.keep_part(db, chat, read_part(part.fields()), at) for part in parts]
    return [whole for whole in kept if whole is not None]


@pytest.mark.parametrize("size", [2048, 1000, 100, 22])
def test_parts_join_in_any_order_and_twice(db: Database, size: int) -> None:
    pieces = list(cut(DATA, size)) * 2
    Random(size).shuffle(pieces)
    wholes = keep(db, *pieces)
    assert wholes
    assert set(wholes) == {DATA}


def test_bogus_parts_cannot_take_the_place_of_real_ones(db: Database) -> None:
    """Whoever knows the name of a whole could otherwise keep it from being joined: its own removal, say."""
    first, second, *_ = cut(DATA, 1024)
    bogus = cut(DATA[:1024] + bytes(1024), 1024)[1]
    assert bogus.whole != first.whole
    assert keep(db, first, bogus) == []
    assert keep(db, second) == [DATA]


def test_what_waits_of_a_group_is_bounded_and_the_oldest_goes(db: Database) -> None:
    kept, other = cut(b"k" * 3000, 1500), cut(b"o" * 3000, 1500)
    assert keep(db, other[0], chat=OTHERS) == []
    for number in range(12):
        keep(db, *cut(bytes([number]) * MAX_PARTS, 1)[1:], at=10 + number)
        keep(db, kept[0], at=10 + number)
    (count,) = db.query_one("SELECT count(*) FROM group_parts WHERE owner = ?", (HIKERS,)) or (0,)
    assert items.MAX_PARTS // 2 < count <= items.MAX_PARTS
    assert keep(db, kept[1], at=30) == [b"k" * 3000]
    assert keep(db, other[1], chat=OTHERS) == [b"o" * 3000], "no group takes room from another"
