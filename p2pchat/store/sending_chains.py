"""Sending chains that have ended, and in which rows of the outbox are sealed that still wait.

A row is sealed again from its content, its seal, and what the headers of its chain carry (2.4 kB). The session has that
of the chain in use. Nearly every message of a conversation begins another one, so it is written here only where a chain
ends before the rows that are sealed in it have gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.ids import DeviceId, SessionId
from p2pchat.store.database import Database


@dataclass(frozen=True, slots=True)
class SendingChainRow:
    """A chain of a session with a device. `chain` is its number in the session; no row of the outbox before `first_row`
    is sealed in it; `header` is the core's encoded `SendingChain`.
    """

    recipient: DeviceId
    session_id: SessionId
    chain: int
    first_row: int
    header: bytes


# Rows of a chain stand together, so from its first one on one of them is found soon.
_WAITS = "SELECT 1 FROM outbox WHERE recipient = {0} AND pk >= {1} AND chain = {2} AND session_id = {3}"
_KEEP = f"""
INSERT INTO sending_chains (recipient, session_id, chain, first_row, header) SELECT ?1, ?2, ?3, ?4, ?5
WHERE EXISTS ({_WAITS.format("?1", "?4", "?3", "?2")}) ON CONFLICT DO NOTHING
"""
_FORGET = "DELETE FROM sending_chains WHERE {0} NOT EXISTS (" + (
    _WAITS.format(*(f"sending_chains.{name}" for name in ("recipient", "first_row", "chain", "session_id"))) + ")"
)


def keep(db: Database, row: SendingChainRow) -> bool:
    """Keep a chain that has ended if a row of the outbox is sealed in it; whether there is one."""
    return db.execute(_KEEP, (row.recipient, row.session_id, row.chain, row.first_row, row.header)) > 0


def get(db: Database, session_id: SessionId, chain: int) -> bytes | None:
    """Return what the headers of a chain, by its number, carry, encoded; None if it is not kept."""
    row = db.query_one("SELECT header FROM sending_chains WHERE session_id = ? AND chain = ?", (session_id, chain))
    return None if row is None else row[0]


def forget_unused(db: Database, session_id: SessionId | None = None) -> None:
    """Forget the chains, of one session or of all, in which nothing is sealed that waits."""
    if session_id is None:
        db.execute(_FORGET.format(""))
    else:
        db.execute(_FORGET.format("session_id = ?1 AND"), (session_id,))


def count(db: Database, session_id: SessionId) -> int:
    """Return how many chains of a session are kept."""
    row = db.query_one("SELECT count(*) FROM sending_chains WHERE session_id = ?", (session_id,))
    return 0 if row is None else int(row[0])
