"""Chats: their members, their settings, and what a list shows of them: unread messages, and the last message.

Every chat is a row, whatever its kind. The chat with a contact has the contact's id and is created with the contact;
the chat with oneself always exists.

A message of somebody else is unread until it has a `read_at`, so a late one counts wherever its place is. The index of
unread messages contains nothing else, so counting them is cheap however long a chat is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from p2pchat.core.contents import File
from p2pchat.core.ids import ChatId, ContactId, MessageId
from p2pchat.errors import DatabaseDamaged
from p2pchat.store.database import Database, Row, Value, assignments
from p2pchat.store.messages import MessageRow, columns, made, page

MAX_COUNTED = 1000
"""Unread messages of a chat that are counted at most, so that a contact who sends more does not slow down every
list."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The unread messages of a chat: their number (at most `MAX_COUNTED`), and the id of the first in the
    chat's order.
    """

    count: int = 0
    first: MessageId | None = None


NOTHING_UNREAD = Unread()


class ChatKind(StrEnum):
    """The kind of a chat, as the database and the API name it."""

    DIRECT = "direct"
    """One contact."""
    NOTES = "notes"
    """Only the user: notes to oneself."""
    GROUP = "group"
    CHANNEL = "channel"


class ChatRow(NamedTuple):
    """A chat. Times are in ms.

    draft: an unsent text, kept until its `draft_expires_at` by the counted clock. muted_until: a time. pinned: its
    place among the pinned chats, or None. name: of a group, or of a chat whose contact was forgotten, else "". The
    timer is in `store.timers`. ended_at: since when a group can only be read, because we are not in it any more.
    """

    id: ChatId
    kind: ChatKind
    created_at: int
    draft: str = ""
    draft_expires_at: int | None = None
    muted_until: int = 0
    archived: bool = False
    pinned: int | None = None
    timer_seconds: int = 0
    timer_by: ContactId | None = None
    timer_at: int | None = None
    timer_id: MessageId | None = None
    name: str = ""
    ended_at: int | None = None


class ListedChat(NamedTuple):
    """A chat in a list. last: the last message in the chat's order."""

    chat: ChatRow
    unread: Unread
    last: MessageRow | None


_UNREAD = "FROM messages INDEXED BY messages_unread WHERE chat = ?1 AND read_at IS NULL AND sender <> x''"
_COUNT = f"""
SELECT (SELECT count(*) FROM (SELECT 1 {_UNREAD} LIMIT {MAX_COUNTED})),
       (SELECT id {_UNREAD} ORDER BY place, seq, pk LIMIT 1)
"""
_WITH_SIGN = f"""
SELECT {columns("messages")} FROM messages
WHERE pk IN (SELECT pk {_UNREAD} ORDER BY place, seq, pk LIMIT {MAX_COUNTED}) AND instr(text, ?2)
"""
_PREVIEW = "coalesce((SELECT length(preview) FROM files WHERE message = messages.pk), 0)"
_TEXT_BYTES = f"length(CAST(text AS BLOB)) + CASE kind WHEN {File.KIND.number} THEN {_PREVIEW} ELSE 0 END"
_BYTES = f"SELECT count(*) * ?2 + coalesce(sum({_TEXT_BYTES}), 0) {_UNREAD}"
_ALL = f"SELECT pk, id {_UNREAD} ORDER BY place, seq, pk"
_UP_TO = (
    f"SELECT pk, id {_UNREAD} AND (place, seq, pk) <= (SELECT place, seq, pk FROM messages WHERE pk = ?2)"
    " ORDER BY place, seq, pk"
)
_NAMES = ChatRow._fields
_KIND, _ARCHIVED = _NAMES.index("kind"), _NAMES.index("archived")
_KINDS = {kind.value: kind for kind in ChatKind}
_COLUMNS = ", ".join(f"chats.{name}" for name in _NAMES)
_CHANGING = frozenset(_NAMES) - {"id", "kind", "created_at"}
_ADD = f"INSERT INTO chats ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"
_SELECT = f"SELECT {_COLUMNS} FROM chats "
_READ = """
UPDATE messages SET read_at = ?1, expires_at = CASE WHEN expire_s > 0 THEN ?2 + 1000 * expire_s END WHERE pk = ?3
"""
_LISTED = f"""
SELECT {_COLUMNS}, {columns("messages")}
FROM chats LEFT JOIN messages ON messages.pk = (
    SELECT pk FROM messages WHERE chat = chats.id ORDER BY place DESC, seq DESC, pk DESC LIMIT 1)
"""
_IN_ORDER = """
SELECT chats.id FROM chats LEFT JOIN contacts ON contacts.id = chats.id LEFT JOIN messages ON messages.pk = (
    SELECT pk FROM messages WHERE chat = chats.id ORDER BY place DESC, seq DESC, pk DESC LIMIT 1)
ORDER BY chats.pinned IS NULL, chats.pinned, coalesce(
    nullif(messages.received_at, 0), messages.sent_at, contacts.created_at, chats.created_at) DESC, chats.id DESC
"""
_WITH_UNREAD = """
SELECT id FROM chats WHERE EXISTS (
    SELECT 1 FROM messages INDEXED BY messages_unread WHERE chat = chats.id AND read_at IS NULL AND sender <> x'')
"""
_FORGET_DRAFT = "UPDATE chats SET draft = '', draft_expires_at = NULL WHERE id = ? AND draft <> ''"
_ADD_MEMBER = "INSERT INTO chat_members (chat, contact, joined_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"


def add(db: Database, row: ChatRow, members: Iterable[ContactId] = ()) -> None:
    """Save a new chat with these contacts, which must exist."""
    db.execute(_ADD, row)
    add_members(db, row.id, members, row.created_at)


def get(db: Database, id: ChatId) -> ChatRow | None:
    """Return the chat with that id, or None."""
    row = db.query_one(_SELECT + "WHERE id = ?", (id,))
    return None if row is None else _chat(row)


def update(db: Database, id: ChatId, **fields: Value) -> None:
    """Set fields of one chat, by the names of `ChatRow`."""
    db.execute(f"UPDATE chats SET {assignments(fields, _CHANGING)} WHERE id = :id", {**fields, "id": id})


def remove(db: Database, id: ChatId) -> None:
    """Delete a chat with its members and settings; its messages stay (see `messages.forget_chat`)."""
    db.execute("DELETE FROM chats WHERE id = ?", (id,))


def leave_behind(db: Database, id: ChatId, name: str) -> None:
    """Keep the chat of a contact who is forgotten, under this name and without its settings."""
    values: dict[str, Value] = {"draft": "", "draft_expires_at": None, "muted_until": 0, "pinned": None, "name": name}
    update(db, id, **values)


def next_pinned(db: Database) -> int:
    """Return the place after all pinned chats."""
    row = db.query_one("SELECT coalesce(max(pinned), 0) + 1 FROM chats")
    return 1 if row is None else int(row[0])


def add_members(db: Database, id: ChatId, contacts: Iterable[ContactId], at: int) -> None:
    """Note that contacts are members of a chat since `at` (ms); existing members stay as they are."""
    db.executemany(_ADD_MEMBER, [(id, contact, at) for contact in contacts])


def remove_member(db: Database, id: ChatId, contact: ContactId) -> None:
    """Remove a member from a chat."""
    db.execute("DELETE FROM chat_members WHERE chat = ? AND contact = ?", (id, contact))


def members(db: Database, id: ChatId) -> list[ContactId]:
    """Return the members of a chat without us, in the order in which they joined."""
    rows = db.query("SELECT contact FROM chat_members WHERE chat = ? ORDER BY joined_at, contact", (id,))
    return [contact for (contact,) in rows]


def shared_with(db: Database, contact: ContactId) -> list[ChatId]:
    """Return the chats that a contact is in, the oldest first."""
    sql = "SELECT id FROM chats JOIN chat_members ON chat = id WHERE contact = ? ORDER BY created_at, id"
    return [id for (id,) in db.query(sql, (contact,))]


def unread(db: Database, chat: ChatId) -> Unread:
    """Return the unread messages of a chat."""
    row = db.query_one(_COUNT, (chat,))
    return Unread() if row is None else Unread(*row)


def unread_with(db: Database, chat: ChatId, sign: str) -> list[MessageRow]:
    """Return those of the first `MAX_COUNTED` unread messages of a chat in whose text a sign appears."""
    return [made(row) for row in db.query(_WITH_SIGN, (chat, sign))]


def unread_bytes(db: Database, chat: ChatId, each: int) -> int:
    """Return the bytes of all unread texts and previews of files of a chat, plus `each` for every one of them."""
    row = db.query_one(_BYTES, (chat, each))
    return 0 if row is None else int(row[0])


def read(db: Database, chat: ChatId, up_to: int | None, at: int, counted: int | None = None) -> list[MessageId]:
    """Mark the messages of others in a chat as read at `at` (ms), up to the message with the pk `up_to` in the chat's
    order (None: all). Return the ids of those that were unread.

    The time of timed messages begins now: at `counted`, by the counted clock, or else at `at`.
    """
    rows = db.query(_ALL, (chat,)) if up_to is None else db.query(_UP_TO, (chat, up_to))
    db.executemany(_READ, [(at, at if counted is None else counted, pk) for pk, _ in rows])
    return [id for _, id in rows]


def listed(db: Database) -> dict[ChatId, ListedChat]:
    """Return every chat. If the last message of one is on a damaged page, that chat has none."""
    try:
        rows = db.query(_LISTED)
    except DatabaseDamaged:
        chats = [_chat(row) for row in db.query(_SELECT)]
        return {chat.id: ListedChat(chat, unread(db, chat.id), _last(db, chat.id)) for chat in chats}
    with_unread = {
        id for (id,) in db.query(_WITH_UNREAD)
    }  # counting takes a statement for each chat, and most have nothing unread
    size = len(_NAMES)
    return {
        row[0]: ListedChat(
            _chat(row[:size]), unread(db, row[0]) if row[0] in with_unread else NOTHING_UNREAD, _said(row[size:])
        )
        for row in rows
    }


def in_order(db: Database) -> list[ChatId]:
    """Return the ids of all chats, the pinned ones first, then by newest activity by our own clock. Raises
    DatabaseDamaged.
    """
    return [id for (id,) in db.query(_IN_ORDER)]


def listed_one(db: Database, chat: ChatId) -> ListedChat | None:
    """Return one chat as a list shows it, or None where there is no such chat. Raises DatabaseDamaged."""
    row = db.query_one(_LISTED + "WHERE chats.id = ?", (chat,))
    size = len(_NAMES)
    return None if row is None else ListedChat(_chat(row[:size]), unread(db, chat), _said(row[size:]))


def _said(row: Row) -> MessageRow | None:
    return None if row[0] is None else made(row)


def _last(db: Database, chat: ChatId) -> MessageRow | None:
    return next(iter(page(db, chat, 1)), None)


def keep_draft(db: Database, chat: ChatId, text: str, expires_at: int | None = None) -> bool:
    """Save the draft of a chat until `expires_at`, in ms of the counted clock; "" deletes it. Return whether there was
    one. Until `db.checkpoint()` the write-ahead log contains it.
    """
    if text:
        before = db.query_one("SELECT 1 FROM chats WHERE id = ? AND draft <> ''", (chat,))
        db.execute("UPDATE chats SET draft = ?, draft_expires_at = ? WHERE id = ?", (text, expires_at, chat))
        return before is not None
    return db.execute(_FORGET_DRAFT, (chat,)) > 0


def _chat(row: Row) -> ChatRow:
    values = list(row)  # a list reads all chats, so no dictionary is made for each
    values[_KIND] = _KINDS[values[_KIND]]
    values[_ARCHIVED] = bool(values[_ARCHIVED])
    return ChatRow._make(values)
