"""The search index follows the messages, and holds each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import ChatId, MessageId, direct_chat
from p2pchat.errors import DiskFull
from p2pchat.store import database, messages, search_backlog
from p2pchat.store.database import Database
from p2pchat.store.messages import MessageRow
from p2pchat.store.search import search
from p2pchat.store.search_query import Query, Term
from tests.store.conftest import ALICE
from tests.support.databases import KEY

CHAT = direct_chat(ALICE)


def save(db: Database, *texts: str) -> None:
    with db.transaction():
        for text in texts:
            id = MessageId(text.encode().ljust(16, b"\0"))
            messages.insert(db, MessageRow(id, CHAT, ALICE, 0, 0, text, 1, DeliveryState.RECEIVED))


def found(db: Database, word: str) -> list[str]:
    return [row.text for row in search(db, Query((Term(word, open_end=True),)), None, None, 9)]


def test_what_waits_is_found_and_indexed_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_backlog, "MAX_AT_ONCE", 2)
    save(db, "alpha 1", "alpha 2", "alpha 3")
    with db.transaction():
        assert not search_backlog.catch_up(db)
        assert search_backlog.catch_up(db)
        assert search_backlog.catch_up(db)
    save(db, "alpha 4")
    assert found(db, "alpha") == ["alpha 1", "alpha 2", "alpha 3", "alpha 4"]


def test_what_was_deleted_before_it_was_indexed_is_not_taken_out(db: Database) -> None:
    save(db, "alpha 1")
    search_backlog.before_search(db)
    save(db, "alpha 2", "beta 3", "alpha 4")
    with db.transaction():
        for pk in (1, 2, 3):
            messages.delete(db, pk)
    assert found(db, "alpha") == ["alpha 4"]
    with db.transaction():
        messages.clear(db, CHAT)
    assert db.query("SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'alpha OR beta'") == [(0,)]
    db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")


def test_where_many_are_deleted_the_rest_waits_for_the_index_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_backlog, "MAX_TAKEN_OUT", 2)
    save(db, "alpha 1", "alpha 2", "alpha 3")
    other = ChatId(b"another.")
    messages.insert(db, messages.page(db, CHAT, 1)[0]._replace(chat=other, text="alpha kept"))
    search_backlog.before_search(db)
    with db.transaction():
        messages.clear(db, CHAT)
    matching = "SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'alpha'"
    assert db.query(matching) == [(0,)]
    assert found(db, "alpha") == ["alpha kept"]
    db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('integrity-check')")


def test_a_full_disk_hides_nothing(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    save(db, "alpha 1")
    search_backlog.before_search(db)
    save(db, "alpha 2")

    def full() -> None:
        raise DiskFull

    monkeypatch.setattr(db, "commit", full)
    assert found(db, "alpha") == ["alpha 1", "alpha 2"]
    monkeypatch.undo()
    assert db.query("SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'alpha'") == [(1,)], "it waits still"
    save(db, "alpha 3")
    assert found(db, "alpha") == ["alpha 1", "alpha 2", "alpha 3"]


def test_an_old_profile_is_indexed_already(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message that it holds had been added as it was saved."""
    real = database.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(database, "migrations", lambda: real[:14])
        old = Database.create(path, KEY)
        save(old, *(f"alpha {number}" for number in range(300)))
        old.execute("INSERT INTO messages_fts (rowid, text) SELECT pk, text FROM messages")
        old.close()
    db = Database.open(path, KEY)
    save(db, "beta")
    search_backlog.before_search(db)
    assert db.query("SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'alpha OR beta'") == [(301,)]
    messages.clear(db, CHAT)
    assert db.query("SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'alpha OR beta'") == [(0,)]
    db.close()
