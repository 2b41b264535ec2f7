"""Messages of groups as their authors signed them, for those who become members later.

A record goes with its message, and as soon as that is edited or deleted: nobody is sent what its author took back.
"""

from __future__ import annotations

from p2pchat.core.ids import ChatId
from p2pchat.store.database import Database

_KEEP = """
DELETE FROM group_records WHERE message IN (
    SELECT message FROM group_records JOIN messages ON pk = message WHERE chat = ?1
    ORDER BY place DESC, seq DESC LIMIT -1 OFFSET ?2)
"""
_NEWEST = """
SELECT record FROM group_records JOIN messages ON pk = message WHERE chat = ?1 ORDER BY place DESC, seq DESC LIMIT ?2
"""


def add(db: Database, chat: ChatId, message: int, record: bytes, most: int) -> None:
    """Keep the record of a message, by its pk, and of no more than `most` in its chat: the newest."""
    db.execute("INSERT INTO group_records (message, record) VALUES (?, ?) ON CONFLICT DO NOTHING", (message, record))
    db.execute(_KEEP, (chat, most))


def newest(db: Database, chat: ChatId, count: int) -> list[bytes]:
    """Return the records of the newest messages of a chat, at most so many, oldest first."""
    return [record for (record,) in db.query(_NEWEST, (chat, count))][::-1]


def forget(db: Database, chat: ChatId) -> None:
    """Forget the records of a chat."""
    db.execute(_KEEP, (chat, 0))
