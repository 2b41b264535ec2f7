"""What a person decided once, kept in the profile."""

from __future__ import annotations

from enum import StrEnum

from p2pchat.store import meta
from p2pchat.store.database import Database

_KEEP, _RECEIPTS, _RELAY, _TYPING = "keep_receiving", "read_receipts", "relay_for_contacts", "typing"
_FETCH, _PICTURES = "fetch_up_to", "pictures"
MEGABYTE = 1_000_000
DEFAULT_FETCH_UP_TO = 25
"""Megabytes."""


class Pictures(StrEnum):
    """Whose pictures are decoded and shown."""

    VERIFIED = "verified"
    CONTACTS = "contacts"
    OFF = "off"


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


def fetch_up_to(db: Database) -> int:
    """Return up to how many megabytes a contact's file is fetched without asking; 0 for none."""
    return meta.get_int(db, _FETCH, DEFAULT_FETCH_UP_TO)


def set_fetch_up_to(db: Database, megabytes: int) -> None:
    """Store up to how many megabytes are fetched without asking."""
    meta.put_int(db, _FETCH, megabytes)


def pictures(db: Database) -> Pictures:
    """Return whose pictures are shown; those of verified contacts, until a person says otherwise."""
    return Pictures((meta.get(db, _PICTURES) or Pictures.VERIFIED.encode()).decode())


def set_pictures(db: Database, whose: Pictures) -> None:
    """Store whose pictures are shown."""
    meta.put(db, _PICTURES, whose.encode())
