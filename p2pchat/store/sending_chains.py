"""Sending chains that have ended while rows sealed in them are still in the outbox.

A row is sealed again from its content, its seal, and the header data of its chain (2.4 kB). The session has that of the
current chain. Nearly every message of a conversation begins another chain, so it is stored here only if a chain ends
before the rows that are sealed in it have been deleted.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.ids import DeviceId, SessionId
from p2pchat.store.database import Database


@dataclass(frozen=True, slots=True)
class SendingChainRow:
    """A chain of a session with a device. chain: its number in the session. first_row: no earlier outbox row is sealed
    in it. header: the core's encoded `SendingChain`.
    """

    recipient: DeviceId
    session_id: SessionId
    chain: int
    first_row: int
    header: bytes


# Rows of a chain are close together, so a search from the first one is short.
_WAITS = "SELECT 1 FROM outbox WHERE recipient = {0} AND pk >= {1} AND chain = {2} AND session_id = {3}"
_KEEP = f"""
INSERT INTO sending_chains (recipient, session_id, chain, first_row, header) SELECT ?1, ?2, ?3, ?4, ?5
WHERE EXISTS ({_WAITS.format("?1", "?4", "?3", "?2")}) ON CONFLICT DO NOTHING
"""
_FORGET = "DELETE FROM sending_chains WHERE {0} NOT EXISTS (" + (
    _WAITS.format(*(f"sending_chains.{name}" for name in ("recipient", "first_row", "chain", "session_id"))) + ")"
)


def keep(db: Database, row: SendingChainRow) -> bool:
    """Store a chain that has ended if an outbox row is sealed in it; return whether there is one."""
    return db.execute(_KEEP, (row.recipient, row.session_id, row.chain, row.first_row, row.header)) > 0


def get(db: Database, session_id: SessionId, chain: int) -> bytes | None:
    """Return the encoded header data of a chain, by its number; None if it is not stored."""
    row = db.query_one("SELECT header FROM sending_chains WHERE session_id = ? AND chain = ?", (session_id, chain))
    return None if row is None else row[0]


def forget_unused(db: Database, session_id: SessionId | None = None) -> None:
    """Delete the chains, of one session or of all, in which no outbox row is sealed."""
    if session_id is None:
        db.execute(_FORGET.format(""))
    else:
        db.execute(_FORGET.format("session_id = ?1 AND"), (session_id,))


def count(db: Database, session_id: SessionId) -> int:
    """Return how many chains of a session are stored."""
    row = db.query_one("SELECT count(*) FROM sending_chains WHERE session_id = ?", (session_id,))
    return 0 if row is None else int(row[0])
