"""The devices of contacts: each has keys, sessions, queues and rows of the outbox of its own.

The first device of a contact has the id of the contact (`core.ids.first_device`), so that what is for a contact finds
it without asking. Further ones have ids of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.ids import ContactId, DeviceId
from p2pchat.store.database import Database, Value, assignments


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device. `key` is its public key, `bundle` its newest prekey bundle as it was sent; both None until known."""

    id: DeviceId
    contact: ContactId
    key: bytes | None
    bundle: bytes | None
    created_at: int


_CHANGING = frozenset({"key", "bundle"})


def add(db: Database, row: DeviceRow) -> None:
    """Save a new device of a contact who is there."""
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
    """Forget a device with its sessions, its queues, and what waits for it."""
    db.execute("DELETE FROM outbox WHERE recipient = ?", (id,))
    db.execute("DELETE FROM devices WHERE id = ?", (id,))
