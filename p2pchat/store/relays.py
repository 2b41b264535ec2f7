"""The relays that store envelopes for this profile."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.codec import decode, encode
from p2pchat.core.ids import PeerKey
from p2pchat.store.database import Database, Row

MAX_REACHED = 4


@dataclass(frozen=True, slots=True, repr=False)
class RelayRow:
    """A relay, by its transport key. addresses: packed, best first. token: its operator's, or empty. kept: whether it
    is still known in the next run. described: where the relay itself says that it is, packed. moved: whether it is no
    longer where the user said.
    """

    peer: PeerKey
    addresses: tuple[bytes, ...]
    token: bytes
    kept: bool
    added_at: int
    described: tuple[bytes, ...] = ()
    moved: bool = False

    @property
    def reached_at(self) -> tuple[bytes, ...]:
        """The packed addresses to try, best first, at most `MAX_REACHED`; the user's first two are among them."""
        more = tuple(address for address in self.described if address not in self.addresses)[: MAX_REACHED // 2]
        ways = (*more, *self.addresses) if self.moved else (*self.addresses[: MAX_REACHED - len(more)], *more)
        return ways[:MAX_REACHED]


_PUT = (
    "INSERT INTO relays (peer, addresses, token, kept, added_at, described, moved) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (peer) DO UPDATE SET addresses = excluded.addresses, token = excluded.token, kept = excluded.kept,"
    " described = excluded.described, moved = excluded.moved"
)


def put(db: Database, row: RelayRow) -> None:
    """Save a relay; an existing one keeps its position."""
    described = pack(row.described), row.moved
    db.execute(_PUT, (row.peer, pack(row.addresses), row.token, row.kept, row.added_at, *described))


def all(db: Database) -> list[RelayRow]:
    """Return every relay, oldest first."""
    rows = db.query("SELECT peer, addresses, token, kept, added_at, described, moved FROM relays ORDER BY number")
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
    peer, addresses, token, kept, added_at, described, moved = row
    return RelayRow(peer, unpack(addresses), token, bool(kept), added_at, unpack(described), bool(moved))
