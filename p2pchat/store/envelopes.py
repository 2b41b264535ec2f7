"""The envelopes that were received, by hash: the key that opened one is deleted, so its content id cannot be read
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2pchat.core.ids import ContactId, EnvelopeId, MessageId
from p2pchat.lib.times import DAY_MS
from p2pchat.store import meta
from p2pchat.store.database import Database

REMEMBERED_FOR = 60 * DAY_MS
PARTS = 24
"""The number of parts of the table; each call of `expire` goes through one of them."""
_NEXT_PART = "envelopes_next_part"


@dataclass(frozen=True, slots=True)
class SeenRow:
    """An accepted envelope. at: when (ms). message: the id of the message in it, if that gets a receipt. receipt_at:
    when the receipt was last queued; None while it is owed.
    """

    id: EnvelopeId
    contact: ContactId
    msg_id: MessageId | None
    at: int
    receipt_at: int | None = None


_REMEMBER = (
    "INSERT INTO envelopes_seen (id, contact, msg_id, at, receipt_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)

_FORGET = "DELETE FROM envelopes_seen WHERE id BETWEEN ?1 AND ?2 AND at < ?3"


def seen(db: Database, id: EnvelopeId) -> SeenRow | None:
    """Return the row of an envelope by its 16-byte hash; None if it is new."""
    db.run_gathered()
    row = db.query_one("SELECT id, contact, msg_id, at, receipt_at FROM envelopes_seen WHERE id = ?", (id,))
    return None if row is None else SeenRow(*row)


def remember(db: Database, rows: Iterable[SeenRow]) -> None:
    """Note the accepted envelopes of a transaction; one that is already noted stays as it is."""
    for row in rows:
        db.gather(_REMEMBER, (row.id, row.contact, row.msg_id, row.at, row.receipt_at))


def owe_receipt(db: Database, id: EnvelopeId) -> None:
    """Note that the receipt for an envelope has to be queued, or queued again."""
    db.run_gathered()
    db.execute("UPDATE envelopes_seen SET receipt_at = NULL WHERE id = ?", (id,))


def owed(db: Database, contact: ContactId, limit: int) -> list[tuple[EnvelopeId, MessageId]]:
    """Return (envelope id, message id) of a contact's envelopes whose receipt is owed, at most so many, oldest
    first.
    """
    db.run_gathered()
    rows = db.query(
        "SELECT id, msg_id FROM envelopes_seen WHERE contact = ? AND receipt_at IS NULL AND msg_id IS NOT NULL"
        " ORDER BY at, msg_id LIMIT ?",
        (contact, limit),
    )
    return [(id, msg_id) for id, msg_id in rows]


def contacts_owed(db: Database) -> list[ContactId]:
    """Return the contacts to whom a receipt is owed."""
    db.run_gathered()
    rows = db.query("SELECT DISTINCT contact FROM envelopes_seen WHERE receipt_at IS NULL AND msg_id IS NOT NULL")
    return [contact for (contact,) in rows]


def receipts_queued(db: Database, ids: Iterable[EnvelopeId], at: int) -> None:
    """Note that the receipts for these envelopes were queued at `at` (ms)."""
    db.run_gathered()
    db.executemany("UPDATE envelopes_seen SET receipt_at = ? WHERE id = ?", [(at, id) for id in ids])


def expire(db: Database, now: int) -> None:
    """Delete envelopes older than 60 days, in the next of `PARTS` parts of the table.

    Ids are hashes, so equal ranges of ids contain equal shares of the rows. An index by time would have to be written
    with every envelope, only for this hourly query.
    """
    db.run_gathered()
    part = meta.get_int(db, _NEXT_PART) % PARTS
    first, last = part * 256 // PARTS, (part + 1) * 256 // PARTS - 1
    ends = bytes([first]), bytes([last]) + b"\xff" * 16
    db.execute(_FORGET, (*ends, now - REMEMBERED_FOR))
    meta.put_int(db, _NEXT_PART, (part + 1) % PARTS)
