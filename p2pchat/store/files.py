"""Files: one row for each file message, ours or theirs, which is deleted with it.

Everything that deletes a message deletes its row here: the table says so. What is kept of a file is in a sealed file
beside the database (`file_space`). Its key is only in the row, so without the row nobody can read it. A trigger notes
its name in the same transaction: whoever unlinks files asks for `unneeded` after the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter

from p2pchat.core.contents import File
from p2pchat.core.file_boxes import SharedBoxes
from p2pchat.core.files import Layout, file_id
from p2pchat.core.ids import ChatId, ContactId, FileId, MessageId
from p2pchat.store.database import ID_LIST, Database, Row, Value, assignments, packed
from p2pchat.store.messages import MAX_PK, ME, MessageRow

PART_BYTES = 512
PART_SLOTS = 8 * PART_BYTES
"""Blobs of which one row of the bitmap tells; writing one writes a page or two."""


class FileState(StrEnum):
    """The state of a file on disk. Whether it moves just now is not stored."""

    OFFERED = "offered"
    """Theirs: it is not fetched before the user asks for it."""
    WAITING = "waiting"
    """Theirs: it is to be fetched. Ours: it is not whole at the other side; in a group, it is left at relays."""
    PAUSED = "paused"
    HERE = "here"
    """Theirs: whole on this disk. Ours: whole at the other side; in a group, its time at relays is over."""
    FAILED = "failed"
    GONE = "gone"
    """It was declined, withdrawn or deleted, and nothing of it is kept."""


@dataclass(frozen=True, slots=True, repr=False)
class FileRow:
    """A file that was sent in a message.

    message: the pk of the message. file: its `file_id`. form, name, media, size, key, root, width, height, duration,
    preview: as the sender says, see `core.contents.File`. problem: a whole sentence about why it does not go on, or "".
    done: how many chunks have arrived here, or were put at relays; of one of ours that is HERE, all. news: the newest
    `TransferNews` of the other side, of one of ours None once it was applied, and news_id the id of its content.
    ended_at: when it was whole, or nothing more was to come (ms). source: the path of one of ours that is read where it
    lies; with source_size in bytes, source_mtime in ns and source_inode as they were when it was cut. space, space_key:
    the name and the key of its `SealedFile`. boxes: of a file in a group, and of no other, where it lies at relays
    (`core.file_boxes`), encoded. put_seed: of one of ours there, the seed of the key that puts it there.
    """

    message: int
    chat: ChatId
    mine: bool
    file: FileId
    form: int
    name: str
    media: str
    size: int
    key: bytes
    root: bytes
    width: int
    height: int
    duration: int
    state: FileState
    problem: str = ""
    done: int = 0
    news: int | None = None
    news_id: MessageId | None = None
    ended_at: int | None = None
    source: bytes | None = None
    source_size: int | None = None
    source_mtime: int | None = None
    source_inode: int | None = None
    space: str | None = None
    space_key: bytes | None = None
    preview: bytes = b""
    boxes: bytes | None = None
    put_seed: bytes | None = field(default=None, repr=False)

    @classmethod
    def of_message(cls, message: MessageRow, payload: File, state: FileState) -> FileRow:
        """Return the row for a saved message with this payload."""
        return cls(
            message=message.pk,
            chat=message.chat,
            mine=message.sender == ME,
            file=file_id(payload.key, payload.root),
            form=payload.form,
            name=payload.name,
            media=payload.media,
            size=payload.size,
            key=payload.key,
            root=payload.root,
            width=payload.width,
            height=payload.height,
            duration=payload.duration,
            state=state,
            preview=payload.preview,
            boxes=None if payload.boxes is None else payload.boxes.encode(),
        )

    def payload(self, caption: str) -> File:
        """Return the payload of the message again, with its caption."""
        return File(
            self.form,
            self.name,
            self.media,
            self.size,
            self.key,
            self.root,
            self.width,
            self.height,
            self.duration,
            self.preview,
            caption,
            None if self.boxes is None else SharedBoxes.decode(self.boxes),
        )

    @property
    def shared(self) -> bool:
        """Whether it was sent to a group."""
        return self.boxes is not None

    @property
    def layout(self) -> Layout:
        """What the file is cut into."""
        return Layout.of(self.size)


_NAMES = tuple(field.name for field in fields(FileRow))
_COLUMNS = ", ".join(f"files.{name}" for name in _NAMES)
_SELECT = f"SELECT {_COLUMNS} FROM files "
_ADD = f"INSERT INTO files ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"
_MINE, _STATE = _NAMES.index("mine"), _NAMES.index("state")
_STATES = {state.value: state for state in FileState}
_values = attrgetter(*_NAMES)
_CHANGING = frozenset(_NAMES) - {"message", "chat", "mine", "file", "key", "root", "size"}
_OURS = _SELECT + "WHERE file = ? AND +chat = ? AND mine ORDER BY message LIMIT 1"
_SHARED = (
    _SELECT
    + """
JOIN chats ON chats.id = files.chat AND chats.ended_at IS NULL
JOIN group_members AS asks ON asks.chat = files.chat AND asks.contact = ?2 AND NOT asks.gone
WHERE files.file = ?1 AND files.boxes IS NOT NULL AND (files.mine OR (files.state = 'here' AND EXISTS (
    SELECT 1 FROM messages JOIN group_members AS wrote ON wrote.chat = messages.chat AND wrote.id = messages.sender
    WHERE messages.pk = files.message AND NOT wrote.gone)))
ORDER BY files.mine DESC, files.message LIMIT 1
"""
)
_WRITTEN_BY = (
    _SELECT + f"JOIN messages ON pk = message WHERE files.chat = ?1 AND sender IN {ID_LIST.format('?2')} ORDER BY pk"
)
_IN_CHAT = _SELECT + "WHERE chat = ? AND message < ? ORDER BY message DESC LIMIT ?"
_UNFINISHED = _SELECT + "WHERE state = ? AND ended_at IS NULL ORDER BY message"
_KEPT_BYTES = "SELECT total(size) FROM files WHERE chat = ? AND mine = ? AND space IS NOT NULL"
_AWAITED = """
SELECT count(*), total(CASE WHEN space IS NULL THEN size ELSE 0 END) FROM files INDEXED BY files_by_state
WHERE state = 'waiting' AND ended_at IS NULL AND chat = ? AND NOT mine
"""
_FROM_GROUPS = """
SELECT total(files.state = 'waiting'), total(files.size)
FROM group_members AS wrote JOIN files ON files.chat = wrote.chat AND NOT files.mine
JOIN messages ON pk = files.message AND sender = wrote.id
WHERE wrote.contact = ? AND (space IS NOT NULL OR files.state = 'waiting' AND files.ended_at IS NULL)
"""
_PUT_PART = """
INSERT INTO file_parts (message, part, slots) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET slots = excluded.slots
"""


def add(db: Database, row: FileRow) -> None:
    """Save the file of a message that was just saved."""
    db.execute(_ADD, _values(row))


def get(db: Database, message: int) -> FileRow | None:
    """Return the file of the message with this pk, or None."""
    row = db.query_one(_SELECT + "WHERE message = ?", (message,))
    return None if row is None else _made(row)


def of(db: Database, messages: Collection[int]) -> dict[int, FileRow]:
    """Return the files of the messages with these pks, by pk; a message without one has no entry."""
    if not messages:
        return {}
    pks = "[" + ",".join(map(str, messages)) + "]"
    rows = db.query(_SELECT + "WHERE message IN (SELECT value FROM json_each(?))", (pks,))
    return {row.message: row for row in map(_made, rows)}


def ours(db: Database, chat: ChatId, file: FileId) -> FileRow | None:
    """Return the file with this id that we sent to a chat, or None."""
    row = db.query_one(_OURS, (file, chat))
    return None if row is None else _made(row)


def shared_with(db: Database, contact: ContactId, file: FileId) -> FileRow | None:
    """Return the file with this id from a group in which both we and this contact are: one of ours, or one that is
    whole here and whose author is still a member. None if there is none.
    """
    row = db.query_one(_SHARED, (file, contact))
    return None if row is None else _made(row)


def written_by(db: Database, chat: ChatId, senders: Collection[ContactId]) -> list[FileRow]:
    """Return the files that these sent to a chat, oldest first."""
    return [_made(row) for row in db.query(_WRITTEN_BY, (chat, packed([*senders])))] if senders else []


def moving(db: Database, chat: ChatId) -> list[FileRow]:
    """Return the files of a chat that are offered, wanted, paused or have failed, oldest first."""
    sql = _SELECT + "WHERE chat = ? AND state IN ('offered', 'waiting', 'paused', 'failed') ORDER BY message"
    return [_made(row) for row in db.query(sql, (chat,))]


def in_chat(db: Database, chat: ChatId, limit: int, before: int | None = None) -> list[FileRow]:
    """Return the newest files of a chat, or the newest before the message with the pk `before`; newest last."""
    rows = db.query(_IN_CHAT, (chat, MAX_PK if before is None else before, limit))
    return [_made(row) for row in rows][::-1]


def unfinished(db: Database, state: FileState) -> list[FileRow]:
    """Return the files in a state that have not ended, oldest first."""
    return [_made(row) for row in db.query(_UNFINISHED, (state.value,))]


def not_whole(db: Database, chat: ChatId, ids: Collection[MessageId]) -> set[MessageId]:
    """Return which of our messages in a chat have a file that is not whole at the other side."""
    sql = (
        f"SELECT messages.id FROM messages JOIN files ON files.message = messages.pk WHERE id IN {ID_LIST.format('?1')}"
        " AND +messages.chat = ?2 AND mine AND files.state <> 'here'"
    )
    return {id for (id,) in db.query(sql, (packed(ids), chat))}


def gives(db: Database, chat: ChatId) -> bool:
    """Return whether we sent a file to a chat that is not whole there."""
    sql = "SELECT 1 FROM files INDEXED BY files_in_chat WHERE chat = ? AND mine AND state <> 'here' LIMIT 1"
    return db.query_one(sql, (chat,)) is not None


def over(db: Database) -> list[FileRow]:
    """Return our files that nobody is to fetch any more, and that relays have not been told to forget."""
    states = (FileState.HERE, FileState.GONE, FileState.FAILED)
    return [row for state in states for row in unfinished(db, state) if row.mine]


def over_in(db: Database, chat: ChatId) -> list[FileRow]:
    """Return our files in a chat that relays may have, oldest first."""
    sql = _SELECT + "WHERE chat = ? AND mine AND ended_at IS NULL ORDER BY message"
    return [_made(row) for row in db.query(sql, (chat,))]


def update(db: Database, message: int, **changed: Value) -> None:
    """Set fields of one file, by the names of `FileRow`. What `space` named before is unneeded then."""
    db.execute(f"UPDATE files SET {assignments(changed, _CHANGING)} WHERE message = :pk", {**changed, "pk": message})


def note_news(db: Database, message: int, news: int, id: MessageId) -> bool:
    """Save what the other side says of a file, unless it said something newer. Return whether it is the newest."""
    sql = "UPDATE files SET news = ?1, news_id = ?2 WHERE message = ?3 AND (news_id IS NULL OR news_id < ?2)"
    return db.execute(sql, (news, id, message)) > 0


def kept_bytes(db: Database, chat: ChatId, *, mine: bool) -> int:
    """Return the sizes of all files of a chat that have a sealed file, ours or theirs, in bytes: what they take up once
    they are whole.
    """
    row = db.query_one(_KEPT_BYTES, (chat, mine))
    return 0 if row is None else int(row[0])


def awaited(db: Database, chat: ChatId) -> tuple[int, int]:
    """Return how many files of a contact are to be fetched, and the sizes of those that have no sealed file yet."""
    row = db.query_one(_AWAITED, (chat,))
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def from_groups(db: Database, contact: ContactId) -> tuple[int, int]:
    """Return how many files that a contact has sent to groups are to be fetched, and the sizes of these and of those
    that have a sealed file.
    """
    row = db.query_one(_FROM_GROUPS, (contact,))
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


# --- which blobs are on the disk


def mark(db: Database, row: FileRow, slots: Iterable[int]) -> int:
    """Note that these blobs are on the disk, by `Layout.slot`; their bytes must be there already. Return how many
    chunks are now.
    """
    parts: dict[int, list[int]] = {}
    layout = row.layout
    for slot in slots:
        if not 0 <= slot < layout.blobs:
            raise ValueError("the file has no such blob")
        parts.setdefault(slot // PART_SLOTS, []).append(slot % PART_SLOTS)
    first_chunk, added = layout.slot_of_first_chunk, 0
    for part, of_part in parts.items():
        before = db.query_one("SELECT slots FROM file_parts WHERE message = ? AND part = ?", (row.message, part))
        bits = bytearray(PART_BYTES) if before is None else bytearray(before[0])
        for slot in of_part:
            if not bits[slot // 8] & 1 << slot % 8:
                bits[slot // 8] |= 1 << slot % 8
                added += part * PART_SLOTS + slot >= first_chunk
        db.execute(_PUT_PART, (row.message, part, bytes(bits)))
    done = db.query("UPDATE files SET done = done + ? WHERE message = ? RETURNING done", (added, row.message))
    return int(done[0][0]) if done else 0


def unmark_all(db: Database, message: int) -> None:
    """Note that no blob of a file is on the disk."""
    db.execute("DELETE FROM file_parts WHERE message = ?", (message,))


def marked(db: Database, message: int) -> set[int]:
    """Return the slots of all blobs of a file that are on the disk."""
    rows = db.query("SELECT part, slots FROM file_parts WHERE message = ?", (message,))
    return {part * PART_SLOTS + slot for part, bits in rows for slot in _slots_in(bits)}


def chunks_in(layout: Layout, parts: Iterable[Row]) -> int:
    """Return how many chunks are marked in the parts of a bitmap, given as (part, slots)."""
    first = layout.slot_of_first_chunk
    return sum(part * PART_SLOTS + slot >= first for part, bits in parts for slot in _slots_in(bits))


def _slots_in(bits: bytes) -> Iterator[int]:
    for place, byte in enumerate(bits):
        if byte:
            yield from (8 * place + bit for bit in range(8) if byte & 1 << bit)


# --- the sealed files beside the database


def spaces(db: Database) -> set[str]:
    """Return the names of all sealed files that are needed. Others in the folder are left over from a crash."""
    return {name for (name,) in db.query("SELECT space FROM files WHERE space IS NOT NULL")}


def unneeded(db: Database) -> list[str]:
    """Return the names of sealed files that can be deleted; ask after the commit, not in the transaction."""
    return [name for (name,) in db.query("SELECT name FROM unneeded_spaces ORDER BY name")]


def unlinked(db: Database, names: Iterable[str]) -> None:
    """Forget the names of sealed files that have been deleted."""
    db.executemany("DELETE FROM unneeded_spaces WHERE name = ?", [(name,) for name in names])


def _made(row: Row) -> FileRow:
    values = list(row)
    values[_MINE] = bool(values[_MINE])
    values[_STATE] = _STATES[values[_STATE]]
    return FileRow(*values)
