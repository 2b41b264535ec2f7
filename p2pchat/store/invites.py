"""The invites this profile made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

from p2pchat.core.ids import ContactId, InviteId
from p2pchat.lib.times import DAY_MS
from p2pchat.store.database import Database, Row, Value, assignments


class InviteState(StrEnum):
    """The state of one of our invites, as the database has it."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class InviteRow:
    """An invite of ours. kind: 0 one-time, 1 reusable. hello: the key that a joiner proves to know; it is kept after
    the end so that a late joiner can be told. secret, bundle, encoded: deleted when the invite is used up. hidden:
    those who use it must not learn our network address. admitted: first messages accepted on the day `admitted_on`;
    uses: in all. label: the user's name for it. revoked_at: when (ms) the user ended it.
    """

    id: InviteId
    kind: int
    secret: bytes | None
    hello: bytes
    bundle: bytes | None
    expires_at: int
    ask: bool
    state: InviteState
    created_at: int
    encoded: bytes | None = None
    opk_id: int | None = None
    okpk_id: int | None = None
    hidden: bool = False
    admitted_on: int = 0
    admitted: int = 0
    label: str = ""
    uses: int = 0
    revoked_at: int | None = None


_NAMES = tuple(field.name for field in fields(InviteRow))
_COLUMNS = ", ".join(_NAMES)
_values = attrgetter(*_NAMES)  # astuple copies deeply, at ten times the cost
_CHANGING = frozenset(_NAMES) - {"id"}
_ADD = f"INSERT INTO invites ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
_SELECT = f"SELECT {_COLUMNS} FROM invites "
_EXPIRE = (
    "UPDATE invites SET state = 'expired', secret = NULL, bundle = NULL, encoded = NULL"
    " WHERE state = 'open' AND expires_at <= ?"
)
_END = "UPDATE invites SET state = 'expired', revoked_at = ?, secret = NULL, bundle = NULL, encoded = NULL WHERE id = ?"
_FORGET = "DELETE FROM invites WHERE state <> 'open' AND expires_at <= ?"

FORGET_AFTER = 30 * DAY_MS  # milliseconds after the expiry


def add(db: Database, row: InviteRow) -> None:
    """Save a new invite."""
    db.execute(_ADD, _values(row))


def get(db: Database, id: InviteId) -> InviteRow | None:
    """Return the invite with that id, or None."""
    row = db.query_one(_SELECT + "WHERE id = ?", (id,))
    return None if row is None else _made(row)


def open_invites(db: Database) -> list[InviteRow]:
    """Return the invites in the state `open`, oldest first. The caller compares `expires_at`."""
    return [_made(row) for row in db.query(_SELECT + "WHERE state = 'open' ORDER BY created_at, id")]


def all(db: Database) -> list[InviteRow]:
    """Return every invite still known, oldest first."""
    return [_made(row) for row in db.query(_SELECT + "ORDER BY created_at, id")]


def ids(db: Database) -> list[InviteId]:
    """Return the ids of every invite still known."""
    return [id for (id,) in db.query("SELECT id FROM invites")]


def update(db: Database, id: InviteId, **fields: Value) -> None:
    """Set fields of one invite, by the names of `InviteRow`."""
    db.execute(f"UPDATE invites SET {assignments(fields, _CHANGING)} WHERE id = :id", {**fields, "id": id})


def end(db: Database, id: InviteId, at: int) -> None:
    """End an invite before it expires, and delete its secret."""
    db.execute(_END, (at, id))


def used_by(db: Database) -> dict[InviteId, list[tuple[ContactId, str]]]:
    """Return (id, name) of the contacts who used each invite, in order."""
    users: dict[InviteId, list[tuple[ContactId, str]]] = {}
    sql = (
        "SELECT invites.id, contacts.id, name FROM contacts JOIN invites ON invite_id = invites.id AND NOT for_group"
        " ORDER BY contacts.created_at, contacts.id"
    )
    for invite, contact, name in db.query(sql):
        users.setdefault(invite, []).append((contact, name))
    return users


def decline(db: Database, id: InviteId, identity: bytes, limit: int) -> None:
    """Note that the person with this identity key was declined, unless `limit` are already noted for this invite."""
    count = "(SELECT count(*) FROM declined WHERE invite = ?1) < ?3"
    there = "EXISTS (SELECT 1 FROM invites WHERE id = ?1)"
    sql = f"INSERT INTO declined (invite, identity) SELECT ?1, ?2 WHERE {count} AND {there} ON CONFLICT DO NOTHING"
    db.execute(sql, (id, identity, limit))


def was_declined(db: Database, id: InviteId, identity: bytes) -> bool:
    """Return whether the person with this identity key, who used this invite, was declined."""
    return db.query_one("SELECT 1 FROM declined WHERE invite = ? AND identity = ?", (id, identity)) is not None


def expire(db: Database, now: int) -> list[InviteRow]:
    """End the invites that have expired, and delete their secrets; delete ended ones completely 30 days later. Return
    the invites that ended now, as they were, so that the caller can delete their one-time prekeys.
    """
    ended = [row for row in open_invites(db) if row.expires_at <= now]
    db.execute(_EXPIRE, (now,))
    db.execute("DELETE FROM declined WHERE invite IN (SELECT id FROM invites WHERE state <> 'open')")
    db.execute(_FORGET, (now - FORGET_AFTER,))
    return ended


def _made(row: Row) -> InviteRow:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    flags = {name: bool(values[name]) for name in ("ask", "hidden")}
    return InviteRow(**{**values, **flags, "state": InviteState(values["state"])})
