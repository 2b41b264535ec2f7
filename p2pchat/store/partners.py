"""The other side of a chat: a contact, or a stand-in if there is none.

The chat with oneself has nobody else in it, and of a forgotten contact only the chat may be left. The stand-in has the
chat's id and name, and a state that says what it is; it is in no table.
"""

from __future__ import annotations

from p2pchat.core.ids import NOTES, ChatId, ContactId, direct_chat, direct_contact
from p2pchat.errors import AmbiguousName, NoSuchContact
from p2pchat.store import chats, contacts
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database

NOTES_NAME = "Notes to self"
NOTES_NAMES = ("notes", NOTES_NAME.casefold())
"""The names by which the user can refer to the chat with oneself, in any letter case. No contact gets such a name."""


def of(db: Database, chat: ChatId) -> Contact | None:
    """Return the other side of a chat, or None if the chat does not exist."""
    contact = contacts.get(db, direct_contact(chat))
    row = chats.get(db, chat) if contact is None else None
    return contact if row is None else stand_in(row)


def stand_in(row: ChatRow) -> Contact:
    """Return the stand-in for the other side of a chat without a contact."""
    notes = row.kind == ChatKind.NOTES
    return Contact(
        id=direct_contact(row.id),
        name=NOTES_NAME if notes else row.name,
        named_by_me=True,
        state=ContactState.SELF if notes else ContactState.FORGOTTEN,
        identity=None,
        device=None,
        bundle=None,
        verified=False,
        created_at=row.created_at,
    )


def find(db: Database, text: str) -> Contact:
    """Return the partner of the chat that a user names: as `contacts.find`, but also in chats without a contact. A
    contact takes precedence over a forgotten one. Raises NoSuchContact or AmbiguousName.
    """
    wanted = text.strip().casefold()
    try:
        contact = contacts.find(db, text)
    except NoSuchContact:
        chat = NOTES if wanted in (*NOTES_NAMES, NOTES.hex()) else _former(db, wanted)
        partner = of(db, chat)
        if partner is None:
            raise
        return partner
    if wanted in NOTES_NAMES:  # a name of an earlier build
        candidates = [f"{contact.name} ({contact.id.hex()})", f"{NOTES_NAME} ({NOTES.hex()})"]
        raise AmbiguousName(candidates=candidates)
    return contact


def _former(db: Database, wanted: str) -> ChatId:
    rows = db.query("SELECT id, name FROM chats WHERE kind = 'direct' AND name <> ''")
    whole = next((id for id, _ in rows if id.hex() == wanted), None)
    return direct_chat(ContactId(whole) if whole is not None else contacts.resolve(rows, wanted))


def names(db: Database) -> dict[ChatId, str]:
    """Return the names of all chats."""
    named = {ChatId(id): name for id, name in db.query("SELECT id, name FROM chats WHERE name <> ''")}
    return {NOTES: NOTES_NAME, **named, **{direct_chat(id): name for id, name, _ in contacts.names(db)}}
