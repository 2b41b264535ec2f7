"""Searching messages by words, author and time.

A search is a walk through the search index from the newest message to the oldest, or back, that ends at the last hit
needed. A date is a position in that walk: pks grow with the time of saving, so the beginning of a day is found by
bisection, without an index of times that every message would have to be entered into.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from p2pchat.core.ids import ChatId, ContactId
from p2pchat.errors import DatabaseDamaged
from p2pchat.store import search_backlog
from p2pchat.store.database import Database, Row
from p2pchat.store.messages import MessageRow, columns, made, readable
from p2pchat.store.search_index import WITH_LINK, in_chat, written_by
from p2pchat.store.search_query import Query

MAX_CLOCK_ERROR_MS = 86_400_000
"""By how many ms a clock that was wrong for a while may have misplaced messages in the order of their times."""

_TIME = "coalesce(messages.received_at, messages.sent_at)"
"""The time that is shown with a message: when it was received, or written here."""
_AT = f"SELECT pk, {_TIME} FROM messages WHERE pk >= ? ORDER BY pk LIMIT 1"
_LAST = "SELECT max(pk) FROM messages"
_HITS = "FROM messages_fts WHERE messages_fts MATCH ?1 AND messages_fts.rowid > ?2 AND messages_fts.rowid < ?3"
_JOINED = _HITS.replace("messages_fts WHERE", "messages_fts JOIN messages ON messages.pk = messages_fts.rowid WHERE")
_SEARCH = (
    f"SELECT {columns('messages')} {_JOINED} AND {_TIME} >= ?4 AND {_TIME} < ?5"
    " ORDER BY messages_fts.rowid {order} LIMIT ?6"
)
_PKS = f"SELECT rowid {_HITS} ORDER BY rowid {{order}}"
_FIRST_SINCE = (
    f"SELECT {columns('messages')} FROM messages INDEXED BY messages_in_order"
    " WHERE chat = ?1 AND place = pk AND place >= ?2 ORDER BY place LIMIT 1"
)
_MAX_TIME_MS = 2**62


@dataclass(frozen=True, slots=True)
class Bounds:
    """The requested part of the hits: strictly between the pks `after` and `before`. forwards: the first of them, else
    the last.
    """

    after: int = 0
    before: int = _MAX_TIME_MS
    forwards: bool = False


def search(
    db: Database,
    query: Query,
    chat: ChatId | None,
    senders: Collection[ContactId] | None,
    limit: int,
    bounds: Bounds = Bounds(),
) -> list[MessageRow]:
    """Return at most `limit` matching messages, oldest first: of one chat or of all, by one of `senders` (b"" is us) or
    by anybody.

    They are in the order in which they were saved, which is that of their pks.
    """
    with search_backlog.caught_up(db):
        return _search(db, query, chat, senders, limit, bounds)


def _search(
    db: Database, query: Query, chat: ChatId | None, senders: Collection[ContactId] | None, limit: int, bounds: Bounds
) -> list[MessageRow]:
    low = bounds.after if query.since is None else max(bounds.after, pk_at(db, query.since - MAX_CLOCK_ERROR_MS) - 1)
    high = bounds.before if query.until is None else min(bounds.before, pk_at(db, query.until + MAX_CLOCK_ERROR_MS))
    times = (
        -_MAX_TIME_MS if query.since is None else query.since,
        _MAX_TIME_MS if query.until is None else query.until,
    )
    order = "ASC" if bounds.forwards else "DESC"
    expression = _expression(query, chat, senders)
    try:
        rows = [made(row) for row in db.query(_SEARCH.format(order=order), (expression, low, high, *times, limit))]
    except DatabaseDamaged:
        pks = db.query(_PKS.format(order=order), (expression, low, high))
        rows = list(islice(_in_time(db, pks, times), limit))
    return rows if bounds.forwards else rows[::-1]


def _expression(query: Query, chat: ChatId | None, senders: Collection[ContactId] | None) -> str:
    """Return the FTS5 query: phrases that all have to be in a document, of one of these senders."""
    about = [*([] if chat is None else [in_chat(chat)]), *([WITH_LINK] if query.link else [])]
    parts = [*(term.expression() for term in query.terms), *(f'"{word}"' for word in about)]
    if senders is not None:
        parts.append("({})".format(" OR ".join(f'"{written_by(sender)}"' for sender in senders)))
    return " AND ".join(parts)


def _in_time(db: Database, pks: list[Row], times: tuple[int, int]) -> Iterator[MessageRow]:
    since, until = times
    for row in readable(db, pks):
        if since <= (row.sent_at if row.received_at is None else row.received_at) < until:
            yield row


def pk_at(db: Database, at: int) -> int:
    """Return the first pk of a message that was saved at `at` (ms) or later. It takes about twenty statements for a
    million messages.
    """
    last = db.query(_LAST)[0][0]
    low, high = 0, 1 + (last or 0)
    while low < high:
        middle = (low + high) // 2
        row = db.query_one(_AT, (middle,))
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return low


def first_since(db: Database, chat: ChatId, at: int) -> MessageRow | None:
    """Return the first message of a chat that was received or written at `at` (ms) or later, or None.

    For a late message, the time of the message before which it is shown counts.
    """
    row = db.query_one(_FIRST_SINCE, (chat, pk_at(db, at)))
    return None if row is None else made(row)
