"""The newest messages of groups, as they came: what the next message names, and what members can be given who lack it.

A body is sealed with a message key that was deleted when it was read here, so nothing here opens it again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from p2pchat.core.ids import ChatId, MemberId
from p2pchat.store.database import Database

MAX_MESSAGES = 2_000
MAX_BYTES = 4 * 2**20
"""What is kept for one group at most; the oldest give way."""
TRIM_EVERY = 512
"""How many messages of all groups come between two times that one is trimmed, which takes long."""


class PlacedMessage(NamedTuple):
    """A message by its place. epoch: the pk of its epoch. head: the first 8 bytes of its digest."""

    epoch: int
    member: MemberId
    number: int
    head: bytes


class KeptMessage(NamedTuple):
    """A message as it is kept. named: no later message of ours need name it."""

    message: PlacedMessage
    body: bytes
    named: bool


_ADD = """
INSERT INTO group_transcript (epoch, member, number, head, body, named) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'group_transcript'"
_NAME = """
UPDATE group_transcript SET named = 1 WHERE epoch = ? AND member = ? AND number = ? RETURNING head
"""
_NOT_NAMED = """
SELECT epoch, member, number, head FROM group_transcript INDEXED BY group_transcript_not_named
WHERE epoch IN (?, ?) AND named = 0 ORDER BY pk DESC LIMIT ?
"""
_TRIM = """
DELETE FROM group_transcript WHERE pk IN (
    SELECT pk FROM (
        SELECT pk, row_number() OVER newest AS place, sum(length(body)) OVER newest AS bytes
        FROM group_transcript WHERE epoch IN (SELECT pk FROM group_epochs WHERE chat = ?1)
        WINDOW newest AS (ORDER BY pk DESC))
    WHERE place > ?2 OR bytes > ?3)
"""


def add(db: Database, chat: ChatId, message: PlacedMessage, body: bytes, *, named: bool) -> None:
    """Keep a message of a group. named: no later message of ours need name it."""
    add_all(db, chat, [KeptMessage(message, body, named)])


def add_all(db: Database, chat: ChatId, messages: Collection[KeptMessage]) -> None:
    """Keep messages of a group, in the order in which they came."""
    if not messages:
        return
    added = db.executemany(_ADD, [(*kept.message, kept.body, kept.named) for kept in messages])
    last = db.query_one(_LAST)
    if last is not None and last[0] // TRIM_EVERY != (last[0] - added) // TRIM_EVERY:
        db.execute(_TRIM, (chat, MAX_MESSAGES, MAX_BYTES))


def name(db: Database, epoch: int, member: MemberId, number: int) -> bytes | None:
    """Note that a message that is here names this one; return the head of this one, or None if it is not kept."""
    named = db.query(_NAME, (epoch, member, number))
    return bytes(named[0][0]) if named else None


def not_named(db: Database, epochs: tuple[int, int], limit: int) -> Sequence[PlacedMessage]:
    """Return the newest messages of these two epochs, by their pks, that no message here names: newest first."""
    return [PlacedMessage(*row) for row in db.query(_NOT_NAMED, (*epochs, limit))]


def body(db: Database, epoch: int, member: MemberId, number: int) -> bytes | None:
    """Return the body of a message, or None if it is not kept."""
    sql = "SELECT body FROM group_transcript WHERE epoch = ? AND member = ? AND number = ?"
    row = db.query_one(sql, (epoch, member, number))
    return None if row is None else row[0]
