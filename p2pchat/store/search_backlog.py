"""The backlog of the search index, which follows the messages with a delay.

Each addition to the index writes a segment, the list of segments, their sizes and a table of their words, and later
merges segments: that was four and a half of the seventeen pages written for one message. Many additions at once cost
little more than one. So a message is saved without it, and the index catches up when `EVERY` messages wait, and before
a search. It covers the messages up to a pk that is in `meta`; changes of messages behind that do not concern it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from p2pchat.core.ids import ChatId, ContactId
from p2pchat.errors import DiskFull, ProfileError
from p2pchat.store import meta
from p2pchat.store.database import Database
from p2pchat.store.search_index import document

EVERY = 128
"""Messages that may wait for the index; adding them takes some milliseconds."""
MAX_AT_ONCE = 1024
MAX_TAKEN_OUT = 1000
"""Messages that are removed from the index one by one; for more, the index is built again, a part in each
transaction."""
INDEXED_TO = "search_indexed_to"

_ADD = "INSERT INTO messages_fts (rowid, text) VALUES (?, ?)"
_REMOVE = "INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', ?, ?)"


def catch_up(db: Database) -> bool:
    """Index the first `MAX_AT_ONCE` waiting messages, in the caller's transaction. Return whether that was all."""
    rows = db.query(
        "SELECT pk, chat, sender, text FROM messages WHERE pk > ? ORDER BY pk LIMIT ?", (_end(db), MAX_AT_ONCE)
    )
    if rows:
        db.executemany(_ADD, [(pk, document(text, chat, sender)) for pk, chat, sender, text in rows])
        meta.put_int(db, INDEXED_TO, rows[-1][0])
    return len(rows) < MAX_AT_ONCE


def before_search(db: Database) -> bool:
    """Index all waiting messages, outside of a transaction. Unreadable ones are skipped. Return False if the disk is
    full.
    """
    try:
        while db.query_one("SELECT 1 FROM messages WHERE pk > ? LIMIT 1", (_end(db),)) is not None:
            with db.transaction():
                catch_up(db)
    except DiskFull:
        return False
    except ProfileError:
        pass
    return True


@contextmanager
def caught_up(db: Database) -> Iterator[None]:
    """Have all waiting messages in the index for the duration of a search. If the disk is full, this happens in a
    transaction that is undone, whose pages need no space.
    """
    if before_search(db):
        yield
        return
    with suppress(_Undone), db.transaction():
        with suppress(ProfileError):
            while not catch_up(db):
                pass
        yield
        raise _Undone


class _Undone(Exception):
    """Raised to undo a transaction."""


def remove(db: Database, rows: Iterable[tuple[int, ChatId, ContactId, str]]) -> None:
    """Remove messages, given by (pk, chat, sender, text), as far as the index contains them."""
    end = _end(db)
    db.executemany(_REMOVE, [(pk, document(text, chat, sender)) for pk, chat, sender, text in rows if pk <= end])


def begin_anew(db: Database) -> None:
    """Empty the index, so that every message waits for it again. Removing messages one by one takes a third of a
    millisecond each, ten times as long as adding them.
    """
    if not _end(db):
        return
    db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('delete-all')")
    meta.remove(db, INDEXED_TO)


def put_back(db: Database, pk: int, chat: ChatId, sender: ContactId, text: str) -> None:
    """Index a changed message that was removed; one that still waits is indexed in its turn."""
    if pk <= _end(db):
        db.execute(_ADD, (pk, document(text, chat, sender)))


def _end(db: Database) -> int:
    return meta.get_int(db, INDEXED_TO)
