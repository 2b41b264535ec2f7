"""Invites of ours to groups, and those who use them."""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core.ids import ChatId, ContactId, InviteId
from p2pchat.store.database import Database

MAX_REQUESTS = 200
"""Requests that wait in one group; above that nobody new can ask."""


class GroupInviteRow(NamedTuple):
    """What an invite leads to. role: a number of `core.groups.roles`. ask: somebody decides about each newcomer.
    max_uses: how many may become members by it, or None. uses: how many did.
    """

    invite: InviteId
    chat: ChatId
    role: int
    ask: bool
    max_uses: int | None = None
    uses: int = 0

    @property
    def is_used_up(self) -> bool:
        """Whether as many became members by it as may."""
        return self.max_uses is not None and self.uses >= self.max_uses


class JoinRequestRow(NamedTuple):
    """Who uses an invite. answer: the encoded fields of the content with their keys, None before it has come. at: in
    ms.
    """

    chat: ChatId
    contact: ContactId
    invite: InviteId
    answer: bytes | None
    at: int


_INVITE = ", ".join(GroupInviteRow._fields)
_REQUEST = ", ".join(JoinRequestRow._fields)
_ADD = f"INSERT INTO group_invites ({_INVITE}) VALUES ({', '.join('?' * len(GroupInviteRow._fields))})"
_PUT = f"""
INSERT INTO group_requests ({_REQUEST}) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET invite = excluded.invite, answer = excluded.answer, at = excluded.at
"""


def add(db: Database, row: GroupInviteRow) -> None:
    """Save what a new invite leads to."""
    db.execute(_ADD, row)


def get(db: Database, invite: InviteId) -> GroupInviteRow | None:
    """Return what an invite leads to; None if that is no group."""
    row = db.query_one(f"SELECT {_INVITE} FROM group_invites WHERE invite = ?", (invite,))
    return None if row is None else GroupInviteRow(*row)._replace(ask=bool(row[3]))


def of(db: Database, chat: ChatId) -> list[InviteId]:
    """Return the invites to a group."""
    return [InviteId(id) for (id,) in db.query("SELECT invite FROM group_invites WHERE chat = ?", (chat,))]


def used(db: Database, invite: InviteId) -> None:
    """Count somebody who became a member by an invite."""
    db.execute("UPDATE group_invites SET uses = uses + 1 WHERE invite = ?", (invite,))


def used_up(db: Database) -> set[InviteId]:
    """Return the invites by which as many became members as may."""
    return {InviteId(id) for (id,) in db.query("SELECT invite FROM group_invites WHERE uses >= max_uses")}


def ask(db: Database, row: JoinRequestRow) -> None:
    """Save who uses an invite, in place of what was known of them."""
    db.execute(_PUT, row)


def request(db: Database, chat: ChatId, contact: ContactId) -> JoinRequestRow | None:
    """Return how somebody would join a group, or None."""
    sql = f"SELECT {_REQUEST} FROM group_requests WHERE chat = ? AND contact = ?"
    row = db.query_one(sql, (chat, contact))
    return None if row is None else JoinRequestRow(*row)


def requests(db: Database, chat: ChatId) -> list[JoinRequestRow]:
    """Return those about whom somebody has to decide, the first one first."""
    sql = f"SELECT {_REQUEST} FROM group_requests WHERE chat = ? AND answer IS NOT NULL ORDER BY at, contact"
    return [JoinRequestRow(*row) for row in db.query(sql, (chat,))]


def counts(db: Database, role: int) -> dict[ChatId, int]:
    """Return how many wait for a decision about whether they join, of each group in which our role is this or above."""
    sql = """SELECT chat, count(*) FROM group_requests JOIN groups USING (chat) JOIN chats ON chats.id = chat
        WHERE answer IS NOT NULL AND groups.role <= ? AND chats.ended_at IS NULL GROUP BY chat"""
    return {ChatId(chat): number for chat, number in db.query(sql, (role,))}


def by(db: Database, invite: InviteId) -> list[ContactId]:
    """Return those who use an invite and have not joined."""
    return [ContactId(id) for (id,) in db.query("SELECT contact FROM group_requests WHERE invite = ?", (invite,))]


def answered(db: Database, chat: ChatId, contact: ContactId) -> None:
    """Forget somebody who has joined, or does not."""
    db.execute("DELETE FROM group_requests WHERE chat = ? AND contact = ?", (chat, contact))


def forget_old(db: Database, unanswered: int, undecided: int) -> None:
    """Forget those who used an invite before these times (ms): of those who have not sent their keys, and of those
    about whom nobody has decided.
    """
    db.execute("DELETE FROM group_requests WHERE at < iif(answer IS NULL, ?, ?)", (unanswered, undecided))


def asks(db: Database, contact: ContactId) -> bool:
    """Return whether somebody is waiting to join any group."""
    return db.query_one("SELECT 1 FROM group_requests WHERE contact = ?", (contact,)) is not None
