"""The devices of contacts. Each has its own keys, addresses, sessions, queues and outbox rows.

The first device of a contact has the contact's id (`core.ids.first_device`), so it is found without a query. Further
devices have ids of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2pchat.core.ids import ContactId, DeviceId, PeerKey
from p2pchat.store.database import Database, Value, assignments


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device. key: its public key. bundle: its newest prekey bundle as it was sent. Both are None until known."""

    id: DeviceId
    contact: ContactId
    key: bytes | None
    bundle: bytes | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Way:
    """A packed address of a transport peer (32 bytes). `role`: 0 the node of the device, 1 a relay."""

    peer: PeerKey
    address: bytes
    role: int


_CHANGING = frozenset({"key", "bundle"})
_WAYS = "SELECT peer, address, role FROM ways WHERE device = ? ORDER BY learned_at DESC, role, peer, address"
_ADD_WAY = (
    "INSERT INTO ways (device, peer, address, role, learned_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET role = excluded.role, learned_at = excluded.learned_at"
)


def add(db: Database, row: DeviceRow) -> None:
    """Save a new device of an existing contact."""
    values = (row.id, row.contact, row.key, row.bundle, row.created_at)
    db.execute("INSERT INTO devices (id, contact, key, bundle, created_at) VALUES (?, ?, ?, ?, ?)", values)


def of(db: Database, contact: ContactId) -> list[DeviceRow]:
    """Return the devices of a contact, the first one first."""
    sql = "SELECT id, contact, key, bundle, created_at FROM devices WHERE contact = ? ORDER BY rowid"
    return [DeviceRow(*row) for row in db.query(sql, (contact,))]


def update(db: Database, id: DeviceId, **fields: Value) -> None:
    """Set `key` or `bundle` of one device."""
    db.execute(f"UPDATE devices SET {assignments(fields, _CHANGING)} WHERE id = :id", {**fields, "id": id})


def remove(db: Database, id: DeviceId) -> None:
    """Delete a device with its sessions, its queues, and its outbox rows."""
    db.execute("DELETE FROM outbox WHERE recipient = ?", (id,))
    db.execute("DELETE FROM devices WHERE id = ?", (id,))


def ways(db: Database, id: DeviceId) -> list[Way]:
    """Return the known ways to a device, newest first."""
    return [Way(*row) for row in db.query(_WAYS, (id,))]


def set_ways(db: Database, id: DeviceId, ways: Iterable[Way], at: int, later: Iterable[Way] = ()) -> None:
    """Replace the addresses of a device's node (role 0) by these, known since `at` (ms), and those to be tried `later`,
    after them. Addresses through relays are kept, and given ones added.
    """
    db.execute("DELETE FROM ways WHERE device = ? AND role = 0", (id,))
    db.executemany(_ADD_WAY, [(id, way.peer, way.address, way.role, at - 1) for way in later])
    db.executemany(_ADD_WAY, [(id, way.peer, way.address, way.role, at) for way in ways])
