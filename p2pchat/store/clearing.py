"""Deleting all messages of a chat, some in each transaction: a hundred thousand take seconds, in which nothing else
could be saved.

The row of the chat says up to which message it is being cleared, so clearing continues after a power cut, and newer
messages stay.
"""

from __future__ import annotations

from p2pchat.core.ids import ChatId
from p2pchat.store import messages
from p2pchat.store.database import Database

MAX_CLEARED_AT_ONCE = 1000
"""Messages that one transaction deletes; about 30 ms."""

_BEGIN = "UPDATE chats SET clear_to = (SELECT max(pk) FROM messages) WHERE id = ?"
_NEXT = """
SELECT pk FROM messages WHERE chat = ?1 AND pk <= (SELECT clear_to FROM chats WHERE id = ?1)
ORDER BY place, seq, pk LIMIT ?2
"""
_GOING_ON = "SELECT id, clear_to FROM chats WHERE clear_to IS NOT NULL ORDER BY id"


def begin(db: Database, chat: ChatId) -> None:
    """Note that all current messages of a chat are to be deleted; see `go_on`."""
    db.execute(_BEGIN, (chat,))


def is_cleared(db: Database, chat: ChatId) -> bool:
    """Return whether clearing a chat is complete."""
    return db.query_one("SELECT 1 FROM chats WHERE id = ? AND clear_to IS NOT NULL", (chat,)) is None


def takes_long(db: Database, chat: ChatId) -> bool:
    """Return whether a chat has more messages than one transaction deletes."""
    return (
        db.query_one("SELECT 1 FROM messages WHERE chat = ? LIMIT 1 OFFSET ?", (chat, MAX_CLEARED_AT_ONCE)) is not None
    )


def under_way(db: Database) -> list[ChatId]:
    """Return the chats that are being cleared, in the order in which it was requested."""
    return [chat for chat, _ in db.query(_GOING_ON)]


def next_part(db: Database, chat: ChatId) -> list[int]:
    """Return the pks of the messages that `go_on` deletes next."""
    return [pk for (pk,) in db.query(_NEXT, (chat, MAX_CLEARED_AT_ONCE))]


def go_on(db: Database, chat: ChatId, *, remember: bool = True) -> bool:
    """Delete the next messages of a chat that is being cleared; return whether it is complete. Until `db.checkpoint()`
    the write-ahead log contains them. remember: whether to remember their ids, so that none of them is accepted again.
    """
    row = db.query_one("SELECT clear_to FROM chats WHERE id = ?", (chat,))
    done = row is None or row[0] is None or messages.clear(db, chat, row[0], MAX_CLEARED_AT_ONCE, remember=remember)
    if done:
        db.execute("UPDATE chats SET clear_to = NULL WHERE id = ?", (chat,))
    return done
