"""Single values of the profile, by key."""

from __future__ import annotations

from p2pchat.store.database import Database

PUT = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def get(db: Database, key: str) -> bytes | None:
    """Return the bytes under `key`, or None."""
    row = db.query_one("SELECT value FROM meta WHERE key = ?", (key,))
    return None if row is None else row[0]


def put(db: Database, key: str, value: bytes) -> None:
    """Set the bytes under `key`."""
    db.execute(PUT, (key, value))


def get_int(db: Database, key: str, default: int = 0) -> int:
    """Return the integer under `key`, or `default`."""
    value = get(db, key)
    return default if value is None else int.from_bytes(value, "big", signed=True)


def put_int(db: Database, key: str, value: int) -> None:
    """Set the integer (64 bits, signed) under `key`."""
    put(db, key, value.to_bytes(8, "big", signed=True))


def remove(db: Database, key: str) -> None:
    """Delete the value under `key`."""
    db.execute("DELETE FROM meta WHERE key = ?", (key,))
