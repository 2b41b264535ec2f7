"""The logs of groups at relays: which there are, how far each was read, and what is to be put into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from p2pchat.core.groups.log_relays import LogRelay
from p2pchat.core.ids import ChatId, MessageId, PeerKey
from p2pchat.store.database import Database, Row


class LogRow(NamedTuple):
    """A log. epoch: the pk of its epoch. admin: the public key of its admins. cursor: the place up to which it was
    read. until: when it is read for the last time (ms); None while it is in use.
    """

    pk: int
    chat: ChatId
    epoch: int
    relay: PeerKey
    address: bytes
    token: bytes
    admin: bytes
    cursor: int
    until: int | None

    @property
    def at(self) -> LogRelay:
        """The relay that has it."""
        return LogRelay(self.relay, self.address, self.token)


class OutgoingRow(NamedTuple):
    """An item that is to be put into a log. item: its pk. message: the one of ours that it carries, or None. admin: it
    is put with the admins' key.
    """

    item: int
    sealed: bytes
    message: MessageId | None
    admin: bool


_COLUMNS = ", ".join(LogRow._fields)
_SELECT = f"SELECT {_COLUMNS} FROM group_logs "
_PUT = """
INSERT INTO group_logs (chat, epoch, relay, address, token, admin) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET address = excluded.address, token = excluded.token, until = NULL
"""
_OUTGOING = """
SELECT group_outgoing.item, group_items.item, message, admin
FROM group_outgoing JOIN group_items ON pk = group_outgoing.item WHERE log = ?
ORDER BY admin DESC, group_outgoing.item LIMIT ?
"""
_EXPIRE = """
DELETE FROM group_logs WHERE until <= ? AND NOT EXISTS (SELECT 1 FROM group_outgoing WHERE log = group_logs.pk)
"""
_LEFT = """
SELECT relay FROM group_logs WHERE chat = ? GROUP BY relay
HAVING count(until) = count(*) ORDER BY max(until) DESC, max(pk) DESC
"""
_TRIM_RETIRED = """
DELETE FROM group_logs WHERE pk IN (
    SELECT pk FROM (
        SELECT pk, row_number() OVER (ORDER BY until DESC, pk DESC) AS place
        FROM group_logs WHERE chat = ?1 AND until IS NOT NULL)
    WHERE place > ?3 OR (place > ?2 AND NOT EXISTS (SELECT 1 FROM group_outgoing WHERE log = pk)))
"""
_LET_GO = """
UPDATE group_items SET item = NULL WHERE pk = ? AND NOT EXISTS (SELECT 1 FROM group_outgoing WHERE item = ?1)
"""


def put(db: Database, chat: ChatId, epoch: int, relay: LogRelay, admin: bytes) -> None:
    """Use a log from now on, if it is not in use already. epoch: the pk of its epoch."""
    db.execute(_PUT, (chat, epoch, *relay, admin))


def get(db: Database, pk: int) -> LogRow | None:
    """Return the log with this pk, or None."""
    return _made(db.query_one(_SELECT + "WHERE pk = ?", (pk,)))


def of(db: Database, chat: ChatId) -> list[LogRow]:
    """Return the logs of a group, oldest first."""
    return [LogRow(*row) for row in db.query(_SELECT + "WHERE chat = ? ORDER BY pk", (chat,))]


def of_epoch(db: Database, epoch: int) -> list[LogRow]:
    """Return the logs of the epoch with this pk."""
    return [LogRow(*row) for row in db.query(_SELECT + "WHERE epoch = ? ORDER BY pk", (epoch,))]


def all(db: Database) -> list[LogRow]:
    """Return the logs of all groups, those of each oldest first."""
    return [LogRow(*row) for row in db.query(_SELECT + "ORDER BY pk")]


def retire(db: Database, pk: int, until: int) -> None:
    """Read a log until that time (ms), and use it no more."""
    db.execute("UPDATE group_logs SET until = ? WHERE pk = ?", (until, pk))


def any_retired(db: Database) -> bool:
    """Return whether there is a log that is read for a while only."""
    return db.query_one("SELECT 1 FROM group_logs WHERE until IS NOT NULL LIMIT 1") is not None


def left_relays(db: Database, chat: ChatId) -> list[PeerKey]:
    """Return the relays of which no log of a group is in use any more, those that were left last first."""
    return [PeerKey(relay) for (relay,) in db.query(_LEFT, (chat,))]


def leave(db: Database, chat: ChatId, relay: PeerKey) -> None:
    """Delete the logs of a group at a relay."""
    db.execute("DELETE FROM group_logs WHERE chat = ? AND relay = ?", (chat, relay))


def expire(db: Database, now: int) -> bool:
    """Delete the logs whose time is over and into which nothing is yet to be put: it may be what leads from there to
    the next epoch. Return whether there were any. now: ms.
    """
    return bool(db.execute(_EXPIRE, (now,)))


def trim_retired(db: Database, chat: ChatId, most: int, most_full: int) -> bool:
    """Delete the logs of a group that are not used any more beyond the newest `most`, and of those into which something
    is yet to be put beyond the newest `most_full`; return whether there were any.
    """
    return bool(db.execute(_TRIM_RETIRED, (chat, most, most_full)))


def read_upto(db: Database, pk: int, cursor: int) -> None:
    """Note up to which place a log was read."""
    db.execute("UPDATE group_logs SET cursor = max(cursor, ?) WHERE pk = ?", (cursor, pk))


def queue(db: Database, log: int, item: int, message: MessageId | None, *, admin: bool) -> None:
    """Note that an item is to be put into a log. item: its pk."""
    sql = "INSERT INTO group_outgoing (item, log, message, admin) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
    db.execute(sql, (item, log, message, admin))


def outgoing(db: Database, log: int, most: int) -> list[OutgoingRow]:
    """Return what is to be put into a log, `most` items at most: what is put with the admins' key before all else,
    since a log may have room for that alone; oldest first.
    """
    rows = db.query(_OUTGOING, (log, most))
    return [OutgoingRow(item, sealed, message, bool(admin)) for item, sealed, message, admin in rows]


def with_outgoing(db: Database) -> set[int]:
    """Return the pks of logs into which something is to be put."""
    return {int(log) for (log,) in db.query("SELECT DISTINCT log FROM group_outgoing")}


def lacking(db: Database, message: MessageId) -> int:
    """Return how many logs have yet to be given a message of ours."""
    row = db.query_one("SELECT count(*) FROM group_outgoing WHERE message = ?", (message,))
    return 0 if row is None else int(row[0])


def waits(db: Database, epoch: int) -> bool:
    """Return whether something is to be put into a log of the epoch with this pk."""
    sql = "SELECT 1 FROM group_outgoing JOIN group_logs ON pk = log WHERE epoch = ?"
    return db.query_one(sql, (epoch,)) is not None


def done(db: Database, log: int, items: Iterable[int]) -> None:
    """Note that items are in a log, or never will be; one that nobody waits for any more is let go."""
    for item in items:
        db.execute("DELETE FROM group_outgoing WHERE log = ? AND item = ?", (log, item))
        db.execute(_LET_GO, (item,))


def _made(row: Row | None) -> LogRow | None:
    return None if row is None else LogRow(*row)
