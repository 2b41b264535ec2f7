"""The search index follows the messages a few behind.

Whatever adds to it writes a segment, the list of segments, their sizes and a table of their words, and merges segments
later: four and a half of the seventeen pages that it took to save one message. Many at once cost little more than one.
So a message is saved without, and the index catches up when `EVERY` wait for it, and before a search. What it holds are
the messages up to a pk, which `meta` has; what is taken out or changed behind that is not in it.
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
"""Messages that may wait for the index: it takes them in within some milliseconds."""
MAX_AT_ONCE = 1024
MAX_TAKEN_OUT = 1000
"""Messages that are taken out at once; for more the index is made anew, a part in each transaction."""
INDEXED_TO = "search_indexed_to"

_ADD = "INSERT INTO messages_fts (rowid, text) VALUES (?, ?)"
_REMOVE = "INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', ?, ?)"


def catch_up(db: Database) -> bool:
    """Index the first `MAX_AT_ONCE` of what waits, in a transaction of the caller's. Returns whether that is all."""
    rows = db.query(
        "SELECT pk, chat, sender, text FROM messages WHERE pk > ? ORDER BY pk LIMIT ?", (_end(db), MAX_AT_ONCE)
    )
    if rows:
        db.executemany(_ADD, [(pk, document(text, chat, sender)) for pk, chat, sender, text in rows])
        meta.put_int(db, INDEXED_TO, rows[-1][0])
    return len(rows) < MAX_AT_ONCE


def before_search(db: Database) -> bool:
    """Index all that waits, outside of a transaction. Where that cannot be read, it is left out of what is found.
    Returns False where the disk is full.
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
    """Have all that waits in the index during a search. Where the disk is full, in a transaction that is undone: its
    pages need no room.
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
    """Ends a transaction that is not to be kept."""


def remove(db: Database, rows: Iterable[tuple[int, ChatId, ContactId, str]]) -> None:
    """Take out messages, by (pk, chat, sender, text), as far as the index holds them."""
    end = _end(db)
    db.executemany(_REMOVE, [(pk, document(text, chat, sender)) for pk, chat, sender, text in rows if pk <= end])


def begin_anew(db: Database) -> None:
    """Forget the whole index: every message waits for it again. To take many out one by one takes a third of a
    millisecond each, ten times what it takes to put one in.
    """
    if not _end(db):
        return
    db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('delete-all')")
    meta.remove(db, INDEXED_TO)


def put_back(db: Database, pk: int, chat: ChatId, sender: ContactId, text: str) -> None:
    """Index a message that was taken out and is another now; one that still waits is indexed in its turn."""
    if pk <= _end(db):
        db.execute(_ADD, (pk, document(text, chat, sender)))


def _end(db: Database) -> int:
    return meta.get_int(db, INDEXED_TO)
