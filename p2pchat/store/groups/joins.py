"""Becoming a member: offers to contacts, and the keys that we made for groups to which contacts would add us."""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core.ids import ChatId, ContactId, GroupId
from p2pchat.store.database import Database
from p2pchat.store.facts import Fact

MAX_JOINS = 64
"""Groups to which one contact would add us, and of which the welcome has not come; the oldest is dropped for a new
one."""


class JoinRow(NamedTuple):
    """A group to which a contact would add us, and the private halves of the keys for it. name: the one that the
    contact gave for the group. at: in ms.
    """

    group_id: GroupId
    contact: ContactId
    sign_seed: bytes
    leaf_seed: bytes
    kem_seed: bytes | None
    name: str
    at: int

    def __repr__(self) -> str:
        """Return nothing of the keys."""
        return f"JoinRow(at={self.at})"


_OFFER = """
INSERT INTO group_offers (chat, contact, role, at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET role = excluded.role, at = excluded.at
"""
_JOIN = f"""
INSERT INTO group_joins ({", ".join(JoinRow._fields)}) VALUES ({", ".join("?" * len(JoinRow._fields))})
ON CONFLICT DO NOTHING
"""
_TRIM = """
DELETE FROM group_joins WHERE contact = ?1 AND group_id NOT IN (
    SELECT group_id FROM group_joins WHERE contact = ?1 ORDER BY at DESC, group_id LIMIT ?2)
"""


def offer(db: Database, chat: ChatId, contact: ContactId, role: int, at: int) -> None:
    """Note that we would add a contact to a group, in a role."""
    db.execute(_OFFER, (chat, contact, role, at))


def offered(db: Database, chat: ChatId, contact: ContactId) -> int | None:
    """Return the role in which we would add a contact to a group; None if we would not."""
    row = db.query_one("SELECT role FROM group_offers WHERE chat = ? AND contact = ?", (chat, contact))
    return None if row is None else int(row[0])


def offers(db: Database, chat: ChatId) -> list[ContactId]:
    """Return the contacts whom we would add to a group, the first one first."""
    sql = "SELECT contact FROM group_offers WHERE chat = ? ORDER BY at, contact"
    return [ContactId(contact) for (contact,) in db.query(sql, (chat,))]


def being_added(db: Database, chat: ChatId) -> list[str]:
    """Return the names of the contacts who become members once their nodes have answered, the first one first."""
    sql = """SELECT contacts.name FROM group_offers JOIN contacts ON contacts.id = group_offers.contact
        WHERE group_offers.chat = ? AND NOT contacts.for_group ORDER BY group_offers.at, contacts.id"""
    return [name for (name,) in db.query(sql, (chat,))]


def offer_ended(db: Database, chat: ChatId, contact: ContactId) -> None:
    """Forget an offer that was answered."""
    db.execute("DELETE FROM group_offers WHERE chat = ? AND contact = ?", (chat, contact))


def expire_offers(db: Database, before: int) -> None:
    """Forget the offers that were made before that time (ms)."""
    db.execute("DELETE FROM group_offers WHERE at < ?", (before,))


def add(db: Database, row: JoinRow) -> None:
    """Save the keys that we made for a group."""
    db.execute(_JOIN, row)
    db.execute(_TRIM, (row.contact, MAX_JOINS))


def get(db: Database, group: GroupId, contact: ContactId) -> JoinRow | None:
    """Return the keys that we made for a group to which a contact would add us, or None."""
    columns = ", ".join(JoinRow._fields)
    row = db.query_one(f"SELECT {columns} FROM group_joins WHERE group_id = ? AND contact = ?", (group, contact))
    return None if row is None else JoinRow(*row)


def waits(db: Database, contact: ContactId) -> bool:
    """Return whether a contact was sent our keys for a group, and has not let us join it yet."""
    return db.query_one("SELECT 1 FROM group_joins WHERE contact = ?", (contact,)) is not None


def asked(db: Database) -> list[tuple[str, int]]:
    """Return the names of the groups that we ask to join by an invite, and since when (ms); the first one first."""
    by_invite = "SELECT 1 FROM contact_facts WHERE contact = contacts.id AND fact = ? AND value = x''"
    sql = f"""SELECT group_joins.name, min(group_joins.at) AS since FROM group_joins
        JOIN contacts ON contacts.id = group_joins.contact WHERE contacts.for_group OR EXISTS ({by_invite})
        GROUP BY group_joins.group_id ORDER BY since, group_joins.group_id"""
    return [(name, at) for name, at in db.query(sql, (Fact.GROUP_ASKED,))]


def expire(db: Database, before: int) -> None:
    """Forget the keys that we made before that time (ms) for groups that have not let us join them."""
    db.execute("DELETE FROM group_joins WHERE at < ?", (before,))


def newest(db: Database, group: GroupId) -> JoinRow | None:
    """Return the keys that we made last for a group, whoever would add us, or None."""
    columns = ", ".join(JoinRow._fields)
    row = db.query_one(f"SELECT {columns} FROM group_joins WHERE group_id = ? ORDER BY at DESC LIMIT 1", (group,))
    return None if row is None else JoinRow(*row)


def ended(db: Database, group: GroupId, contact: ContactId | None = None) -> None:
    """Forget the keys that we made for a group: it is here, or `contact` does not let us join it."""
    sql = "DELETE FROM group_joins WHERE group_id = ?1 AND (?2 IS NULL OR contact = ?2)"
    db.execute(sql, (group, contact))
