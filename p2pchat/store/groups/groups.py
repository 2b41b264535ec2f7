"""The groups of this profile: a row for each, beside the row of its chat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter

from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId, MessageId
from p2pchat.store.database import ID_LIST, Database, Row, Value, assignments, packed


@dataclass(frozen=True, slots=True, repr=False)
class GroupRow:
    """A group that we are or were in.

    member: our id there. sign_seed, leaf_seed, kem_seed: the private halves of our keys there, the last one None where
    the group has no ML-KEM leaves. name: the one that we chose there. role: ours, a number of `core.groups.roles`.
    settings: of the newest state, encoded. heads: the ids of the newest events, one behind the other. epoch: the one
    under which we send, or None while there is none. joined_at: in ms. problem: a whole sentence about why nothing can
    be sent, or "". update_at: when (ms) our keys of encryption are to be replaced, 0 if that is yet to be chosen.
    admin_seed: the key with which admins append to the logs, if the leaf to which it was sealed has been replaced.
    receipts: 1 if members who are contacts are told what we read.
    """

    chat: ChatId
    group_id: GroupId
    member: MemberId
    sign_seed: bytes
    leaf_seed: bytes
    kem_seed: bytes | None
    name: str
    role: int
    settings: bytes
    heads: bytes
    epoch: EpochId | None
    joined_at: int
    problem: str = ""
    update_at: int = 0
    admin_seed: bytes = b""
    receipts: int = 0


_NAMES = tuple(field.name for field in fields(GroupRow))
_SELECT = f"SELECT {', '.join(_NAMES)} FROM groups "
_ADD = f"INSERT INTO groups ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"
_CHANGING = frozenset(_NAMES) - {"chat", "group_id"}
_STORED = f"""
UPDATE messages SET state = ?1, stored_at = ?2, route = ?3 WHERE id IN {ID_LIST.format("?5")} AND +sender = x''
    AND state = ?4 AND +chat IN (SELECT chat FROM groups) RETURNING chat, id
"""
_values = attrgetter(*_NAMES)


def add(db: Database, row: GroupRow) -> None:
    """Save a new group, whose chat must exist."""
    db.execute(_ADD, _values(row))


def get(db: Database, chat: ChatId) -> GroupRow | None:
    """Return the group of a chat, or None."""
    return _made(db.query_one(_SELECT + "WHERE chat = ?", (chat,)))


def present(db: Database, chat: ChatId) -> GroupRow | None:
    """Return the group of a chat in which we still are; None for one that has ended for us, or is none."""
    here = "EXISTS (SELECT 1 FROM chats WHERE id = ?1 AND ended_at IS NULL)"
    return _made(db.query_one(f"{_SELECT} WHERE chat = ?1 AND {here}", (chat,)))


def present_of(db: Database, group_id: GroupId) -> GroupRow | None:
    """Return the group with this id, if we still are in it; else None."""
    row = of_group(db, group_id)
    return None if row is None else present(db, row.chat)


def of_group(db: Database, group_id: GroupId) -> GroupRow | None:
    """Return the group with this id, or None."""
    return _made(db.query_one(_SELECT + "WHERE group_id = ?", (group_id,)))


def update(db: Database, chat: ChatId, **fields: Value) -> None:
    """Set fields of one group, by the names of `GroupRow`."""
    db.execute(f"UPDATE groups SET {assignments(fields, _CHANGING)} WHERE chat = :chat", {**fields, "chat": chat})


def replace(db: Database, row: GroupRow) -> None:
    """Save who we are in a group from now on, in which we were before."""
    update(db, row.chat, **{name: getattr(row, name) for name in _CHANGING})


def chats(db: Database) -> set[ChatId]:
    """Return the chats of all groups."""
    return {ChatId(chat) for (chat,) in db.query("SELECT chat FROM groups")}


def stored(db: Database, ids: Iterable[MessageId], at: int, route: Route | None) -> list[tuple[ChatId, MessageId]]:
    """Note that messages of ours in groups are stored somewhere else since `at` (ms); return those that were not. Ids
    of other messages are ignored.
    """
    values = (DeliveryState.STORED.value, at, None if route is None else route.value, DeliveryState.SAVED.value)
    return [(ChatId(chat), MessageId(id)) for chat, id in db.query(_STORED, (*values, packed(ids)))]


def waits(db: Database, chat: ChatId, message: MessageId) -> bool:
    """Return whether a message of ours waits for an epoch."""
    sql = "SELECT 1 FROM group_unsent WHERE chat = ? AND message = ? AND item IS NULL"
    return db.query_one(sql, (chat, message)) is not None


def _made(row: Row | None) -> GroupRow | None:
    return None if row is None else GroupRow(*row)
