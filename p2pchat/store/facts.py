"""Facts about contacts, besides the fields of their rows: one value under each name, deleted with the contact."""

from __future__ import annotations

from enum import StrEnum

from p2pchat.core.ids import ContactId
from p2pchat.store.database import Database


class Fact(StrEnum):
    """The names of facts, as the database has them. The caller defines the format of the value."""

    TOLD_NAME = "told name"
    """The newest content by which a contact sent its name; the same for the four below."""
    TOLD_WAYS = "told ways"
    TOLD_QUEUES = "told queues"
    TOLD_RELAY = "told relay"
    TOLD_REQUEST = "told request"
    QUEUES_PUT_OFF = "queues put off"
    """A list of queues that a contact announced and that is applied later."""
    RELAYS_NAMED = "relays named"
    """How many new places of relays a contact has named, and since when."""
    RELAYS_TOLD = "relays told"
    """How many descriptors of relays a contact has told us, and since when."""
    RELAY_TOLD = "relay told"
    """What the contact was told about our relay."""
    RELAY_OFFERED = "relay offered"
    """What the contact has told us about its relay."""
    INTRODUCTION = "introduction"
    """The introduction in a first message, until the user has answered the request."""
    ASKED = "asked"
    """How often a contact has asked to become one on one day."""
    GROUP_WORDS = "group words"
    """What we say to whoever decides whether we may join the group of their invite."""
    GROUP_ASKED = "group asked"
    """Whether we are using another invite to a group of somebody who is known for a group alone."""
    SEALING = "sealing"
    """The progress of sealing the rows that wait for a contact; see `engine.delivery.outbound`."""


# a contact may just have been removed
_PUT = """
INSERT INTO contact_facts (contact, fact, value) SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM contacts WHERE id = ?1)
ON CONFLICT (contact, fact) DO UPDATE SET value = excluded.value
"""


def get(db: Database, contact: ContactId, fact: Fact) -> bytes | None:
    """Return the value of a fact, or None."""
    row = db.query_one("SELECT value FROM contact_facts WHERE contact = ? AND fact = ?", (contact, fact))
    return None if row is None else row[0]


def put(db: Database, contact: ContactId, fact: Fact, value: bytes) -> None:
    """Set the value of a fact, of any size. Nothing is saved if the contact does not exist."""
    db.execute(_PUT, (contact, fact, value))


def get_int(db: Database, contact: ContactId, fact: Fact, default: int = 0) -> int:
    """Return the integer value of a fact, or `default`."""
    value = get(db, contact, fact)
    return default if value is None else int.from_bytes(value, "big", signed=True)


def put_int(db: Database, contact: ContactId, fact: Fact, value: int) -> None:
    """Set the integer value (64 bits, signed) of a fact."""
    put(db, contact, fact, value.to_bytes(8, "big", signed=True))


def remove(db: Database, contact: ContactId, fact: Fact) -> None:
    """Delete a fact, if it exists."""
    db.execute("DELETE FROM contact_facts WHERE contact = ? AND fact = ?", (contact, fact))


def of_all(db: Database, fact: Fact) -> list[tuple[ContactId, bytes]]:
    """Return (contact, value) for all contacts with this fact."""
    rows = db.query("SELECT contact, value FROM contact_facts WHERE fact = ? ORDER BY contact", (fact,))
    return [(contact, value) for contact, value in rows]
