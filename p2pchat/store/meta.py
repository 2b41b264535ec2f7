"""Single values of the profile, by key."""

from __future__ import annotations

from p2pchat.core.ids import ContactId
from p2pchat.store.database import Database

PUT = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def get(db: Database, key: str) -> bytes | None:
    """The bytes under `key`, or None."""
    row = db.query_one("SELECT value FROM meta WHERE key = ?", (key,))
    return None if row is None else row[0]


def put(db: Database, key: str, value: bytes) -> None:
    """Set the bytes under `key`."""
    db.execute(PUT, (key, value))


def get_int(db: Database, key: str, default: int = 0) -> int:
    """The whole number under `key`, or `default`."""
    value = get(db, key)
    return default if value is None else int.from_bytes(value, "big", signed=True)


def put_int(db: Database, key: str, value: int) -> None:
    """Set the whole number (64 bits, signed) under `key`."""
    put(db, key, value.to_bytes(8, "big", signed=True))


def remove(db: Database, key: str) -> None:
    """Forget what is under `key`."""
    db.execute("DELETE FROM meta WHERE key = ?", (key,))


def forget_about(db: Database, contact: ContactId) -> None:
    """Forget every value whose key names this contact: the last word of such keys is its id in hexadecimal."""
    db.execute("DELETE FROM meta WHERE key LIKE ?", (f"% {contact.hex()}",))


def beginning(db: Database, prefix: str) -> list[tuple[str, bytes]]:
    """What is under the keys that begin so, and these."""
    after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    rows = db.query("SELECT key, value FROM meta WHERE key >= ? AND key < ? ORDER BY key", (prefix, after))
    return [(key, value) for key, value in rows]
