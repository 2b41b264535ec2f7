"""Contacts, and others who asked to become contacts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter

from p2pchat.core.ids import ChatId, ContactId, InviteId, direct_chat, first_device
from p2pchat.errors import AmbiguousName, NoSuchContact
from p2pchat.store import chats, devices
from p2pchat.store.database import Database, Row, Value, assignments
from p2pchat.store.devices import DeviceRow


class ContactState(StrEnum):
    """The state of a contact, as the database, events and `--json` have it."""

    WAITING = "waiting"
    """We asked, and they have not answered yet."""
    REQUEST = "request"
    """They asked, and the user has not answered yet."""
    CONTACT = "contact"
    BLOCKED = "blocked"
    FORGOTTEN = "forgotten"
    """They were forgotten, and only the chat is left. No row has this state or the next ones; see `partners`."""
    SELF = "notes"
    """The user, in the chat with oneself."""
    GROUP = "group"
    """A group that we are in."""
    LEFT = "left"
    """A group that we were in."""
    MEMBER = "member"
    """A member of a group, as the author of what was written there."""
    CHANNEL = "channel"
    """A channel, which is nobody."""


ACCEPTED = (ContactState.CONTACT, ContactState.WAITING)
"""The states of those whom the user wants as a contact."""
WRITABLE = (*ACCEPTED, ContactState.SELF, ContactState.GROUP)
"""The states of those in whose chats the user can write."""
GROUPS = (ContactState.GROUP, ContactState.LEFT)
"""The states of what stands for the whole of a group."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact.

    identity: their public key. device, bundle: the public key of their first device (see `devices`), and its newest
    prekey bundle as it was sent. All three are None until they are known. invite: the canonical bytes of the invite
    that is being joined, until `invite_until`. invite_id: the invite of ours that they used, or the digest of theirs
    that we used. hidden: they must not learn our network address. for_group: they are only known for a group, and are
    shown nowhere. note: the user's note about them. group: only of a
    stand-in for a group or for a member of one (`partners`): the group's chat.
    """

    id: ContactId
    name: str
    named_by_me: bool
    state: ContactState
    identity: bytes | None
    device: bytes | None
    bundle: bytes | None
    verified: bool
    created_at: int
    heard_at: int | None = None
    invite: bytes | None = None
    invite_until: int | None = None
    invite_id: InviteId | None = None
    read_receipts: bool = True
    profile_name: str = ""
    hidden: bool = False
    for_group: bool = False
    note: str = ""
    group: ChatId | None = None

    @property
    def chat(self) -> ChatId:
        """The chat in which we and they write."""
        return direct_chat(self.id) if self.group is None else self.group


_NAMES = tuple(field.name for field in fields(Contact) if field.name != "group")
_OF_DEVICE = {"device": "key", "bundle": "bundle"}  # the columns of `devices`
_COLUMNS = ", ".join(f"devices.{_OF_DEVICE[name]}" if name in _OF_DEVICE else f"contacts.{name}" for name in _NAMES)
_OWN = tuple(name for name in _NAMES if name not in _OF_DEVICE)
_FLAGS = tuple(_NAMES.index(name) for name in ("named_by_me", "verified", "read_receipts", "hidden", "for_group"))
_STATE = _NAMES.index("state")
_STATES = {state.value: state for state in ContactState}
_values = attrgetter(*_OWN)  # astuple copies deeply, at ten times the cost
_CHANGING = frozenset(_OWN) - {"id"}
_ADD = f"INSERT INTO contacts ({', '.join(_OWN)}) VALUES ({', '.join('?' * len(_OWN))})"
_SELECT = f"SELECT {_COLUMNS} FROM contacts LEFT JOIN devices ON devices.id = contacts.id "
_LISTED = (
    f"SELECT {', '.join('NULL' if name in _OF_DEVICE else name for name in _NAMES)}"
    " FROM contacts ORDER BY created_at, id"
)
_LATEST_FIRST = "SELECT id FROM contacts ORDER BY coalesce(heard_at, created_at) DESC, id"
_ID = re.compile("[0-9a-f]{1,16}")
_WHOLE_ID = re.compile("[0-9a-f]{16}")
_SHORTEST_PREFIX = 4


def add(db: Database, contact: Contact) -> None:
    """Save a new contact with its first device and the chat with it; its id and its identity must be new."""
    db.execute(_ADD, _values(contact))
    device = first_device(contact.id)
    devices.add(db, DeviceRow(device, contact.id, contact.device, contact.bundle, contact.created_at))
    chat = chats.ChatRow(direct_chat(contact.id), chats.ChatKind.DIRECT, contact.created_at)
    chats.add(db, chat, [contact.id])


def get(db: Database, id: ContactId) -> Contact | None:
    """Return the contact with that id, or None."""
    return _contact(db.query_one(_SELECT + "WHERE contacts.id = ?", (id,)))


def by_identity(db: Database, identity: bytes) -> Contact | None:
    """Return the contact with that identity key, or None."""
    return _contact(db.query_one(_SELECT + "WHERE identity = ?", (identity,)))


def all(db: Database) -> list[Contact]:
    """Return all contacts, oldest first."""
    return [_made(row) for row in db.query(_SELECT + "ORDER BY contacts.created_at, contacts.id")]


def listed(db: Database) -> list[Contact]:
    """Return all contacts, oldest first, without the keys of their devices, which no list shows and which would be most
    of the data.
    """
    return [_made(row) for row in db.query(_LISTED)]


def latest_first(db: Database) -> list[ContactId]:
    """Return the ids of all contacts, most recently heard from first."""
    return [id for (id,) in db.query(_LATEST_FIRST)]


def count_for_groups(db: Database) -> int:
    """Return how many are only known for a group."""
    row = db.query_one("SELECT count(*) FROM contacts WHERE for_group")
    return 0 if row is None else int(row[0])


def for_groups(db: Database) -> list[ContactId]:
    """Return those who are only known for a group, the first one first."""
    return [ContactId(id) for (id,) in db.query("SELECT id FROM contacts WHERE for_group ORDER BY created_at, id")]


def count(db: Database, state: ContactState) -> int:
    """Return the number of contacts in a state."""
    row = db.query_one("SELECT count(*) FROM contacts WHERE state = ?", (state,))
    return int(row[0]) if row else 0


def hidden(db: Database) -> frozenset[ContactId]:
    """Return the ids of the hidden contacts."""
    return frozenset(row[0] for row in db.query("SELECT id FROM contacts WHERE hidden"))


def was_there_before(db: Database, id: ContactId, other: ContactId) -> bool:
    """Return whether a contact was added before another one."""
    sql = "SELECT 1 FROM contacts WHERE id = ? AND rowid < (SELECT rowid FROM contacts WHERE id = ?)"
    row = db.query_one(sql, (id, other))
    return row is not None


def update(db: Database, id: ContactId, **fields: Value) -> None:
    """Set fields of one contact, by the names of `Contact`."""
    of_device = {_OF_DEVICE[name]: fields.pop(name) for name in _OF_DEVICE if name in fields}
    if of_device:
        devices.update(db, first_device(id), **of_device)
    if fields or not of_device:
        db.execute(f"UPDATE contacts SET {assignments(fields, _CHANGING)} WHERE id = :id", {**fields, "id": id})


def heard(db: Database, id: ContactId, at: int) -> None:
    """Note that something from a contact arrived at `at` (ms)."""
    db.execute("UPDATE contacts SET heard_at = ? WHERE id = ?", (at, id))


def remove(db: Database, id: ContactId, *, keep_chat: bool = False) -> None:
    """Delete a contact with its devices, addresses, sessions, queues, outbox rows and, unless it is kept, the row of
    the chat.

    Messages stay (see `messages.forget_chat`), and so does what prevents replays: handshakes and envelopes seen.
    """
    db.execute("DELETE FROM outbox WHERE recipient IN (SELECT id FROM devices WHERE contact = ?)", (id,))
    if not keep_chat:
        chats.remove(db, direct_chat(id))
    db.execute("DELETE FROM contacts WHERE id = ?", (id,))


def names(db: Database) -> list[tuple[ContactId, str, ContactState]]:
    """Return (id, name, state) of all contacts."""
    rows = db.query("SELECT id, name, state FROM contacts ORDER BY rowid")
    return [(id, name, _STATES[state]) for id, name, state in rows]


def find(db: Database, text: str) -> Contact:
    """Return the contact that a user names, and not one who is only known for a group. A complete id (16 digits) means
    only that contact. Any other text is, in this order, an exact name, a name in another letter case, or at least four
    digits with which exactly one id begins.

    Raises `NoSuchContact`, or `AmbiguousName` with the candidates as "name (id)".
    """
    wanted = text.strip().casefold()
    if _WHOLE_ID.fullmatch(wanted):
        id = ContactId(bytes.fromhex(wanted))
    else:
        id = resolve(db.query("SELECT id, name FROM contacts WHERE NOT for_group"), text)
    contact = get(db, id)
    if contact is None or contact.for_group:
        raise NoSuchContact
    return contact


def resolve(named: Iterable[Row], text: str) -> ContactId:
    """Return the one of these (id, name) that a user names, as `find` does. Raises NoSuchContact or AmbiguousName."""
    everybody, wanted = list(named), text.strip().casefold()
    candidates = [(id, name) for id, name in everybody if name == text.strip()]
    candidates = candidates or [(id, name) for id, name in everybody if name.casefold() == wanted]
    if not candidates and len(wanted) >= _SHORTEST_PREFIX and _ID.fullmatch(wanted):
        candidates = [(id, name) for id, name in everybody if id.hex().startswith(wanted)]
    if len(candidates) > 1:
        raise AmbiguousName(candidates=[f"{name} ({id.hex()})" for id, name in candidates])
    if not candidates:
        raise NoSuchContact
    return ContactId(candidates[0][0])


def _contact(row: Row | None) -> Contact | None:
    return None if row is None else _made(row)


def _made(row: Row) -> Contact:
    values = list(row)  # all contacts are read at the start, so no dictionary is made for each
    for place in _FLAGS:
        values[place] = bool(values[place])
    values[_STATE] = _STATES[values[_STATE]]
    return Contact(*values)
