"""Who has read what in groups: what we tell members of theirs, and what they tell us of ours. Of each member that is
one range of numbers (`seq`), the newest.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from p2pchat.core.ids import ChatId, MemberId, MessageId
from p2pchat.store.database import ID_LIST, Database, packed


class ReadRange(NamedTuple):
    """The messages of an author that were read: from the number `first` to `last`."""

    first: int
    last: int


_NOTE = f"""
INSERT INTO group_reads (chat, member, first, last)
SELECT chat, sender, min(seq), max(seq) FROM messages
WHERE id IN {ID_LIST.format("?2")} AND chat = ?1 AND sender <> x'' AND seq > 0 GROUP BY sender
ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last), told = 0
"""
_PUT = """
INSERT INTO group_seen (chat, member, first, last) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET first = excluded.first, last = excluded.last
"""
_NEWLY = """
SELECT pk FROM messages WHERE chat = ? AND sender = x'' AND seq BETWEEN ? AND ? ORDER BY seq DESC LIMIT ?
"""


def note(db: Database, chat: ChatId, ids: Collection[MessageId]) -> None:
    """Note that we have read these messages of members."""
    db.execute(_NOTE, (chat, packed(ids)))


def untold(db: Database, chat: ChatId) -> list[tuple[MemberId, ReadRange]]:
    """Return what members have not been told of their messages."""
    rows = db.query("SELECT member, first, last FROM group_reads WHERE chat = ? AND told = 0 ORDER BY member", (chat,))
    return [(MemberId(member), ReadRange(first, last)) for member, first, last in rows]


def chats_untold(db: Database) -> list[ChatId]:
    """Return the chats of the groups in which members have not been told something."""
    return [ChatId(chat) for (chat,) in db.query("SELECT DISTINCT chat FROM group_reads WHERE told = 0")]


def told(db: Database, chat: ChatId) -> None:
    """Note that all members have been told."""
    db.execute("UPDATE group_reads SET told = 1 WHERE chat = ? AND told = 0", (chat,))


def forget(db: Database, chat: ChatId) -> None:
    """Forget what we have read in a group, so that nobody is told of it later."""
    db.execute("DELETE FROM group_reads WHERE chat = ?", (chat,))


def seen(db: Database, chat: ChatId, member: MemberId) -> ReadRange | None:
    """Return which messages of ours a member says to have read, or None."""
    row = db.query_one("SELECT first, last FROM group_seen WHERE chat = ? AND member = ?", (chat, member))
    return None if row is None else ReadRange(*row)


def put_seen(db: Database, chat: ChatId, member: MemberId, range: ReadRange) -> None:
    """Save which messages of ours a member says to have read."""
    db.execute(_PUT, (chat, member, *range))


def newly(db: Database, chat: ChatId, range: ReadRange, limit: int) -> list[int]:
    """Return the pks of our messages with these numbers, the newest first."""
    return [int(pk) for (pk,) in db.query(_NEWLY, (chat, *range, limit))]
