"""The members of groups, as the newest state of each group's log has them, so that a list of them is read in pages.

A member who is gone keeps a row, without keys: what they wrote is still shown under their name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from p2pchat.core.ids import ChatId, ContactId, MemberId, sender_of
from p2pchat.lib.lookalikes import labels, skeleton
from p2pchat.store.database import ID_LIST, Database, Row, packed
from p2pchat.store.text_folding import fold

MAX_SENDERS = 64
"""Members among whom one name is searched for."""
_OURS = (("me", ""), ("you", ""))
"""What the user is called: nobody passes for them."""
NAMELESS = "somebody"
"""How a member is called of whom nothing is known."""


class MemberRow(NamedTuple):
    """A member. name: the one that they chose in this group, cleaned. role: a number of `core.groups.roles`. sign,
    leaf, kem: their public keys. contact: the contact who said that it is they. head: the newest event that a message
    of theirs says that they know. muted_until: in ms. added_at: since when
    they are known here as a member (ms), 0 for those who were before us.
    """

    id: MemberId
    name: str
    role: int
    sign: bytes
    leaf: bytes
    kem: bytes | None
    muted_until: int = 0
    contact: ContactId | None = None
    head: bytes | None = None
    added_at: int = 0


class ListedMember(NamedTuple):
    """A member in a list. contact_name, verified: of the contact who said that it is they; None and False for none.
    muted_until: in ms, 0 for never muted.
    """

    id: MemberId
    name: str
    role: int
    contact: ContactId | None
    contact_name: str | None
    verified: bool
    muted_until: int = 0


_COLUMNS = ", ".join(f"group_members.{name}" for name in MemberRow._fields)
_SELECT = f"SELECT {_COLUMNS} FROM group_members WHERE chat = ? AND NOT gone "
_PUT = """
INSERT INTO group_members (chat, id, name, folded, alike, role, sign, leaf, kem, muted_until, added_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET name = excluded.name, folded = excluded.folded,
    alike = iif(contact IS NULL, excluded.alike, alike), role = excluded.role, sign = excluded.sign,
    leaf = excluded.leaf, kem = excluded.kem, muted_until = excluded.muted_until, gone = 0
"""
_LEAVE = "UPDATE group_members SET gone = 1, sign = x'', leaf = x'', kem = NULL, head = NULL WHERE chat = ? AND id = ?"
_PLACES = "SELECT id FROM group_members INDEXED BY group_members_in_order WHERE chat = ?1 AND gone = 0"
"""The ids of the members of a group. The index has all that is needed to order them, and to search for their names."""
_OF_CONTACTS = """
SELECT found.id FROM contacts JOIN group_members AS found INDEXED BY group_members_by_contact
ON found.contact = contacts.id WHERE NOT for_group AND found.chat = ?1 AND instr(lower(contacts.name), ?5)
"""
_CONTACTS_IN = """
SELECT id, contact FROM group_members INDEXED BY group_members_by_contact
WHERE contact IS NOT NULL AND chat = ? AND NOT gone ORDER BY id
"""
"""This is asked for each item that is carried, and the planner would rather read all members of the group: of thousands
a few are contacts, and the index has those of all groups, each with its chat."""
_MATCHING = f"{_PLACES} AND (instr(folded, ?4) OR id IN ({_OF_CONTACTS}))"
_LISTED = """
SELECT group_members.id, group_members.name, role, contact, contacts.name, coalesce(contacts.verified, 0),
    muted_until
FROM ({places} ORDER BY role, folded, id LIMIT ?2 OFFSET ?3) AS placed
JOIN group_members ON chat = ?1 AND group_members.id = placed.id
LEFT JOIN contacts ON contacts.id = contact AND NOT contacts.for_group
ORDER BY role, folded, group_members.id
"""
_SHOWN = f"""
SELECT group_members.id, coalesce(contacts.name, nullif(group_members.name, ''), '{NAMELESS}')
FROM group_members {{index}} LEFT JOIN contacts ON contacts.id = contact AND NOT contacts.for_group WHERE chat = ?1
"""
_SHOWN_BY_ID = _SHOWN.format(index="") + f"AND group_members.id IN {ID_LIST.format('?2')}"
_SHOWN_ALIKE = (
    _SHOWN.format(index="INDEXED BY group_members_by_alike") + "AND alike IN (SELECT value FROM json_each(?2))"
)
"""The planner would rather read all members of the group."""


def put(db: Database, chat: ChatId, rows: Iterable[MemberRow], at: int = 0) -> None:
    """Save members of a group, new ones as added at `at` (ms), or what has changed of them; which contact somebody is
    and what they know stay.
    """
    db.executemany(
        _PUT,
        [
            (
                *(chat, row.id, row.name, fold(row.name), _alike(row.name)),
                *(row.role, row.sign, row.leaf, row.kem, row.muted_until, at),
            )
            for row in rows
        ],
    )


def leave(db: Database, chat: ChatId, ids: Iterable[MemberId]) -> None:
    """Note that members are gone."""
    db.executemany(_LEAVE, [(chat, id) for id in ids])


def get(db: Database, chat: ChatId, id: MemberId) -> MemberRow | None:
    """Return a member of a group, or None for one who is not, or not any more."""
    return _made(db.query_one(_SELECT + "AND id = ?", (chat, id)))


def several(db: Database, chat: ChatId, ids: Collection[MemberId]) -> dict[MemberId, MemberRow | None]:
    """Return the same for each of these members."""
    if len(ids) == 1:
        return {id: get(db, chat, id) for id in ids}
    found: dict[MemberId, MemberRow | None] = dict.fromkeys(ids)
    for row in db.query(f"{_SELECT} AND id IN {ID_LIST.format('?')}", (chat, packed(ids))):
        found[row[0]] = MemberRow(*row)
    return found


def all(db: Database, chat: ChatId) -> list[MemberRow]:
    """Return all members of a group, in the order of their ids."""
    return [MemberRow(*row) for row in db.query(_SELECT + "ORDER BY id", (chat,))]


def with_keys(db: Database, chat: ChatId, role: int, most: int) -> list[MemberRow]:
    """Return at most so many present members with this role or a higher one, the highest first."""
    sql = f"{_SELECT} AND role <= ? ORDER BY role, id LIMIT ?"
    return [MemberRow(*row) for row in db.query(sql, (chat, int(role), most))]


def count(db: Database, chat: ChatId, most: int = -1) -> int:
    """Return the number of members of a group; `most` where there are more, which are not counted then."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM group_members WHERE chat = ? AND gone = 0 LIMIT ?)"
    row = db.query_one(sql, (chat, most))
    return int(row[0]) if row else 0


def page(db: Database, chat: ChatId, limit: int, offset: int = 0, search: str = "") -> tuple[int, list[ListedMember]]:
    """Return how many members match, and a page of them: by role, then by name. search: a part of a name, "" for
    all.
    """
    values = (chat, limit, offset)
    if not search:
        total, rows = count(db, chat), db.query(_LISTED.format(places=_PLACES), values)
    else:
        matching = (*values, fold(search), search.lower())
        found = db.query_one(f"SELECT count(*), ?2, ?3 FROM ({_MATCHING})", matching)
        total, rows = int(found[0]) if found else 0, db.query(_LISTED.format(places=_MATCHING), matching)
    return total, [
        ListedMember(id, name, role, contact, contact_name, bool(verified), muted_until)
        for id, name, role, contact, contact_name, verified, muted_until in rows
    ]


def names(db: Database, chat: ChatId, senders: Collection[ContactId]) -> dict[ContactId, str]:
    """Return by which names the senders of messages of a group are shown: as the user calls the contact, or else as
    they call themselves there; with digits of the id where somebody who is or was a member there looks like them.
    """
    if not senders:
        return {}
    found = db.query(_SHOWN_BY_ID, (chat, packed([*senders])))
    known = {sender_of(MemberId(id)): str(name) for id, name in found}
    alike = sorted({skeleton(name) for name in known.values()})
    found = db.query(_SHOWN_ALIKE, (chat, json.dumps(alike)))
    everybody = {sender_of(MemberId(id)): str(name) for id, name in found} | known
    made = labels([*((name, sender.hex()) for sender, name in everybody.items()), *_OURS])
    shown = dict(zip(everybody, made, strict=False))
    return {sender: shown.get(sender, NAMELESS) for sender in senders}


def with_role(db: Database, chat: ChatId, senders: Collection[ContactId], role: int) -> frozenset[ContactId]:
    """Return those of these senders who are present members with this role or a higher one."""
    sql = f"SELECT id FROM group_members WHERE chat = ?1 AND gone = 0 AND role <= ?3 AND id IN {ID_LIST.format('?2')}"
    return frozenset(sender_of(MemberId(id)) for (id,) in db.query(sql, (chat, packed([*senders]), int(role))))


def shown_name(db: Database, chat: ChatId, id: MemberId) -> str:
    """Return by which name a member, present or former, is shown."""
    return names(db, chat, [sender_of(id)])[sender_of(id)]


def is_contact(db: Database, chat: ChatId, id: MemberId, contact: ContactId | None) -> None:
    """Note which contact a member is, by whose name they are shown from now on."""
    db.execute("UPDATE group_members SET contact = ? WHERE chat = ? AND id = ?", (contact, chat, id))
    if contact is not None:
        renamed(db, contact)


def renamed(db: Database, contact: ContactId) -> None:
    """Note that the user calls a contact otherwise."""
    row = db.query_one("SELECT name FROM contacts WHERE id = ?", (contact,))
    if row is not None:
        db.execute("UPDATE group_members SET alike = ? WHERE contact = ?", (_alike(row[0]), contact))


def forget_contact(db: Database, contact: ContactId) -> None:
    """Show a contact who is being removed by the names that they chose in their groups."""
    rows = db.query("SELECT chat, id, name FROM group_members WHERE contact = ?", (contact,))
    sql = "UPDATE group_members SET contact = NULL, alike = ? WHERE chat = ? AND id = ?"
    db.executemany(sql, [(_alike(name), chat, id) for chat, id, name in rows])


def know_all(db: Database, chat: ChatId, heads: Mapping[MemberId, bytes]) -> None:
    """Note which event each of these members knows."""
    sql = "UPDATE group_members SET head = ? WHERE chat = ? AND id = ?"
    db.executemany(sql, [(head, chat, id) for id, head in heads.items()])


def heads(db: Database, chat: ChatId) -> dict[bytes, int]:
    """Return the events that members know as the newest, each with how many do."""
    sql = "SELECT head, count(*) FROM group_members WHERE chat = ? AND NOT gone AND head IS NOT NULL GROUP BY head"
    return {bytes(head): int(number) for head, number in db.query(sql, (chat,))}


def contacts_in(db: Database, chat: ChatId) -> list[tuple[MemberId, ContactId]]:
    """Return the members of a group who are contacts, in the order of their ids."""
    return [(MemberId(id), ContactId(contact)) for id, contact in db.query(_CONTACTS_IN, (chat,))]


def first(db: Database, chat: ChatId, most: int) -> list[MemberId]:
    """Return the members of a group, at most so many, in the order of their ids."""
    sql = "SELECT id FROM group_members WHERE chat = ? AND NOT gone ORDER BY id LIMIT ?"
    return [MemberId(id) for (id,) in db.query(sql, (chat, most))]


def contact_of(db: Database, chat: ChatId, id: MemberId) -> ContactId | None:
    """Return the contact who is this member, if we know."""
    row = db.query_one("SELECT contact FROM group_members WHERE chat = ? AND id = ?", (chat, id))
    return None if row is None or row[0] is None else ContactId(row[0])


def of_contact_in(db: Database, chat: ChatId, contact: ContactId) -> list[MemberId]:
    """Return the members of a group who are this contact: one, or none."""
    sql = "SELECT id FROM group_members WHERE chat = ? AND contact = ? AND NOT gone"
    return [MemberId(id) for (id,) in db.query(sql, (chat, contact))]


def chats_with(db: Database, contact: ContactId) -> list[tuple[ChatId, str]]:
    """Return the chats, with their names, of the groups in which we are with this contact."""
    sql = """
    SELECT chats.id, chats.name FROM group_members AS theirs
    JOIN chats ON chats.id = theirs.chat AND chats.ended_at IS NULL WHERE theirs.contact = ? AND NOT theirs.gone
    """
    return [(ChatId(chat), name) for chat, name in db.query(sql, (contact,))]


def carries(db: Database, contact: ContactId, most: int, since: int) -> bool:
    """Return whether a contact is a member of a group of at most so many in which we are, or were since that time
    (ms).
    """
    sql = """
    SELECT 1 FROM group_members AS theirs
    JOIN chats ON chats.id = theirs.chat AND (chats.ended_at IS NULL OR chats.ended_at > ?3)
    WHERE theirs.contact = ?1 AND NOT theirs.gone
        AND (SELECT count(*) FROM group_members WHERE chat = theirs.chat AND NOT gone) <= ?2
    """
    return db.query_one(sql, (contact, most, since)) is not None


def find(db: Database, chat: ChatId, prefix_hex: str) -> list[MemberId]:
    """Return the members whose id begins with these hex digits, at most two."""
    sql = "SELECT id FROM group_members WHERE chat = ? AND NOT gone AND substr(lower(hex(id)), 1, ?) = ? LIMIT 2"
    return [MemberId(id) for (id,) in db.query(sql, (chat, len(prefix_hex), prefix_hex))]


def named(db: Database, chat: ChatId, name: str) -> list[MemberId]:
    """Return the members who call themselves so in a group, or whom the user calls so, in any letter case."""
    sql = """
        SELECT group_members.id, group_members.name, contacts.name
        FROM group_members LEFT JOIN contacts ON contacts.id = contact
        WHERE chat = ? AND NOT gone AND (folded = ? OR contacts.name = ? COLLATE NOCASE)
        ORDER BY group_members.id LIMIT 20
    """
    wanted = name.casefold()
    rows = db.query(sql, (chat, fold(name), name))
    return [MemberId(id) for id, chosen, given in rows if wanted in (chosen.casefold(), (given or "").casefold())]


def named_in(db: Database, chat: ChatId, text: str) -> dict[MemberId, tuple[str, ...]]:
    """Return members with their names, that which they chose there and that which the user gave them: all whose names
    are in a text, and perhaps others.
    """
    sql = """
        SELECT group_members.id, group_members.name, contacts.name
        FROM group_members LEFT JOIN contacts ON contacts.id = contact AND NOT contacts.for_group
        WHERE chat = ?1 AND NOT gone
            AND ((folded <> '' AND instr(?2, folded)) OR contacts.name IS NOT NULL)
    """
    rows = db.query(sql, (chat, fold(text)))
    return {MemberId(id): tuple({name for name in (chosen, given) if name}) for id, chosen, given in rows}


def senders(db: Database, name: str, contact: ContactId | None, chat: ChatId | None) -> list[ContactId]:
    """Return the senders of what members, present or former, wrote in all groups or in one: of those who are called
    `name` there, or are this contact.
    """
    sql = (
        "SELECT DISTINCT id FROM group_members WHERE (?1 IS NULL OR chat = ?1) AND (folded = ?2 OR contact = ?3) "
        f"ORDER BY id LIMIT {MAX_SENDERS}"
    )
    return [sender_of(MemberId(id)) for (id,) in db.query(sql, (chat, fold(name), contact))]


def _alike(name: str) -> str:
    return skeleton(name or NAMELESS)


def _made(row: Row | None) -> MemberRow | None:
    return None if row is None else MemberRow(*row)
