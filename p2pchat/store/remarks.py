"""Remarks on messages: edits, reactions, pins, deletes for both, hidings, and the quotes of a message in replies.

The newest remark of a kind counts, by the id of its content, so contents may arrive in any order. Remarks are deleted
with the row of their message; those that arrived before the message are in `waiting`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from p2pchat.core.contents import File
from p2pchat.core.ids import ChatId, ContactId, MessageId
from p2pchat.store import files, messages, search_backlog
from p2pchat.store.database import Database, Row
from p2pchat.store.files import FileRow
from p2pchat.store.messages import ME, MessageRow

MAX_VERSIONS = 32
"""Earlier texts of a message that are kept: the first, and the newest of the others."""
VERSION_BYTES = 128
"""What an earlier text costs beside its own bytes."""


@dataclass(frozen=True, slots=True)
class ReactionRow:
    """An emoji under a message. `sender`: a contact's id, or `ME`."""

    sender: ContactId
    emoji: str


@dataclass(frozen=True, slots=True)
class HidingRow:
    """Who has hidden a message of a group, and why, not cleaned. sender: the id of a member, or `ME`. id: of the
    content.
    """

    sender: ContactId
    id: MessageId
    reason: str


@dataclass(frozen=True, slots=True)
class Remarks:
    """The remarks that are shown with a message. quoted: the message that it answers, if it is here. file, quoted_file:
    its file and that one's, if they have one. hiding: by whom and why it was hidden, if it was. seen: how many members
    of a group say that they have read it.
    """

    reactions: tuple[ReactionRow, ...] = ()
    pinned: bool = False
    quoted: MessageRow | None = None
    file: FileRow | None = None
    quoted_file: FileRow | None = None
    hiding: HidingRow | None = None
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """A text of a message, since `at` (ms)."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Edited:
    """The result of an edit. shown: whether its text is now shown. trimmed: the edits whose texts are not kept any
    more, because there are too many.
    """

    shown: bool
    trimmed: tuple[MessageId, ...] = ()


@dataclass(frozen=True, slots=True)
class PinRow:
    """The newest pin remark on a message. sender: a contact's id, or `ME`. id: of the content."""

    sender: ContactId
    id: MessageId


@dataclass
class _Draft:
    reactions: list[ReactionRow] = field(default_factory=list)
    pinned: bool = False
    quoted: MessageRow | None = None
    file: FileRow | None = None
    quoted_file: FileRow | None = None
    hiding: HidingRow | None = None
    seen: int = 0


NOTHING = Remarks()
_REACT = """
INSERT INTO reactions (message, sender, id, emoji, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET id = excluded.id, emoji = excluded.emoji, at = excluded.at
"""
_PIN = """
INSERT INTO pins (message, sender, id, pinned, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET sender = excluded.sender, id = excluded.id, pinned = excluded.pinned, at = excluded.at
"""
_NOTES = """
SELECT message, sender, emoji FROM reactions
WHERE message IN (SELECT value FROM json_each(?1)) AND emoji <> ''
UNION ALL
SELECT message, NULL, NULL FROM pins WHERE message IN (SELECT value FROM json_each(?1)) AND pinned
"""
_SEEN = """
SELECT messages.pk, count(*) FROM messages
JOIN group_seen ON group_seen.chat = messages.chat AND seq BETWEEN first AND last
WHERE messages.pk IN (SELECT value FROM json_each(?)) GROUP BY messages.pk
"""
_TRIM_VERSIONS = f"""
DELETE FROM versions WHERE message = ?1 AND id <> (SELECT id FROM messages WHERE pk = ?1) AND id NOT IN (
    SELECT id FROM versions WHERE message = ?1 ORDER BY id DESC LIMIT {MAX_VERSIONS - 1}) RETURNING id
"""
_SIZE = f"length(CAST(versions.text AS BLOB)) + {VERSION_BYTES}"
# In this order: there are fewer versions than messages, and no index of those that were edited.
_BETWEEN = """
FROM versions CROSS JOIN messages ON messages.pk = versions.message AND messages.id <> versions.id
WHERE chat = ?1 AND sender = ?2
"""
_TRIM_TO_SIZE = f"""
DELETE FROM versions WHERE (message, id) IN (
    SELECT message, id FROM (
        SELECT versions.message AS message, versions.id AS id,
            sum({_SIZE}) OVER (ORDER BY versions.id DESC, versions.message DESC) AS newer {_BETWEEN})
    WHERE newer > ?3)
"""
_UNQUOTE = """
UPDATE messages SET quote = '' WHERE chat = ? AND reply_to = ? AND quote <> '' RETURNING id, sender
"""
_UNQUOTE_ABSENT = """
UPDATE messages SET quote = '' WHERE chat = ?1 AND reply_to IS NOT NULL AND quote <> ''
    AND NOT EXISTS (SELECT 1 FROM messages AS quoted WHERE quoted.id = messages.reply_to AND quoted.chat = ?1)
"""
_RETRACT = """
UPDATE messages SET text = '', reply_to = NULL, quote = '', version = NULL, edited_at = NULL, deleted_at = ?2,
    read_at = CASE WHEN sender = x'' THEN read_at ELSE coalesce(read_at, ?2) END,
    expires_at = coalesce(expires_at, CASE WHEN expire_s > 0 THEN ?3 + 1000 * expire_s END)
WHERE pk = ?1
"""


def of(db: Database, rows: Collection[MessageRow]) -> dict[int, Remarks]:
    """Return the remarks on these messages, by pk; a message without any has no entry."""
    if not rows:
        return {}
    drafts: dict[int, _Draft] = {}
    pks = "[" + ",".join(str(row.pk) for row in rows) + "]"
    for pk, sender, emoji in db.query(_NOTES, (pks,)):
        draft = drafts.setdefault(pk, _Draft())
        if sender is None:
            draft.pinned = True
        else:
            draft.reactions.append(ReactionRow(sender, emoji))
    if ours := [row.pk for row in rows if row.sender == ME and row.seq]:
        for pk, count in db.query(_SEEN, ("[" + ",".join(map(str, ours)) + "]",)):
            drafts.setdefault(pk, _Draft()).seen = int(count)
    for row in rows:
        if row.reply_to is not None and (target := quoted(db, row.chat, row.reply_to)) is not None:
            drafts.setdefault(row.pk, _Draft()).quoted = target
    targets = [draft.quoted for draft in drafts.values() if draft.quoted is not None]
    found = files.of(db, [row.pk for row in (*rows, *targets) if row.kind == File.KIND.number])
    for row in rows:
        if row.pk in found:
            drafts.setdefault(row.pk, _Draft()).file = found[row.pk]
    for draft in drafts.values():
        if draft.quoted is not None:
            draft.quoted_file = found.get(draft.quoted.pk)
    for row in rows:
        if row.deleted_at is not None and (hiding := hiding_of(db, row.pk)) is not None:
            drafts.setdefault(row.pk, _Draft()).hiding = hiding
    return {
        pk: Remarks(
            tuple(draft.reactions),
            draft.pinned,
            draft.quoted,
            draft.file,
            draft.quoted_file,
            draft.hiding,
            draft.seen,
        )
        for pk, draft in drafts.items()
    }


def of_message(db: Database, row: MessageRow) -> Remarks:
    """Return the remarks on one message."""
    return of(db, [row]).get(row.pk, NOTHING)


def quoted(db: Database, chat: ChatId, id: MessageId) -> MessageRow | None:
    """Return the message of a chat that a reply names, or None: the first one here with that id, since nobody can reuse
    an id before it was sent.
    """
    return next((row for row in messages.with_id(db, id) if row.chat == chat), None)


def edit(db: Database, row: MessageRow, id: MessageId, text: str, at: int) -> Edited:
    """Change the text of a message, unless a newer edit did. Up to `MAX_VERSIONS` earlier texts are kept. at: ms."""
    newest = row.version or row.id
    if id == newest or db.query_one("SELECT 1 FROM versions WHERE message = ? AND id = ?", (row.pk, id)):
        return Edited(False)
    shown = row.version is None or id > newest
    since = row.sent_at if row.edited_at is None else row.edited_at
    old = (row.pk, newest, since, row.text) if shown else (row.pk, id, at, text)
    db.execute("INSERT INTO versions (message, id, at, text) VALUES (?, ?, ?, ?)", old)
    trimmed = _column(db.query(_TRIM_VERSIONS, (row.pk,)))
    if shown:
        search_backlog.remove(db, [(row.pk, row.chat, row.sender, row.text)])
        db.execute("UPDATE messages SET text = ?, version = ?, edited_at = ? WHERE pk = ?", (text, id, at, row.pk))
        search_backlog.put_back(db, row.pk, row.chat, row.sender, text)
    return Edited(shown, tuple(trimmed))


def version_bytes(db: Database, chat: ChatId, sender: ContactId) -> int:
    """Return what the earlier texts of one person's messages in a chat take up, in bytes, without the first ones."""
    row = db.query_one(f"SELECT total({_SIZE}) {_BETWEEN}", (chat, sender))
    return 0 if row is None else int(row[0])


def trim_versions(db: Database, chat: ChatId, sender: ContactId, most: int) -> None:
    """Forget earlier texts of one person's messages in a chat, the oldest first, until they take up at most so many
    bytes. The first text of each message stays.
    """
    db.execute(_TRIM_TO_SIZE, (chat, sender, most))


def versions(db: Database, row: MessageRow) -> list[Version]:
    """Return all texts of a message, the first one first."""
    texts = db.query("SELECT text, at FROM versions WHERE message = ? ORDER BY id <> ?, id", (row.pk, row.id))
    return [*(Version(*version) for version in texts), Version(row.text, row.edited_at or row.sent_at)]


def react(db: Database, pk: int, sender: ContactId, id: MessageId, emoji: str, at: int) -> bool:
    """Set a sender's emoji on a message, "" for none, unless theirs is newer. Return whether the shown one has changed.
    at: ms.
    """
    before = db.query_one("SELECT id, emoji FROM reactions WHERE message = ? AND sender = ?", (pk, sender))
    if before is not None and before[0] >= id:
        return False
    db.execute(_REACT, (pk, sender, id, emoji, at))
    return bool((before[1] if before is not None else "") != emoji)


def pin(db: Database, pk: int, sender: ContactId, id: MessageId, at: int, *, pinned: bool, latest: MessageId) -> bool:
    """Pin a message at `at` (ms) or unpin it, unless a newer remark said otherwise. Return whether anything has
    changed. A remark with an id above `latest` counts as older, because a clock that was ahead has made it.
    """
    before = db.query_one("SELECT id, pinned FROM pins WHERE message = ?", (pk,))
    if before is not None and id <= before[0] <= latest:
        return False
    db.execute(_PIN, (pk, sender, id, pinned, at))
    return bool(before[1] if before is not None else 0) != pinned


def pinned(db: Database, chat: ChatId, limit: int) -> list[MessageRow]:
    """Return the messages of a chat that were pinned last, at most so many, in the chat's order."""
    rows = db.query(
        f"SELECT {messages.columns('messages')} FROM pins JOIN messages ON messages.pk = pins.message"
        " WHERE pins.pinned AND chat = ? ORDER BY pins.id DESC LIMIT ?",
        (chat, limit),
    )
    return sorted(map(messages.made, rows), key=lambda row: (row.place, row.seq, row.pk))


def retract(db: Database, row: MessageRow, now: int, counted: int) -> None:
    """Delete the text of a message, its file and all remarks on it. That there was a message stays, and it is no longer
    unread.

    Times are in ms. now: by the wall clock. counted: by the clock of `expires_at`. Until `db.checkpoint()` the
    write-ahead log contains it.
    """
    search_backlog.remove(db, [(row.pk, row.chat, row.sender, row.text)])
    db.execute(_RETRACT, (row.pk, now, counted))
    search_backlog.put_back(db, row.pk, row.chat, row.sender, "")
    for table in ("versions", "reactions", "pins", "files", "mentions"):
        db.execute(f"DELETE FROM {table} WHERE message = ?", (row.pk,))


def hide(db: Database, pk: int, sender: ContactId, id: MessageId, reason: str) -> bool:
    """Note who has hidden a message, and why, unless the content of a hiding before has a greater id. Return whether
    anything has changed.
    """
    before = hiding_of(db, pk)
    if before is not None and before.id >= id:
        return False
    sql = "INSERT OR REPLACE INTO hidings (message, sender, id, reason) VALUES (?, ?, ?, ?)"
    db.execute(sql, (pk, sender, id, reason))
    return True


def unhide(db: Database, pk: int) -> bool:
    """Forget who has hidden a message, whose author has deleted it; return whether somebody had."""
    return db.execute("DELETE FROM hidings WHERE message = ?", (pk,)) > 0


def hiding_of(db: Database, pk: int) -> HidingRow | None:
    """Return by whom and why a message was hidden, or None."""
    row = db.query_one("SELECT sender, id, reason FROM hidings WHERE message = ?", (pk,))
    return None if row is None else HidingRow(*row)


def unquote(db: Database, chat: ChatId, id: MessageId) -> list[MessageId]:
    """Delete the quotes of a message in replies to it, and return the ids of those replies that are ours."""
    return [MessageId(reply) for reply, sender in db.query(_UNQUOTE, (chat, id)) if sender == ME]


def unquote_absent(db: Database, chat: ChatId) -> None:
    """Delete the quotes of messages that are not here, in replies to them."""
    db.execute(_UNQUOTE_ABSENT, (chat,))


def contents_of_ours(db: Database, row: MessageRow) -> list[MessageId]:
    """Return the ids of everything that we may have sent of and about a message: itself, its edits, a reaction,
    a pin.
    """
    ids: list[MessageId] = []
    if row.sender == ME:
        ids += [row.id, *([row.version] if row.version else [])]
        ids += _column(db.query("SELECT id FROM versions WHERE message = ?", (row.pk,)))
    for table in ("reactions", "pins"):
        ids += _column(db.query(f"SELECT id FROM {table} WHERE message = ? AND sender = x''", (row.pk,)))
    return ids


def reaction_of(db: Database, pk: int, sender: ContactId) -> tuple[MessageId | None, str]:
    """Return the last reaction of a sender to a message: the content's id and the emoji; None and "" if there
    is none.
    """
    row = db.query_one("SELECT id, emoji FROM reactions WHERE message = ? AND sender = ?", (pk, sender))
    return (None, "") if row is None else (MessageId(row[0]), str(row[1]))


def pin_of(db: Database, pk: int) -> PinRow | None:
    """Return the newest pin remark on a message, or None."""
    row = db.query_one("SELECT sender, id FROM pins WHERE message = ?", (pk,))
    return None if row is None else PinRow(*row)


def _column(rows: list[Row]) -> list[MessageId]:
    return [MessageId(value) for (value,) in rows]
