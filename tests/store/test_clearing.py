"""A chat is cleared some messages at a time, and keeps what is said meanwhile."""

from __future__ import annotations

import pytest

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import MessageId
from p2pchat.store import clearing, messages, search_backlog
from p2pchat.store.chats import ChatKind, ChatRow, add
from p2pchat.store.database import Database
from p2pchat.store.messages import MessageRow
from tests.store.conftest import ALICE, ALICE_CHAT


def say(db: Database, number: int) -> None:
    id = MessageId(bytes([number]) * 16)
    messages.insert(db, MessageRow(id, ALICE_CHAT, ALICE, 0, number, f"alpha {number}", 1, DeliveryState.RECEIVED))


def test_some_go_at_a_time_and_what_comes_meanwhile_stays(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "MAX_CLEARED_AT_ONCE", 2)
    monkeypatch.setattr(search_backlog, "MAX_TAKEN_OUT", 2)
    add(db, ChatRow(ALICE_CHAT, ChatKind.DIRECT, 0))
    for number in range(1, 6):
        say(db, number)
    search_backlog.before_search(db)
    assert clearing.is_cleared(db, ALICE_CHAT)
    assert clearing.under_way(db) == []
    clearing.begin(db, ALICE_CHAT)
    say(db, 6)
    pieces = []
    while clearing.under_way(db):
        piece = clearing.go_on(db, ALICE_CHAT)
        left = [row.seq for row in messages.page(db, ALICE_CHAT, 9)]
        pieces.append((piece, left, clearing.is_cleared(db, ALICE_CHAT)))
        search_backlog.before_search(db)  # while it goes on, others search
    assert pieces == [
        (False, [3, 4, 5, 6], False),
        (False, [5, 6], False),
        (True, [6], True),
    ]
    assert db.query("SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'alpha'") == [(6,)]
    db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")
    say(db, 3)  # what was deleted does not come back
    assert [row.seq for row in messages.page(db, ALICE_CHAT, 9)] == [6]
