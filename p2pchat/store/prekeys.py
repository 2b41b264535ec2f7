"""The secrets of our prekeys, and the first messages that were accepted."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.ids import ContactId, SessionId
from p2pchat.store.database import Database, Row

ONE_TIME = "one-time"
ROTATION = "rotation"
RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class PrekeyRow:
    """A set of prekeys, encoded by `core.prekeys.dump_set`. kind: one-time (for one invite), rotation (kept for a
    while, for reusable invites and contacts) or renewal (for one renewal of a session).
    """

    kind: str
    id: int
    secret: bytes
    created_at: int
    delete_at: int | None = None


@dataclass(frozen=True, slots=True)
class Handshake:
    """An accepted first message and its contact; None if that contact was declined."""

    session_id: SessionId
    contact: ContactId | None
    forget_at: int


_SELECT = "SELECT kind, id, secret, created_at, delete_at FROM prekeys "
_REMEMBER = (
    "INSERT INTO handshakes (session_id, contact, forget_at) VALUES (?, ?, ?)"
    " ON CONFLICT (session_id) DO UPDATE SET contact = excluded.contact, forget_at = excluded.forget_at"
)


def put(db: Database, row: PrekeyRow) -> None:
    """Save a new prekey; its (kind, id) must be new."""
    db.execute(
        "INSERT INTO prekeys (kind, id, secret, created_at, delete_at) VALUES (?, ?, ?, ?, ?)",
        (row.kind, row.id, row.secret, row.created_at, row.delete_at),
    )


def get(db: Database, kind: str, id: int) -> PrekeyRow | None:
    """Return one prekey by its kind and number, or None if it never was or is deleted."""
    return _made(db.query_one(_SELECT + "WHERE kind = ? AND id = ?", (kind, id)))


def newest(db: Database, kind: str, now: int) -> PrekeyRow | None:
    """Return the newest prekeys of a kind, or None. Those that a clock ahead of `now` (ms) has made do not count."""
    where = "WHERE kind = ? AND created_at <= ? ORDER BY created_at DESC, id LIMIT 1"
    return _made(db.query_one(_SELECT + where, (kind, now)))


def ahead(db: Database, kind: str, now: int) -> bool:
    """Return whether there are prekeys of a kind that were made in the future, by a wrong clock."""
    return db.query_one("SELECT 1 FROM prekeys WHERE kind = ? AND created_at > ?", (kind, now)) is not None


def redate(db: Database, kind: str, now: int, delete_at: int) -> None:
    """Date prekeys of a kind that were made in the future as of `now`, to be deleted at `delete_at` at the
    latest (ms).
    """
    sql = "UPDATE prekeys SET created_at = ?2, delete_at = min(delete_at, ?3) WHERE kind = ?1 AND created_at > ?2"
    db.execute(sql, (kind, now, delete_at))


def delete(db: Database, kind: str, id: int) -> None:
    """Delete the prekeys of this kind and number, if they exist."""
    db.execute("DELETE FROM prekeys WHERE kind = ? AND id = ?", (kind, id))


def remember(db: Database, session_id: SessionId, contact: ContactId | None, forget_at: int) -> None:
    """Note until `forget_at` (ms) that the first message with this transcript hash was accepted, replacing an earlier
    note.
    """
    db.execute(_REMEMBER, (session_id, contact, forget_at))


def known(db: Database, session_id: SessionId) -> Handshake | None:
    """Return the accepted first message with this transcript hash; None if there was none."""
    row = db.query_one("SELECT session_id, contact, forget_at FROM handshakes WHERE session_id = ?", (session_id,))
    return None if row is None else Handshake(*row)


def expire(db: Database, passed: int, now: int) -> None:
    """Delete the prekeys and handshakes that have expired by `passed`. Prekeys of a renewal live for an hour and are
    requested again if missing, so they expire by the clock as it is `now`.
    """
    db.execute("DELETE FROM prekeys WHERE delete_at <= ?1 OR (kind = ?2 AND delete_at <= ?3)", (passed, RENEWAL, now))
    db.execute("DELETE FROM handshakes WHERE forget_at <= ?", (passed,))


def _made(row: Row | None) -> PrekeyRow | None:
    return None if row is None else PrekeyRow(*row)
