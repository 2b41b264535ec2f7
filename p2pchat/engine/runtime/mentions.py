"""Which messages of a group mention the user: by the name that they have there, or all members, from a moderator."""

from __future__ import annotations

from collections.abc import Collection

from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId, ContactId, MessageId, member_of
from p2pchat.lib.mentions import ALL, is_mentioned, mentions
from p2pchat.store import chats as store_chats
from p2pchat.store.database import Database
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import MessageRow


def among(db: Database, chat: ChatId, rows: Collection[MessageRow]) -> frozenset[int]:
    """Return those of these messages of a group that mention the user, by their pk."""
    possible = [row for row in rows if "@" in row.text and not row.mine and row.deleted_at is None]
    group = store_groups.get(db, chat) if possible else None
    if group is None:
        return frozenset()
    return frozenset(row.pk for row in possible if _mentions(db, group, row.sender, row.text))


def unread(db: Database, chat: ChatId) -> list[MessageId]:
    """Return the unread messages of a chat that mention the user, in the order of the chat; only a group has any."""
    group = store_groups.get(db, chat)
    if group is None:
        return []
    rows = store_chats.unread_texts(db, chat, "@")
    return [id for id, sender, text in rows if _mentions(db, group, sender, text)]


def _mentions(db: Database, group: GroupRow, sender: ContactId, text: str) -> bool:
    if is_mentioned(text, group.name, group.member.hex()):
        return True
    if not mentions(text, [ALL]):
        return False
    member = store_members.get(db, group.chat, member_of(sender))
    return member is not None and member.role <= Role.MODERATOR
