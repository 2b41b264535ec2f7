"""The membership logs of groups: the exact bytes of their events, without rekeys, in the order in which they came."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from p2pchat.core.ids import ChatId, EventId
from p2pchat.store.database import ID_LIST, Database, packed


class EventRow(NamedTuple):
    """An event. event: its bytes, without its rekey. at: when it came here, in ms."""

    pk: int
    id: EventId
    event: bytes
    at: int


_ADD = "INSERT INTO group_events (chat, id, event, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_SELECT = "SELECT pk, id, event, at FROM group_events WHERE chat = ? "


def add(db: Database, chat: ChatId, id: EventId, event: bytes, at: int) -> bool:
    """Save an event of a group; return False if it is here already."""
    return db.execute(_ADD, (chat, id, event, at)) > 0


def remove(db: Database, chat: ChatId, ids: Iterable[EventId]) -> None:
    """Delete events that need not be kept any more."""
    db.executemany("DELETE FROM group_events WHERE chat = ? AND id = ?", [(chat, id) for id in ids])


def seen(db: Database, chat: ChatId, ids: Collection[EventId]) -> dict[EventId, int]:
    """Return when each of these events came here first, in ms, of those that are here."""
    sql = f"SELECT id, at FROM group_events WHERE chat = ?1 AND id IN {ID_LIST.format('?2')}"
    return {EventId(id): at for id, at in db.query(sql, (chat, packed([*ids])))}


def all(db: Database, chat: ChatId) -> list[EventRow]:
    """Return all events of a group in the order in which they came, in which parents stand before their children."""
    return [EventRow(*row) for row in db.query(_SELECT + "ORDER BY pk", (chat,))]


def size(db: Database, chat: ChatId) -> tuple[int, int]:
    """Return how many events of a group are here, and how many bytes they have together."""
    ((count, size),) = db.query("SELECT count(*), total(length(event)) FROM group_events WHERE chat = ?", (chat,))
    return int(count), int(size)


def get(db: Database, chat: ChatId, id: EventId) -> bytes | None:
    """Return the bytes of an event, without its rekey; None if it is not here."""
    row = db.query_one("SELECT event FROM group_events WHERE chat = ? AND id = ?", (chat, id))
    return None if row is None else row[0]


def page(db: Database, chat: ChatId, limit: int, before: EventId | None = None) -> list[EventRow]:
    """Return the newest events, or the newest that came before one of them; newest last."""
    where, values = "", (chat, limit)
    if before is not None:
        where = "AND pk < (SELECT pk FROM group_events WHERE chat = ?1 AND id = ?3) "
        rows = db.query(_SELECT.replace("?", "?1") + where + "ORDER BY pk DESC LIMIT ?2", (*values, before))
    else:
        rows = db.query(_SELECT + "ORDER BY pk DESC LIMIT ?", values)
    return [EventRow(*row) for row in rows[::-1]]
