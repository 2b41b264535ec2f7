"""The relays that are known from their descriptors."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.core.descriptors import read_descriptor
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.relay_cache import KnownRelay
from p2pchat.store import relays
from p2pchat.store.database import Database, Row

_ALL = "SELECT descriptor, addresses, told_by, heard_at, worked_at FROM known_relays"
_PUT = (
    "INSERT INTO known_relays (relay, descriptor, addresses, told_by, heard_at, worked_at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (relay) DO UPDATE SET descriptor = excluded.descriptor, addresses = excluded.addresses,"
    " heard_at = excluded.heard_at, worked_at = excluded.worked_at"
)


def all(db: Database) -> list[KnownRelay]:
    """Return every relay, in the order of their keys."""
    return [_made(row) for row in db.query(f"{_ALL} ORDER BY relay")]


def get(db: Database, relay: PeerKey) -> KnownRelay | None:
    """Return what is known of a relay, or None."""
    row = db.query_one(f"{_ALL} WHERE relay = ?", (relay,))
    return None if row is None else _made(row)


def addresses(db: Database) -> dict[PeerKey, tuple[bytes, ...]]:
    """Return the addresses of all relays, packed, best first."""
    return {relay: relays.unpack(packed) for relay, packed in db.query("SELECT relay, addresses FROM known_relays")}


def put(db: Database, row: KnownRelay) -> None:
    """Save what is known of a relay; who told of it first stays."""
    db.execute(_PUT, (row.relay, row.raw, relays.pack(row.addresses), row.told_by, row.heard_at, row.worked_at))


def worked(db: Database, relay: PeerKey, now: int) -> bool:
    """Note that a relay has answered at `now` (ms). Return whether it is known."""
    return db.execute("UPDATE known_relays SET worked_at = ? WHERE relay = ?", (now, relay)) > 0


def remove(db: Database, relays: Iterable[PeerKey]) -> None:
    """Forget these relays."""
    db.executemany("DELETE FROM known_relays WHERE relay = ?", [(relay,) for relay in relays])


def forget_source(db: Database, contact: ContactId) -> None:
    """Forget that a contact has told of relays, and those of them that have never answered us."""
    db.execute("DELETE FROM known_relays WHERE told_by = ? AND worked_at = 0", (contact,))
    db.execute("UPDATE known_relays SET told_by = x'' WHERE told_by = ?", (contact,))


def _made(row: Row) -> KnownRelay:
    raw, addresses, told_by, heard_at, worked_at = row
    return KnownRelay(read_descriptor(raw), raw, relays.unpack(addresses), told_by, heard_at, worked_at)
