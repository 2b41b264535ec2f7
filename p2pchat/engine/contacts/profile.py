"""The initial content of a new profile."""

from __future__ import annotations

from p2pchat.core.primitives import KEY_BYTES, Entropy
from p2pchat.engine.contacts.names import name_of
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import meta
from p2pchat.store.database import Database


def write_identity(db: Database, name: str, entropy: Entropy) -> None:
    """Write the name and keys of a new person. The transport key is random, because it must not lead to the
    identity.
    """
    cleaned = name_of(name)
    with db.transaction():
        meta.put(db, "name", cleaned.encode())
        for key in ("identity", "device", "transport", "hidden_transport"):
            meta.put(db, key, entropy.random(KEY_BYTES))


def kept_port(db: Database) -> int:
    """Return the TCP port of the last run; 0 before the first."""
    return meta.get_int(db, "port")


def keep_port(db: Database, port: int) -> None:
    """Save which TCP port was free, so that contacts find this node again at the same port."""
    if port and meta.get_int(db, "port") != port:
        with db.transaction():
            meta.put_int(db, "port", port)


def known_networks(db: Database) -> bytes:
    """Return what the net has learnt about networks, as it wrote that; b"" before the first time."""
    return meta.get(db, "networks") or b""


def keep_networks(tx: Transaction, learnt: bytes) -> None:
    """Save what the net has learnt about networks."""
    meta.put(tx.db, "networks", learnt)
