"""The other side of a chat: a contact, or a stand-in if there is none.

The chat with oneself has nobody else in it, of a forgotten contact only the chat may be left, and in a group there are
many. The stand-in has the chat's id and name, and a state that says what it is; it is in no table. What a member writes
in a group comes from a stand-in for that member.
"""

from __future__ import annotations

from p2pchat.core.ids import NOTES, ChatId, ContactId, MemberId, direct_chat, direct_contact, sender_of
from p2pchat.errors import AmbiguousName, NoSuchContact
from p2pchat.store import chats, contacts
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.contacts import GROUPS, Contact, ContactState
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
    if row.kind == ChatKind.NOTES:
        name, state = NOTES_NAME, ContactState.SELF
    elif row.kind == ChatKind.GROUP:
        name, state = row.name, ContactState.GROUP if row.ended_at is None else ContactState.LEFT
    elif row.kind == ChatKind.CHANNEL:
        name, state = row.name, ContactState.CHANNEL
    else:
        name, state = row.name, ContactState.FORGOTTEN
    group = row.id if state in GROUPS else None
    return _stand_in(direct_contact(row.id), name, state, row.created_at, group)


def member(chat: ChatId, id: MemberId, name: str) -> Contact:
    """Return the stand-in for a member of a group, under the name by which the member is shown."""
    return _stand_in(sender_of(id), name, ContactState.MEMBER, 0, chat)


def _stand_in(id: ContactId, name: str, state: ContactState, created_at: int, group: ChatId | None) -> Contact:
    return Contact(
        id=id,
        name=name,
        named_by_me=True,
        state=state,
        identity=None,
        device=None,
        bundle=None,
        verified=False,
        created_at=created_at,
        group=group,
    )


def find(db: Database, text: str) -> Contact:
    """Return the partner of the chat that a user names: as `contacts.find`, but also in chats without a contact. A
    contact takes precedence over a group, whose name others choose, and a group over a forgotten contact. Raises
    NoSuchContact or AmbiguousName.
    """
    wanted = text.strip().casefold()
    try:
        contact = contacts.find(db, text)
    except NoSuchContact:
        chat = NOTES if wanted in (*NOTES_NAMES, NOTES.hex()) else _of_nobody(db, wanted)
        partner = of(db, chat)
        if partner is None:
            raise _no_chat() from None
        return partner
    if wanted in NOTES_NAMES:  # a name of an earlier build
        candidates = [f"{contact.name} ({contact.id.hex()})", f"{NOTES_NAME} ({NOTES.hex()})"]
        raise AmbiguousName(candidates=candidates)
    return contact


def _of_nobody(db: Database, wanted: str) -> ChatId:
    """Return the group, or the chat of a forgotten contact, that a user names."""
    named = db.query("SELECT id, name, kind FROM chats WHERE kind <> 'notes' AND name <> ''")
    whole = next((id for id, _, _ in named if id.hex() == wanted), None)
    if whole is not None:
        return ChatId(whole)
    groups = [(id, name) for id, name, kind in named if kind != ChatKind.DIRECT]
    former = [(id, name) for id, name, kind in named if kind == ChatKind.DIRECT]
    try:
        return direct_chat(contacts.resolve(groups, wanted))
    except NoSuchContact:
        pass
    try:
        return direct_chat(contacts.resolve(former, wanted))
    except NoSuchContact:
        raise _no_chat() from None


def _no_chat() -> NoSuchContact:
    return NoSuchContact("There is no chat with that name or id", hint="`p2pchat chats` lists them.")


def names(db: Database) -> dict[ChatId, str]:
    """Return the names of all chats."""
    named = {ChatId(id): name for id, name in db.query("SELECT id, name FROM chats WHERE name <> ''")}
    return {NOTES: NOTES_NAME, **named, **{direct_chat(id): name for id, name, _ in contacts.names(db)}}
