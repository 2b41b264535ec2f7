"""Messages of groups that are known of and have not arrived."""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core.ids import ChatId, MemberId
from p2pchat.store.database import Database


class MissingMessage(NamedTuple):
    """A message that has not arrived. epoch: the pk of its epoch. named_by: the member whose message names it, None if
    a later message of its author is here. since: when that was noticed (ms). asked: how many members were asked for it.
    given_up: nobody is asked any more. notice: the pk of the line in the chat that tells of it, or None. messages: how
    many it stands for: itself, and others of its author before it that have no row of their own.
    """

    epoch: int
    member: MemberId
    number: int
    named_by: MemberId | None
    since: int
    asked: int
    given_up: bool
    notice: int | None
    messages: int = 1


_COLUMNS = ", ".join(MissingMessage._fields)
_ADD = """
INSERT INTO group_gaps (epoch, member, number, named_by, since, ask_at, messages) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET named_by = NULL WHERE excluded.named_by IS NULL
"""
_WIDEN = """
UPDATE group_gaps SET number = ?3, messages = messages + ?4 WHERE epoch = ?1 AND member = ?2
AND number = (SELECT max(number) FROM group_gaps WHERE epoch = ?1 AND member = ?2)
"""
_ONE_LESS = """
UPDATE group_gaps SET messages = messages - 1 WHERE epoch = ?1 AND member = ?2 AND number = (
    SELECT min(number) FROM group_gaps WHERE epoch = ?1 AND member = ?2 AND number > ?3 AND messages > 1)
"""
_NEXT = """
SELECT max(number) FROM group_skipped WHERE epoch = ?1 AND member = ?2 AND number < ?3
AND number NOT IN (SELECT number FROM group_gaps WHERE epoch = ?1 AND member = ?2)
"""
_GO_ON = """
INSERT INTO group_gaps (epoch, member, number, since, ask_at, given_up, notice, messages)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_OF_CHAT = "epoch IN (SELECT pk FROM group_epochs WHERE chat = ?1)"
_TO_ASK = f"""
SELECT {_COLUMNS} FROM group_gaps WHERE {_OF_CHAT} AND given_up = 0
AND (since > ?2 OR NOT ask_at BETWEEN ?2 + 1 AND ?2 + ?3)
ORDER BY ask_at, epoch, member, number LIMIT ?4
"""


def add(
    db: Database,
    epoch: int,
    member: MemberId,
    number: int,
    named_by: MemberId | None,
    at: int,
    ask_at: int,
    messages: int = 1,
) -> None:
    """Note that a message has not arrived. That a later message of its author is here stands above that one names it.
    at, ask_at: when that was noticed, and when somebody is asked for it, in ms. messages: how many the row stands for.
    """
    db.execute(_ADD, (epoch, member, number, named_by, at, ask_at, messages))


def widen(db: Database, epoch: int, member: MemberId, number: int, messages: int) -> None:
    """Have the newest row of an author stand for so many more messages, of which the last has this number."""
    db.execute(_WIDEN, (epoch, member, number, messages))


def count(db: Database, epoch: int, member: MemberId, named_by: MemberId | None) -> int:
    """Return how many messages of an epoch have not arrived, those that were given up too: with `named_by` all that
    this member names, otherwise those of `member`.
    """
    column, value = ("member", member) if named_by is None else ("named_by", named_by)
    row = db.query_one(f"SELECT count(*) FROM group_gaps WHERE epoch = ? AND {column} = ?", (epoch, value))
    return int(row[0]) if row else 0


def has_some(db: Database, epoch: int) -> bool:
    """Return whether messages of an epoch have not arrived, those that were given up too."""
    return db.query_one("SELECT 1 FROM group_gaps WHERE epoch = ? LIMIT 1", (epoch,)) is not None


def arrived(db: Database, epoch: int, member: MemberId, number: int, ask_at: int) -> MissingMessage | None:
    """Note that a message is here; return what was known of it, or None if it had no row. If that stood for others
    too, the next of them that can be read has its place, and somebody is asked for that at `ask_at` (ms); nobody for
    those whose keys are not kept any more.
    """
    sql = f"DELETE FROM group_gaps WHERE epoch = ? AND member = ? AND number = ? RETURNING {_COLUMNS}"
    rows = db.query(sql, (epoch, member, number))
    if not rows:
        db.execute(_ONE_LESS, (epoch, member, number))
        return None
    gap = _made(rows[0])
    if gap.messages > 1:
        ((following,),) = db.query(_NEXT, (epoch, member, number))
        place, lost = (number - 1, True) if following is None else (following, False)
        values = (gap.since, ask_at, int(gap.given_up or lost), gap.notice, gap.messages - 1)
        db.execute(_GO_ON, (epoch, member, place, *values))
    return gap


def chats(db: Database, asked_below: int = 2**31) -> list[ChatId]:
    """Return the chats of the groups in which messages are missing that were not given up, and for which fewer members
    than this were asked.
    """
    sql = "SELECT DISTINCT chat FROM group_gaps JOIN group_epochs ON pk = epoch WHERE given_up = 0 AND asked < ?"
    return [ChatId(chat) for (chat,) in db.query(sql, (asked_below,))]


def missing(db: Database, chat: ChatId) -> list[MissingMessage]:
    """Return the messages of a group that have not arrived and were not given up, in the order of their authors."""
    sql = f"SELECT {_COLUMNS} FROM group_gaps WHERE {_OF_CHAT} AND given_up = 0 ORDER BY member, epoch, number"
    return [_made(row) for row in db.query(sql, (chat,))]


def to_ask(db: Database, chat: ChatId, now: int, longest: int, limit: int) -> list[MissingMessage]:
    """Return messages of a group for which somebody is to be asked by now (ms), those that wait the longest first. One
    that was noticed later than now, or would wait for longer than `longest` ms, is among them: a clock that was ahead
    has written that.
    """
    rows = db.query(_TO_ASK, (chat, now, longest, limit))
    return [_made(row) for row in rows]


def of_notice(db: Database, notice: int) -> list[MissingMessage]:
    """Return the missing messages that a line in the chat, by its pk, tells of."""
    return [_made(row) for row in db.query(f"SELECT {_COLUMNS} FROM group_gaps WHERE notice = ?", (notice,))]


def asked(db: Database, gap: MissingMessage, asked: int, ask_at: int) -> None:
    """Note how many members were asked for a message, and when (ms) the next one is."""
    _update(db, gap, "asked = ?, ask_at = ?", asked, ask_at)


def give_up(db: Database, gap: MissingMessage) -> None:
    """Note that nobody is asked for a message any more."""
    _update(db, gap, "given_up = 1")


def told(db: Database, gap: MissingMessage, notice: int) -> None:
    """Note which line in the chat, by its pk, tells of a message."""
    _update(db, gap, "notice = ?", notice)


def _update(db: Database, gap: MissingMessage, assign: str, *values: int) -> None:
    sql = f"UPDATE group_gaps SET {assign} WHERE epoch = ? AND member = ? AND number = ?"
    db.execute(sql, (*values, gap.epoch, gap.member, gap.number))


def _made(row: tuple[object, ...]) -> MissingMessage:
    gap = MissingMessage(*row)  # type: ignore[arg-type]
    return gap._replace(given_up=bool(gap.given_up))
