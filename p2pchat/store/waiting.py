"""Remarks on messages that are not here yet: they wait for them, in bounded numbers."""

from __future__ import annotations

from p2pchat.core.ids import ChatId, ContactId, MessageId
from p2pchat.store.database import Database

MAX_WAITING = 256
"""Waiting remarks of each chat; the oldest are dropped for new ones."""
_ADD = "INSERT INTO waiting (chat, message, author, kind, id, until, content, sender) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ABOUT = "FROM waiting WHERE chat = ?1 AND message = ?2 AND author = ?3 "
_TRIM = f"""
DELETE FROM waiting WHERE chat = ?1 AND pk NOT IN (
    SELECT pk FROM waiting WHERE chat = ?1 ORDER BY pk DESC LIMIT {MAX_WAITING})
"""


def add(
    db: Database,
    chat: ChatId,
    message: MessageId,
    author: ContactId,
    kind: int,
    id: MessageId,
    content: bytes,
    until: int,
    *,
    sender: ContactId,
    latest_only: bool,
) -> None:
    """Save a content of `sender` that waits for a message, given by id and author. latest_only: only the sender's
    newest of its kind matters.
    """
    about = (chat, message, author, sender)
    if latest_only:
        newer = db.query_one(f"SELECT 1 {_ABOUT} AND sender = ?4 AND kind = ?5 AND id >= ?6", (*about, kind, id))
        if newer is not None:
            return
        db.execute(f"DELETE {_ABOUT} AND sender = ?4 AND kind = ?5", (*about, kind))
    elif db.query_one(f"SELECT 1 {_ABOUT} AND sender = ?4 AND id = ?5", (*about, id)) is not None:
        return
    db.execute(_ADD, (chat, message, author, kind, id, until, content, sender))
    db.execute(_TRIM, (chat,))


def take(db: Database, chat: ChatId, message: MessageId, author: ContactId) -> list[tuple[ContactId, bytes]]:
    """Remove and return the contents that waited for a message, each with its sender, oldest first."""
    rows = db.query(f"SELECT sender, content {_ABOUT} ORDER BY id", (chat, message, author))
    if rows:
        db.execute(f"DELETE {_ABOUT}", (chat, message, author))
    return [(ContactId(sender), content) for sender, content in rows]


def any_for(db: Database, chat: ChatId) -> bool:
    """Return whether any content waits in a chat."""
    return db.query_one("SELECT 1 FROM waiting WHERE chat = ? LIMIT 1", (chat,)) is not None


def forget(db: Database, chat: ChatId, message: MessageId, author: ContactId) -> None:
    """Delete the contents that wait for one message of a chat."""
    db.execute(f"DELETE {_ABOUT}", (chat, message, author))


def forget_chat(db: Database, chat: ChatId) -> None:
    """Delete the contents that wait for any message of a chat."""
    db.execute("DELETE FROM waiting WHERE chat = ?", (chat,))


def expire(db: Database, counted: int) -> int:
    """Delete the contents that have waited too long, by the clock of `until`, and return their number."""
    return db.execute("DELETE FROM waiting WHERE until <= ?", (counted,))
