"""What a person decided once, kept in the profile."""

from __future__ import annotations

from p2pchat.store import meta
from p2pchat.store.database import Database

_KEEP, _RECEIPTS, _RELAY, _TYPING = "keep_receiving", "read_receipts", "relay_for_contacts", "typing"


def keep_receiving(db: Database) -> bool | None:
    """Return whether the node goes on when nobody looks; None where nobody was asked yet."""
    return None if meta.get(db, _KEEP) is None else bool(meta.get_int(db, _KEEP))


def set_keep_receiving(db: Database, wanted: bool) -> None:
    """Store whether the person wants it."""
    meta.put_int(db, _KEEP, wanted)


def read_receipts(db: Database) -> bool:
    """Return whether contacts are told what was read. They are, until a person says otherwise."""
    return bool(meta.get_int(db, _RECEIPTS, 1))


def set_read_receipts(db: Database, wanted: bool) -> None:
    """Store whether the person wants it; contacts are told."""
    meta.put_int(db, _RECEIPTS, wanted)


def typing(db: Database) -> bool:
    """Return whether contacts see that one writes, and one sees it of them. They do, until a person says otherwise."""
    return bool(meta.get_int(db, _TYPING, 1))


def set_typing(db: Database, wanted: bool) -> None:
    """Store whether the person wants it."""
    meta.put_int(db, _TYPING, wanted)


def relay_for_contacts(db: Database) -> bool | None:
    """Return whether this node is a relay for its contacts; None where nobody was asked yet."""
    return None if meta.get(db, _RELAY) is None else bool(meta.get_int(db, _RELAY))


def set_relay_for_contacts(db: Database, wanted: bool) -> None:
    """Store whether the person wants it."""
    meta.put_int(db, _RELAY, wanted)
