"""Which envelopes arrived already, by their hash: the key that opened one is gone, so its id cannot be read again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2pchat.store.database import Database

REMEMBERED_FOR = 60 * 24 * 3600 * 1000  # milliseconds


@dataclass(frozen=True, slots=True)
class SeenRow:
    """An envelope that was accepted `at`, from whom, and the message in it if a receipt is owed for it; `receipt_at`
    is when its receipt was queued last.
    """

    id: bytes
    contact: bytes
    msg_id: bytes | None
    at: int
    receipt_at: int | None = None


_REMEMBER = (
    "INSERT INTO envelopes_seen (id, contact, msg_id, at, receipt_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)


def seen(db: Database, id: bytes) -> SeenRow | None:
    """What is known of an envelope by its 16-byte hash; None if it is new."""
    row = db.query_one("SELECT id, contact, msg_id, at, receipt_at FROM envelopes_seen WHERE id = ?", (id,))
    return None if row is None else SeenRow(*row)


def remember(db: Database, rows: Iterable[SeenRow]) -> None:
    """Note accepted envelopes; one already noted stays as it is."""
    db.executemany(_REMEMBER, [(row.id, row.contact, row.msg_id, row.at, row.receipt_at) for row in rows])


def receipt_queued(db: Database, id: bytes, at: int) -> None:
    """Note that the receipt for an envelope was queued (again)."""
    db.execute("UPDATE envelopes_seen SET receipt_at = ? WHERE id = ?", (at, id))


def expire(db: Database, now: int) -> None:
    """Forget envelopes that came more than 60 days ago."""
    db.execute("DELETE FROM envelopes_seen WHERE at < ?", (now - REMEMBERED_FOR,))
