"""The relays of a profile."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.ids import PeerKey
from p2pchat.store import relays
from p2pchat.store.database import Database
from p2pchat.store.relays import RelayRow

FIRST = RelayRow(PeerKey(b"1" * 32), (b"here", b"there"), b"a word", kept=True, added_at=5)
SECOND = RelayRow(PeerKey(b"0" * 32), (b"elsewhere",), b"", kept=False, added_at=6)


def test_relays_come_back_as_they_were_the_first_first(db: Database) -> None:
    for row in (FIRST, SECOND):
        relays.put(db, row)
    assert relays.all(db) == [FIRST, SECOND]
    assert "a word" not in repr(FIRST)


def test_a_relay_that_is_added_again_keeps_its_place(db: Database) -> None:
    for row in (FIRST, SECOND):
        relays.put(db, row)
    relays.put(db, replace(FIRST, addresses=(b"moved",), token=b"", kept=False, added_at=9))
    assert relays.all(db) == [replace(FIRST, addresses=(b"moved",), token=b"", kept=False), SECOND]


def test_a_relay_is_forgotten(db: Database) -> None:
    for row in (FIRST, SECOND):
        relays.put(db, row)
    relays.remove(db, FIRST.peer)
    relays.remove(db, FIRST.peer)
    assert relays.all(db) == [SECOND]
