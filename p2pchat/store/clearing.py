"""Deleting all that was said in a chat, some in each transaction: a hundred thousand messages take seconds, in which
nothing else could be saved.

Up to which message a chat is being cleared is in its row, so what a power cut interrupts goes on at the next start, and
what is said meanwhile stays.
"""

from __future__ import annotations

from p2pchat.core.ids import ChatId
from p2pchat.store import messages
from p2pchat.store.database import Database

MAX_CLEARED_AT_ONCE = 1000
"""Messages that one transaction deletes; about 30 ms."""

_BEGIN = "UPDATE chats SET clear_to = (SELECT max(pk) FROM messages) WHERE id = ?"
_GOING_ON = "SELECT id, clear_to FROM chats WHERE clear_to IS NOT NULL ORDER BY id"


def begin(db: Database, chat: ChatId) -> None:
    """Note that what is in a chat now is to be deleted: see `go_on`."""
    db.execute(_BEGIN, (chat,))


def is_cleared(db: Database, chat: ChatId) -> bool:
    """Return whether nothing of a chat is left to delete."""
    return db.query_one("SELECT 1 FROM chats WHERE id = ? AND clear_to IS NOT NULL", (chat,)) is None


def go_on(db: Database) -> tuple[ChatId, bool] | None:
    """Delete the next messages of the first chat that is being cleared; which it was, and whether that was all of it.
    None where no chat is. Until `db.checkpoint()` the log holds them.
    """
    row = db.query_one(_GOING_ON)
    if row is None:
        return None
    chat, up_to = row
    done = messages.clear(db, chat, up_to, MAX_CLEARED_AT_ONCE)
    if done:
        db.execute("UPDATE chats SET clear_to = NULL WHERE id = ?", (chat,))
    return chat, done
