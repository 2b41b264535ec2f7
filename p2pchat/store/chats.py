"""Chats as a list shows them: what is unread, what was said last, what was begun and not sent.

Another's message is unread until it has a `read_at`, so one that comes late counts wherever its place is. The index
of what is unread holds nothing else: counting is cheap however long a chat is.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.ids import ChatId, MessageId
from p2pchat.errors import DatabaseDamaged
from p2pchat.store.database import Database
from p2pchat.store.messages import MessageRow, columns, made, page

MAX_COUNTED = 1000
"""Unread messages of a chat that are counted; whoever sends more does not make every look at it slower."""


@dataclass(frozen=True, slots=True)
class Unread:
    """What is unread in a chat: how many (at most `MAX_COUNTED`) and the id of the first in the chat's order."""

    count: int = 0
    first: MessageId | None = None


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat in a list; `last` is the last message in its order."""

    unread: Unread
    draft: str
    last: MessageRow | None


_UNREAD = "FROM messages INDEXED BY messages_unread WHERE chat = ?1 AND read_at IS NULL AND sender <> x''"
_COUNT = f"""
SELECT (SELECT count(*) FROM (SELECT 1 {_UNREAD} LIMIT {MAX_COUNTED})),
       (SELECT id {_UNREAD} ORDER BY place, seq, pk LIMIT 1)
"""
_BYTES = f"SELECT count(*) * ?2 + coalesce(sum(length(CAST(text AS BLOB))), 0) {_UNREAD}"
_ALL = f"SELECT pk, id {_UNREAD} ORDER BY place, seq, pk"
_UP_TO = (
    f"SELECT pk, id {_UNREAD} AND (place, seq, pk) <= (SELECT place, seq, pk FROM messages WHERE pk = ?2)"
    " ORDER BY place, seq, pk"
)
_READ = """
UPDATE messages SET read_at = ?1, expires_at = CASE WHEN expire_s > 0 THEN ?2 + 1000 * expire_s END WHERE pk = ?3
"""
_LISTED = f"""
SELECT contacts.id, drafts.text, {columns("messages")}
FROM contacts LEFT JOIN drafts ON drafts.chat = contacts.id
LEFT JOIN messages ON messages.pk = (
    SELECT pk FROM messages WHERE chat = contacts.id ORDER BY place DESC, seq DESC, pk DESC LIMIT 1)
"""
_DRAFT = """
INSERT INTO drafts (chat, text, expires_at) VALUES (?, ?, ?)
ON CONFLICT (chat) DO UPDATE SET text = excluded.text, expires_at = excluded.expires_at
"""


def unread(db: Database, chat: ChatId) -> Unread:
    """What is unread in a chat."""
    row = db.query_one(_COUNT, (chat,))
    return Unread() if row is None else Unread(*row)


def unread_bytes(db: Database, chat: ChatId, each: int) -> int:
    """How many bytes the texts have that are unread in a chat, and `each` for every one of them."""
    row = db.query_one(_BYTES, (chat, each))
    return 0 if row is None else int(row[0])


def read(db: Database, chat: ChatId, up_to: int | None, at: int, counted: int | None = None) -> list[MessageId]:
    """Note that others' messages of a chat were read at `at`, up to the message with this pk (None: all), in the chat's
    order; the ids of those that were unread. The time of those that end begins now: at `counted`, by the clock that
    counts it, or at `at`.
    """
    found = db.query(_ALL, (chat,)) if up_to is None else db.query(_UP_TO, (chat, up_to))
    db.executemany(_READ, [(at, at if counted is None else counted, pk) for pk, _ in found])
    return [id for _, id in found]


def listed(db: Database) -> dict[ChatId, ChatRow]:
    """Every contact's chat; one whose last message stands on a page that does not verify is shown without it."""
    try:
        rows = db.query(_LISTED)
    except DatabaseDamaged:
        rows = db.query("SELECT contacts.id, drafts.text FROM contacts LEFT JOIN drafts ON chat = contacts.id")
        return {chat: ChatRow(unread(db, chat), draft or "", _last(db, chat)) for chat, draft in rows}
    return {
        row[0]: ChatRow(unread(db, row[0]), row[1] or "", None if row[2] is None else made(row[2:])) for row in rows
    }


def _last(db: Database, chat: ChatId) -> MessageRow | None:
    return next(iter(page(db, chat, 1)), None)


def keep_draft(db: Database, chat: ChatId, text: str, expires_at: int | None = None) -> bool:
    """Keep what was begun in a chat, until its end by the clock that counts it; "" forgets it. Whether there was one.
    Until `db.checkpoint()` the log holds it.
    """
    if text:
        before = db.query_one("SELECT 1 FROM drafts WHERE chat = ?", (chat,))
        db.execute(_DRAFT, (chat, text, expires_at))
        return before is not None
    return db.execute("DELETE FROM drafts WHERE chat = ?", (chat,)) > 0
