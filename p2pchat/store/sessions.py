"""Ratchet sessions, and their skipped message keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter

from p2pchat.core.ids import DeviceId, SessionId
from p2pchat.lib.times import DAY_MS
from p2pchat.store.database import Database

SKIPPED_FOR_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session. session_id: its transcript hash. state: the core's encoded ratchet. receive_until: set once another
    session is used for sending. pending: it belongs to a request that was not answered yet, and is not used before.
    """

    session_id: SessionId
    device: DeviceId
    initiator: bool
    pair_root: bytes
    sas: bytes
    state: bytes
    created_at: int
    confirmed: bool
    receive_until: int | None
    pending: bool


_NAMES = tuple(field.name for field in fields(SessionRow))
_COLUMNS = ", ".join(_NAMES)
_values = attrgetter(*_NAMES)  # astuple copies deeply, at ten times the cost
_CHANGING = ("state", "confirmed", "receive_until", "pending")
_SAVE = (
    f"INSERT INTO sessions ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))}) ON CONFLICT (session_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _CHANGING)
)
# An indexed column in SET costs a page of its index even if it does not change; with each message only this changes.
_SAVE_STATE = (
    "UPDATE sessions SET state = ?1 WHERE session_id = ?2 AND confirmed = ?3 AND receive_until IS ?4 AND pending = ?5"
)
_FOR_DEVICE = f"SELECT {_COLUMNS} FROM sessions WHERE device = ? ORDER BY rowid"
_ADD_SKIPPED = "INSERT INTO skipped_keys (session_id, chain, n, key, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_ENDED = """
SELECT session_id, device FROM sessions AS ended WHERE receive_until <= ?1 AND (NOT confirmed OR EXISTS (
    SELECT 1 FROM sessions AS later WHERE later.device = ended.device AND later.confirmed AND NOT later.pending
        AND (later.receive_until IS NULL OR later.receive_until > ended.receive_until
            OR (later.receive_until = ended.receive_until AND later.rowid > ended.rowid))))
"""
# Newest first is by chain and number: that is the order in which they were skipped, and the key of the table.
_SURPLUS = "SELECT chain, n FROM skipped_keys WHERE session_id = ? ORDER BY chain DESC, n DESC LIMIT -1 OFFSET ?"


def save(db: Database, row: SessionRow) -> None:
    """Save a session; of an existing one, only the fields that change with messages are written."""
    if not db.execute(_SAVE_STATE, (row.state, row.session_id, row.confirmed, row.receive_until, row.pending)):
        db.execute(_SAVE, _values(row))


def for_device(db: Database, device: DeviceId) -> list[SessionRow]:
    """Return the sessions with a device, oldest first."""
    return [
        SessionRow(
            id, who, bool(initiator), pair_root, sas, state, created_at, bool(confirmed), receive_until, bool(pending)
        )
        for id, who, initiator, pair_root, sas, state, created_at, confirmed, receive_until, pending in db.query(
            _FOR_DEVICE, (device,)
        )
    ]


def is_pending(db: Database, session_id: SessionId) -> bool:
    """Return whether this session belongs to a request that was not answered yet."""
    return db.query_one("SELECT 1 FROM sessions WHERE session_id = ? AND pending", (session_id,)) is not None


def remove(db: Database, session_id: SessionId) -> None:
    """Delete a session with its skipped keys."""
    db.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))


def add_skipped(db: Database, session_id: SessionId, keys: Iterable[tuple[int, int, bytes]], at: int) -> None:
    """Save skipped message keys: (chain, n, key)."""
    db.executemany(_ADD_SKIPPED, [(session_id, chain, n, key, at) for chain, n, key in keys])


def drop_skipped(db: Database, session_id: SessionId, keys: Iterable[tuple[int, int]]) -> None:
    """Delete message keys that were used: (chain, n)."""
    db.executemany(
        "DELETE FROM skipped_keys WHERE session_id = ? AND chain = ? AND n = ?", [(session_id, *key) for key in keys]
    )


def drop_chain(db: Database, session_id: SessionId, chain_below: int) -> None:
    """Delete the skipped keys of all chains with a lower number than `chain_below`."""
    db.execute("DELETE FROM skipped_keys WHERE session_id = ? AND chain < ?", (session_id, chain_below))


def skipped(db: Database, session_id: SessionId) -> list[tuple[int, int, bytes]]:
    """Return the skipped keys of a session, oldest first: (chain, n, key)."""
    rows = db.query("SELECT chain, n, key FROM skipped_keys WHERE session_id = ? ORDER BY chain, n", (session_id,))
    return [(chain, n, key) for chain, n, key in rows]


def trim_skipped(db: Database, session_id: SessionId, keep: int) -> list[tuple[int, int]]:
    """Delete all but the newest `keep` skipped keys. Return (chain, n) of those deleted."""
    surplus = [(chain, n) for chain, n in db.query(_SURPLUS, (session_id, keep))]
    if surplus:
        drop_skipped(db, session_id, surplus)
    return surplus


def rivals(db: Database) -> list[DeviceId]:
    """Return the devices with several sessions, none of them ending, of which at least one is confirmed."""
    rows = db.query(
        "SELECT device FROM sessions WHERE receive_until IS NULL AND NOT pending"
        " GROUP BY device HAVING count(*) > 1 AND max(confirmed)"
    )
    return [device for (device,) in rows]


def expire(db: Database, now: int) -> set[DeviceId]:
    """Delete skipped keys older than 30 days, and sessions kept for receiving whose time is over. Return the devices of
    these.

    A confirmed session stays until a later one is confirmed, since it may be the only one that the two have in common.
    """
    db.execute("DELETE FROM skipped_keys WHERE at < ?", (now - SKIPPED_FOR_MS,))
    ended = db.query(_ENDED, (now,))
    db.executemany("DELETE FROM sessions WHERE session_id = ?", [(session_id,) for session_id, _ in ended])
    return {device for _, device in ended}
