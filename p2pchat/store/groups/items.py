"""Items of groups: which were seen, which wait, which are to be passed on, and parts of what is longer than one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from p2pchat.core.groups.parts import Part
from p2pchat.core.ids import ChatId, ContactId, GroupId, ItemId, MemberId, MessageId
from p2pchat.store.database import ID_LIST, Database, packed

MAX_WAITING = 256
"""Items that wait in one group. Beyond it the oldest is dropped of the member of whom most wait, so that nobody pushes
out what waits of others; others have it too.
"""
MAX_WAITING_BYTES = 8 * 2**20
"""What they take at most: an event that waits for others may have a megabyte. Beyond it whose take most give way."""
NOBODY = MemberId(b"")
"""In place of a member, where it is not known who wrote or brought an item."""
MAX_SEEN = 2**18
"""Items of one group that are remembered. Whoever is in it can make any number; one that was forgotten says nothing new
when it comes again.
"""
MAX_PARTS = 512
"""Parts that wait in one group, or from one contact, for the rest of theirs."""


class WaitingItem(NamedTuple):
    """An item that says nothing yet. epoch: the pk of its epoch, for one that is open already. at: when it came, in
    ms. member: its author, or who brought it while it is not open.
    """

    id: bytes
    epoch: int | None
    item: bytes
    at: int
    member: MemberId


class UnsentRow(NamedTuple):
    """A content of ours that waits for an epoch. message: its id."""

    pk: int
    message: MessageId
    content: bytes


_SEE = "INSERT INTO group_items (chat, id, item, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING pk"
_SEE_ONLY = "INSERT INTO group_items (chat, id, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_FORGET = """
DELETE FROM group_items WHERE at < ? AND NOT EXISTS (SELECT 1 FROM group_outgoing WHERE item = group_items.pk)
"""
_FORGET_OLDEST = """
DELETE FROM group_items WHERE chat = ?1 AND pk <= (
    SELECT pk FROM group_items WHERE chat = ?1 ORDER BY pk DESC LIMIT 1 OFFSET ?2)
AND NOT EXISTS (SELECT 1 FROM group_outgoing WHERE item = group_items.pk)
"""
_WAIT = """
INSERT INTO group_waiting (chat, id, epoch, item, at, member) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_WAITING = "SELECT count(*), total(length(item)) FROM group_waiting WHERE chat = ?"
_MAKE_ROOM = """
DELETE FROM group_waiting WHERE pk = (
    SELECT min(pk) FROM group_waiting WHERE chat = ?1 GROUP BY member ORDER BY {} DESC, min(pk) LIMIT 1)
"""
_PART = """
INSERT INTO group_parts (owner, hash, number, count, part, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_TRIM_PARTS = """
DELETE FROM group_parts WHERE owner = ?1 AND hash = (
    SELECT hash FROM group_parts WHERE owner = ?1 AND hash <> ?2 GROUP BY hash ORDER BY max(at), count(*) LIMIT 1)
    AND (SELECT count(*) FROM group_parts WHERE owner = ?1) > ?3
"""


def see(db: Database, chat: ChatId, id: bytes, item: bytes | None, at: int) -> int | None:
    """Note that an item was seen at `at` (ms); return its pk, or None if it was before. item: its bytes, if it is kept
    for others.
    """
    seen = db.query(_SEE, (chat, id, item, at))
    return int(seen[0][0]) if seen else None


def was_seen(db: Database, chat: ChatId, id: bytes) -> bool:
    """Return whether an item was seen."""
    return db.query_one("SELECT 1 FROM group_items WHERE chat = ? AND id = ?", (chat, id)) is not None


def seen(db: Database, chat: ChatId, ids: Collection[bytes]) -> set[ItemId]:
    """Return those of these items that were seen."""
    if len(ids) == 1:
        return {ItemId(id) for id in ids if was_seen(db, chat, id)}
    sql = f"SELECT id FROM group_items WHERE chat = ?1 AND id IN {ID_LIST.format('?2')}"
    return {ItemId(id) for (id,) in db.query(sql, (chat, packed(ids)))}


def see_all(db: Database, chat: ChatId, ids: Iterable[bytes], at: int) -> None:
    """Note that these items were seen at `at` (ms), and keep none of them. Ids in order are near each other in their
    index.
    """
    db.executemany(_SEE_ONLY, [(chat, id, at) for id in sorted(ids)])


def forget_seen(db: Database, before: int) -> None:
    """Forget the items that were seen before that time (ms) and are not to be passed on."""
    db.execute(_FORGET, (before,))


def forget_surplus(db: Database, chat: ChatId) -> None:
    """Forget the oldest of the items of a group that were seen, where there are too many."""
    db.execute(_FORGET_OLDEST, (chat, MAX_SEEN))


def wait(
    db: Database, chat: ChatId, id: bytes, item: bytes, at: int, member: MemberId, epoch: int | None = None
) -> None:
    """Keep an item that says nothing yet. member: on whose account. epoch: the pk of its epoch, for one that is open
    already.
    """
    if not db.execute(_WAIT, (chat, id, epoch, item, at, member)):
        return
    while True:
        count, size = db.query(_WAITING, (chat,))[0]
        if count <= MAX_WAITING and size <= MAX_WAITING_BYTES:
            return
        db.execute(_MAKE_ROOM.format("count(*)" if count > MAX_WAITING else "sum(length(item))"), (chat,))


def waiting(db: Database, chat: ChatId) -> list[WaitingItem]:
    """Return the items that wait in a group, oldest first."""
    sql = "SELECT id, epoch, item, at, member FROM group_waiting WHERE chat = ? ORDER BY pk"
    return [WaitingItem(*row) for row in db.query(sql, (chat,))]


def waiting_since(db: Database, chat: ChatId) -> int | None:
    """Return since when (ms) the oldest item waits in a group, or None."""
    row = db.query_one("SELECT min(at) FROM group_waiting WHERE chat = ?", (chat,))
    return None if row is None else row[0]


def forget_waiting_in(db: Database, chat: ChatId) -> None:
    """Delete the items that wait in one group."""
    db.execute("DELETE FROM group_waiting WHERE chat = ?", (chat,))


def waits_no_more(db: Database, chat: ChatId, id: bytes) -> None:
    """Delete an item that waited."""
    db.execute("DELETE FROM group_waiting WHERE chat = ? AND id = ?", (chat, id))


def forget_waiting(db: Database, before: int) -> None:
    """Delete the items that have waited since before that time (ms), and parts of what never came whole."""
    db.execute("DELETE FROM group_waiting WHERE at < ?", (before,))
    db.execute("DELETE FROM group_parts WHERE at < ?", (before,))


def keep_part(db: Database, owner: ChatId | ContactId, part: Part, at: int) -> bytes | None:
    """Keep a part of something longer; return the whole, and delete its parts, if that was the last one. at: ms."""
    whole, count = part.whole, len(part.hashes)
    db.execute(_PART, (owner, whole, part.which, count, part.data, at))
    ((here,),) = db.query("SELECT count(*) FROM group_parts WHERE owner = ? AND hash = ?", (owner, whole))
    if here < count:
        db.execute(_TRIM_PARTS, (owner, whole, MAX_PARTS))
        return None
    rows = db.query("SELECT part FROM group_parts WHERE owner = ? AND hash = ? ORDER BY number", (owner, whole))
    db.execute("DELETE FROM group_parts WHERE owner = ? AND hash = ?", (owner, whole))
    return b"".join(data for (data,) in rows)


def has_parts(db: Database, owner: ChatId | ContactId, whole: bytes) -> bool:
    """Return whether parts of this whole wait for the others."""
    return db.query_one("SELECT 1 FROM group_parts WHERE owner = ? AND hash = ? LIMIT 1", (owner, whole)) is not None


def keep_early(db: Database, contact: ContactId, group: GroupId, id: bytes, item: bytes, at: int) -> None:
    """Keep an item of a group in which we are not yet, for the welcome of a contact who has added us. It lies among the
    parts that came from them, whose number is limited. at: ms.
    """
    kept = db.query("SELECT 1 FROM group_parts WHERE owner = ? AND hash = ?", (contact, group))
    if len(kept) >= MAX_WAITING:
        return
    number = int.from_bytes(id[:6], "big")
    db.execute(_PART, (contact, group, number, 0, item, at))
    db.execute(_TRIM_PARTS, (contact, group, MAX_PARTS))


def take_early(db: Database, contact: ContactId, group: GroupId) -> list[bytes]:
    """Return the items that came from a contact before their welcome to a group, and keep them no more."""
    rows = db.query("SELECT part FROM group_parts WHERE owner = ? AND hash = ? AND count = 0", (contact, group))
    db.execute("DELETE FROM group_parts WHERE owner = ? AND hash = ? AND count = 0", (contact, group))
    return [item for (item,) in rows]


def forget_all(db: Database, chat: ChatId) -> None:
    """Delete what waits to be opened or sent in a group, and the parts of what is not whole."""
    for table, key in (("group_waiting", "chat"), ("group_unsent", "chat"), ("group_parts", "owner")):
        db.execute(f"DELETE FROM {table} WHERE {key} = ?", (chat,))


def leave_unsent(db: Database, chat: ChatId, message: MessageId, content: bytes) -> None:
    """Keep a content of ours until there is an epoch under which it may be sent."""
    db.execute("INSERT INTO group_unsent (chat, message, content) VALUES (?, ?, ?)", (chat, message, content))


def unsent(db: Database, chat: ChatId, limit: int) -> list[UnsentRow]:
    """Return the first contents of ours that wait for an epoch, in the order in which they were written."""
    sql = "SELECT pk, message, content FROM group_unsent WHERE chat = ? ORDER BY pk LIMIT ?"
    return [UnsentRow(*row) for row in db.query(sql, (chat, limit))]


def sent(db: Database, pk: int) -> None:
    """Delete a content that does not wait any more."""
    db.execute("DELETE FROM group_unsent WHERE pk = ?", (pk,))


def withdraw_all(db: Database, chat: ChatId) -> None:
    """Delete all contents that are not to be sent any more."""
    db.execute("DELETE FROM group_unsent WHERE chat = ?", (chat,))


def withdraw(db: Database, chat: ChatId, messages: list[MessageId]) -> None:
    """Delete contents that are not to be sent any more."""
    db.executemany("DELETE FROM group_unsent WHERE chat = ? AND message = ?", [(chat, id) for id in messages])
