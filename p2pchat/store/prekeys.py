"""The secrets of our prekeys, and the first messages that were already accepted."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.store.database import Database, Row

ONE_TIME = "one-time"
ROTATION = "rotation"
RENEWAL = "renewal"


@dataclass(frozen=True, slots=True)
class PrekeyRow:
    """A set of prekeys as `core.prekeys.dump_set` wrote it, by its number. `kind`: one-time (for one invite), rotation
    (kept for a while, for reusable invites and contacts), renewal (for one renewal of a session).
    """

    kind: str
    id: int
    secret: bytes
    created_at: int
    delete_at: int | None = None


@dataclass(frozen=True, slots=True)
class Handshake:
    """A first message that was accepted, and whose: None if that contact was declined."""

    th: bytes
    contact: bytes | None
    forget_at: int


_SELECT = "SELECT kind, id, secret, created_at, delete_at FROM prekeys "
_REMEMBER = (
    "INSERT INTO handshakes (th, contact, forget_at) VALUES (?, ?, ?)"
    " ON CONFLICT (th) DO UPDATE SET contact = excluded.contact, forget_at = excluded.forget_at"
)


def put(db: Database, row: PrekeyRow) -> None:
    """Save a new prekey; its (kind, id) must be new."""
    db.execute(
        "INSERT INTO prekeys (kind, id, secret, created_at, delete_at) VALUES (?, ?, ?, ?, ?)",
        (row.kind, row.id, row.secret, row.created_at, row.delete_at),
    )


def get(db: Database, kind: str, id: int) -> PrekeyRow | None:
    """One prekey, or None if it never was or is deleted."""
    return _made(db.query_one(_SELECT + "WHERE kind = ? AND id = ?", (kind, id)))


def newest(db: Database, kind: str) -> PrekeyRow | None:
    """The prekeys of that kind that were made last, or None."""
    return _made(db.query_one(_SELECT + "WHERE kind = ? ORDER BY created_at DESC, id LIMIT 1", (kind,)))


def delete(db: Database, kind: str, id: int) -> None:
    """Forget a prekey; it does not matter whether it is there."""
    db.execute("DELETE FROM prekeys WHERE kind = ? AND id = ?", (kind, id))


def remember(db: Database, th: bytes, contact: bytes | None, forget_at: int) -> None:
    """Note that the first message with this transcript hash was accepted (again: change what is noted)."""
    db.execute(_REMEMBER, (th, contact, forget_at))


def known(db: Database, th: bytes) -> Handshake | None:
    """The accepted first message with this transcript hash; None if there was none."""
    row = db.query_one("SELECT th, contact, forget_at FROM handshakes WHERE th = ?", (th,))
    return None if row is None else Handshake(*row)


def expire(db: Database, now: int) -> None:
    """Forget the prekeys and the handshakes whose time has come."""
    db.execute("DELETE FROM prekeys WHERE delete_at <= ?", (now,))
    db.execute("DELETE FROM handshakes WHERE forget_at <= ?", (now,))


def _made(row: Row | None) -> PrekeyRow | None:
    return None if row is None else PrekeyRow(*row)
