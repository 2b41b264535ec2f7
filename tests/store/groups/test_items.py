"""Parts of what is longer than an item, which wait for each other within bounds; the other rows: test_members.py."""

from __future__ import annotations

from random import Random

import pytest

from p2pchat.core.groups.parts import MAX_PARTS, Part, cut, read_part
from p2pchat.core.ids import ChatId, MemberId
from p2pchat.store.database import Database
from p2pchat.store.groups import items
from tests.store.groups.test_members import CHAT, fill

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


@pytest.mark.parametrize("apart", [0, 1])
def test_what_grows_is_kept_while_others_flood(db: Database, monkeypatch: pytest.MonkeyPatch, apart: int) -> None:
    """A removal in parts, with many parts of what never becomes whole between them; in one transaction or in many."""
    monkeypatch.setattr(items, "MAX_PARTS", 16)
    pieces, at = cut(bytes(range(256)) * 6, 256), 1
    for number, piece in enumerate(pieces):
        at += apart
        whole = keep(db, piece, at=at)
        assert whole == ([bytes(range(256)) * 6] if piece is pieces[-1] else [])
        for junk in range(items.MAX_PARTS // 2):
            at += apart
            keep(db, cut(b"%d %d" % (number, junk) + bytes(300), 256)[0], at=at)


def test_who_has_most_waiting_gives_way_in_number(db: Database) -> None:
    fill(db)
    bob, eve = MemberId(b"b" * 8), MemberId(b"e" * 8)
    for number in range(10):
        items.wait(db, CHAT, b"bob %d" % number, b"honest", 1, bob)
    for number in range(2 * items.MAX_WAITING):
        items.wait(db, CHAT, b"eve %d" % number, b"junk", 2, eve)
    items.wait(db, CHAT, b"somebody", b"unknown", 3, items.NOBODY)
    waiting = items.waiting(db, CHAT)
    assert len(waiting) == items.MAX_WAITING
    assert [one.id for one in waiting if one.member == bob] == [b"bob %d" % number for number in range(10)]
    assert waiting[10].id == b"eve %d" % (items.MAX_WAITING + 11), "her oldest gave way"
    assert waiting[-1].id == b"somebody"


def test_whose_waiting_items_are_largest_gives_way_in_bytes(db: Database) -> None:
    fill(db)
    bob, eve = MemberId(b"b" * 8), MemberId(b"e" * 8)
    for number in range(40):
        items.wait(db, CHAT, b"bob %d" % number, bytes(1_000), 1, bob)
    for number in range(12):
        items.wait(db, CHAT, b"eve %d" % number, bytes(1_000_000), 2, eve)
    waiting = items.waiting(db, CHAT)
    assert [one.member for one in waiting].count(bob) == 40
    assert [one.id for one in waiting if one.member == eve] == [b"eve %d" % number for number in range(4, 12)]


def test_of_a_group_so_many_items_are_remembered_and_the_oldest_forgotten(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db)
    monkeypatch.setattr(items, "MAX_SEEN", 10)
    for number in range(30):
        items.see(db, CHAT, bytes([number]), None, 1)
    items.forget_surplus(db, CHAT)
    assert [number for number in range(30) if items.was_seen(db, CHAT, bytes([number]))] == [*range(20, 30)]
