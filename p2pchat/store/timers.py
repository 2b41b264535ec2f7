"""The timers of chats, and the messages and drafts whose time is over.

Ends are times of the counted clock (`counted`, ms), not of the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.ids import ChatId, ContactId, MessageId
from p2pchat.store import messages
from p2pchat.store.database import Database
from p2pchat.store.messages import MessageRow


@dataclass(frozen=True, slots=True)
class ChatTimer:
    """The timer of a chat. seconds: 0 means that messages stay. sender: who set it, a contact's id or `messages.ME`.
    id: of the content.
    """

    seconds: int
    sender: ContactId
    id: MessageId
    at: int


_PUT = "UPDATE chats SET timer_seconds = ?, timer_by = ?, timer_id = ?, timer_at = ? WHERE id = ?"
_TIMER = "timer_seconds, timer_by, timer_id, timer_at FROM chats WHERE timer_id IS NOT NULL"
_NEXT_END = """
SELECT min(at) FROM (
    SELECT min(expires_at) AS at FROM messages WHERE expires_at IS NOT NULL
    UNION ALL SELECT min(draft_expires_at) FROM chats WHERE draft_expires_at IS NOT NULL
    UNION ALL SELECT min(until) FROM waiting)
"""
_DRAFTS_END = "UPDATE chats SET draft = '', draft_expires_at = NULL WHERE draft_expires_at <= ? RETURNING id"
_DRAFT_ENDS_BY = """
UPDATE chats SET draft_expires_at = min(?1, coalesce(draft_expires_at, ?1)) WHERE id = ?2 AND draft <> ''
"""
_SKIPPED = """
DELETE FROM skipped_keys WHERE at < ? AND session_id IN (
    SELECT session_id FROM sessions JOIN devices ON devices.id = device WHERE contact = ?)
"""


def get(db: Database, chat: ChatId) -> ChatTimer | None:
    """Return the timer of a chat; None if nobody has set one."""
    row = db.query_one(f"SELECT {_TIMER} AND id = ?", (chat,))
    return None if row is None else ChatTimer(*row)


def put(db: Database, chat: ChatId, timer: ChatTimer) -> None:
    """Set the timer of a chat, if the chat exists."""
    db.execute(_PUT, (timer.seconds, timer.sender, timer.id, timer.at, chat))


def all(db: Database) -> dict[ChatId, ChatTimer]:
    """Return the timers of all chats that have one."""
    return {chat: ChatTimer(*row) for chat, *row in db.query(f"SELECT id, {_TIMER}")}


def next_end(db: Database) -> int | None:
    """Return when the next message or draft ends, in ms of the counted clock; None if none does."""
    row = db.query_one(_NEXT_END)
    return None if row is None else row[0]


def ended(db: Database, counted: int, limit: int) -> list[MessageRow]:
    """Return the messages whose time is over at `counted` (ms), at most so many, in the order in which they ended."""
    sql = f"SELECT {messages.columns('messages')} FROM messages WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
    return [messages.made(row) for row in db.query(sql, (counted, limit))]


def end_draft_by(db: Database, chat: ChatId, at: int) -> None:
    """Give the draft of a chat an end (ms, by the clock that counts it), unless it has an earlier one."""
    db.execute(_DRAFT_ENDS_BY, (at, chat))


def end_drafts(db: Database, counted: int) -> list[ChatId]:
    """Delete the drafts whose time is over at `counted` (ms), and return their chats."""
    return [chat for (chat,) in db.query(_DRAFTS_END, (counted,))]


def drop_skipped(db: Database, contact: ContactId, before: int) -> int:
    """Delete the skipped message keys of a contact that were saved before that time (ms), and return their number."""
    return db.execute(_SKIPPED, (before, contact))
