"""The private keys of encryption that we had in a group before the present ones: rekeys may still be sealed to them."""

from __future__ import annotations

from p2pchat.core.ids import ChatId
from p2pchat.store.database import Database


def keep(db: Database, chat: ChatId, leaf_seed: bytes, kem_seed: bytes | None, until: int) -> None:
    """Keep the keys that are being replaced in a group until that time (ms)."""
    sql = "INSERT INTO group_leaves (chat, leaf_seed, kem_seed, until) VALUES (?, ?, ?, ?)"
    db.execute(sql, (chat, leaf_seed, kem_seed, until))


def of(db: Database, chat: ChatId) -> list[tuple[bytes, bytes | None]]:
    """Return the seeds of the earlier keys in a group, those of X25519 and of ML-KEM, the newest first."""
    rows = db.query("SELECT leaf_seed, kem_seed FROM group_leaves WHERE chat = ? ORDER BY pk DESC", (chat,))
    return [(leaf, kem) for leaf, kem in rows]


def shorten(db: Database, chat: ChatId, until: int) -> None:
    """Keep the earlier keys in a group no longer than until that time (ms)."""
    db.execute("UPDATE group_leaves SET until = ? WHERE chat = ? AND until > ?", (until, chat, until))


def expire(db: Database, now: int) -> bool:
    """Delete the earlier keys whose time is over by now (ms); return whether there were any."""
    return bool(db.execute("DELETE FROM group_leaves WHERE until <= ?", (now,)))


def forget(db: Database, chat: ChatId) -> None:
    """Delete the earlier keys in a group."""
    db.execute("DELETE FROM group_leaves WHERE chat = ?", (chat,))
