"""Which envelopes arrived already, by their hash: the key that opened one is gone, so its id cannot be read again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2pchat.core.ids import ContactId, EnvelopeId, MessageId
from p2pchat.lib.times import DAY_MS
from p2pchat.store import meta
from p2pchat.store.database import Database

REMEMBERED_FOR = 60 * DAY_MS
PARTS = 24
"""The table is looked through for what is to be forgotten in so many parts, one a call of `expire`."""
_NEXT_PART = "envelopes_next_part"


@dataclass(frozen=True, slots=True)
class SeenRow:
    """An envelope that was accepted `at`, from whom, and the message in it if it gets a receipt; `receipt_at` is when
    that was queued last, None while it is owed.
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
    """Return what is known of an envelope by its 16-byte hash; None if it is new."""
    db.run_gathered()
    row = db.query_one("SELECT id, contact, msg_id, at, receipt_at FROM envelopes_seen WHERE id = ?", (id,))
    return None if row is None else SeenRow(*row)


def remember(db: Database, rows: Iterable[SeenRow]) -> None:
    """Note accepted envelopes, all of a transaction together; one already noted stays as it is."""
    for row in rows:
        db.gather(_REMEMBER, (row.id, row.contact, row.msg_id, row.at, row.receipt_at))


def owe_receipt(db: Database, id: EnvelopeId) -> None:
    """Note that the receipt for an envelope is to be queued (again)."""
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
    """Return the contacts who are owed a receipt."""
    db.run_gathered()
    rows = db.query("SELECT DISTINCT contact FROM envelopes_seen WHERE receipt_at IS NULL AND msg_id IS NOT NULL")
    return [contact for (contact,) in rows]


def receipts_queued(db: Database, ids: Iterable[EnvelopeId], at: int) -> None:
    """Note that the receipts for these envelopes were queued at `at` (ms)."""
    db.run_gathered()
    db.executemany("UPDATE envelopes_seen SET receipt_at = ? WHERE id = ?", [(at, id) for id in ids])


def expire(db: Database, now: int) -> None:
    """Forget envelopes that came more than 60 days ago, in the next of `PARTS` parts of the table.

    Ids are hashes, so equal shares of all ids are equal shares of the rows. An index by time would be written with
    every envelope that comes, for this one look an hour.
    """
    db.run_gathered()
    part = meta.get_int(db, _NEXT_PART) % PARTS
    first, last = part * 256 // PARTS, (part + 1) * 256 // PARTS - 1
    ends = bytes([first]), bytes([last]) + b"\xff" * 16
    db.execute(_FORGET, (*ends, now - REMEMBERED_FOR))
    meta.put_int(db, _NEXT_PART, (part + 1) % PARTS)
