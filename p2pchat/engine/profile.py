"""What a new profile begins with."""

from __future__ import annotations

from p2pchat.core.primitives import KEY, Entropy
from p2pchat.engine.people import name_of
from p2pchat.errors import DatabaseDamaged
from p2pchat.store import meta
from p2pchat.store.database import Database


def create(db: Database, name: str, entropy: Entropy) -> None:
    """Name and keys of a new person. The transport key is random too: it must not lead to the identity."""
    cleaned = name_of(name)
    with db.transaction():
        meta.put(db, "name", cleaned.encode())
        for key in ("identity", "device", "transport"):
            meta.put(db, key, entropy.random(KEY))


def transport_seed(db: Database) -> bytes:
    """The 32-byte seed of the transport key."""
    seed = meta.get(db, "transport")
    if seed is None:
        raise DatabaseDamaged
    return seed


def kept_port(db: Database) -> int:
    """The port of the last run; 0 before the first."""
    return meta.get_int(db, "port")


def keep_port(db: Database, port: int) -> None:
    """Remember which port was free, so that contacts find this node where it was."""
    if port and meta.get_int(db, "port") != port:
        with db.transaction():
            meta.put_int(db, "port", port)
