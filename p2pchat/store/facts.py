"""What is known of each contact besides the fields of its row: one value under each name, gone with the contact."""

from __future__ import annotations

from enum import StrEnum

from p2pchat.core.ids import ContactId
from p2pchat.store.database import Database


class Fact(StrEnum):
    """The names, as the database has them. What a value holds is up to whoever writes it."""

    TOLD_NAME = "told name"
    """The newest content by which a contact told its name; the same for the four below."""
    TOLD_WAYS = "told ways"
    TOLD_QUEUES = "told queues"
    TOLD_RELAY = "told relay"
    TOLD_REQUEST = "told request"
    QUEUES_PUT_OFF = "queues put off"
    """The list of queues that a contact announced and that has to wait."""
    RELAYS_NAMED = "relays named"
    """How many new places of relays a contact has named, and since when."""
    RELAY_TOLD = "relay told"
    """What the contact knows of our relay."""
    RELAY_OFFERED = "relay offered"
    """What we know of the contact's relay."""
    INTRODUCTION = "introduction"
    """What a first message said about its sender, until a person has answered the request."""
    ASKED = "asked"
    """How often somebody has asked on one day to become a contact."""
    SEALING = "sealing"
    """How far what waits for a contact is being sealed; see `engine.delivery.outbound`."""


# of a contact who has just been removed nothing is kept
_PUT = """
INSERT INTO contact_facts (contact, fact, value) SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM contacts WHERE id = ?1)
ON CONFLICT (contact, fact) DO UPDATE SET value = excluded.value
"""


def get(db: Database, contact: ContactId, fact: Fact) -> bytes | None:
    """Return what is known, or None."""
    row = db.query_one("SELECT value FROM contact_facts WHERE contact = ? AND fact = ?", (contact, fact))
    return None if row is None else row[0]


def put(db: Database, contact: ContactId, fact: Fact, value: bytes) -> None:
    """Keep a value of a contact, of any size, in place of the one before; of one who is not there nothing."""
    db.execute(_PUT, (contact, fact, value))


def get_int(db: Database, contact: ContactId, fact: Fact, default: int = 0) -> int:
    """Return the whole number that is known, or `default`."""
    value = get(db, contact, fact)
    return default if value is None else int.from_bytes(value, "big", signed=True)


def put_int(db: Database, contact: ContactId, fact: Fact, value: int) -> None:
    """Keep a whole number (64 bits, signed)."""
    put(db, contact, fact, value.to_bytes(8, "big", signed=True))


def remove(db: Database, contact: ContactId, fact: Fact) -> None:
    """Forget what is known; it does not matter whether there is anything."""
    db.execute("DELETE FROM contact_facts WHERE contact = ? AND fact = ?", (contact, fact))


def of_all(db: Database, fact: Fact) -> list[tuple[ContactId, bytes]]:
    """Return (contact, value) of everybody of whom this is known."""
    rows = db.query("SELECT contact, value FROM contact_facts WHERE fact = ? ORDER BY contact", (fact,))
    return [(contact, value) for contact, value in rows]
