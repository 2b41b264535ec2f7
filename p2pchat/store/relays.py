"""The relays that store envelopes for this profile."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.codec import decode, encode
from p2pchat.core.ids import PeerKey
from p2pchat.store.database import Database, Row


@dataclass(frozen=True, slots=True, repr=False)
class RelayRow:
    """A relay, by its transport key. addresses: packed, best first. token: its operator's, or empty. kept: whether it
    is still known in the next run.
    """

    peer: PeerKey
    addresses: tuple[bytes, ...]
    token: bytes
    kept: bool
    added_at: int


_PUT = (
    "INSERT INTO relays (peer, addresses, token, kept, added_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (peer) DO UPDATE"
    " SET addresses = excluded.addresses, token = excluded.token, kept = excluded.kept"
)


def put(db: Database, row: RelayRow) -> None:
    """Save a relay; an existing one keeps its position."""
    db.execute(_PUT, (row.peer, pack(row.addresses), row.token, row.kept, row.added_at))


def all(db: Database) -> list[RelayRow]:
    """Return every relay, oldest first."""
    rows = db.query("SELECT peer, addresses, token, kept, added_at FROM relays ORDER BY number")
    return [_made(row) for row in rows]


def remove(db: Database, peer: PeerKey) -> None:
    """Delete a relay; its queues keep its addresses themselves."""
    db.execute("DELETE FROM relays WHERE peer = ?", (peer,))


def pack(addresses: tuple[bytes, ...]) -> bytes:
    """Return several packed addresses as one value for the database."""
    return encode(list(addresses))


def unpack(value: bytes) -> tuple[bytes, ...]:
    """Return the addresses of `pack`, each in binary form."""
    return tuple(decode(value, len(value)))


def _made(row: Row) -> RelayRow:
    peer, addresses, token, kept, added_at = row
    return RelayRow(peer, unpack(addresses), token, bool(kept), added_at)
