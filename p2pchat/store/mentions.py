"""Whom the texts of groups mention, as their authors say: see `core.contents.mention`. Deleted with their message."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.ids import MemberId
from p2pchat.store.database import Database


def add(db: Database, message: int, mentions: Collection[MentionedMember]) -> None:
    """Note whom a message that is new here mentions, by its pk."""
    add_all(db, [(message, mentions)])


def add_all(db: Database, mentions: Collection[tuple[int, Collection[MentionedMember]]]) -> None:
    """Note the same for several messages."""
    rows = [(message, each.member, each.words) for message, named in mentions for each in named]
    if rows:
        db.executemany("INSERT OR IGNORE INTO mentions (message, member, words) VALUES (?, ?, ?)", rows)


def put(db: Database, message: int, mentions: Collection[MentionedMember]) -> None:
    """Note whom a message mentions now, by its pk; what was noted before is gone."""
    db.execute("DELETE FROM mentions WHERE message = ?", (message,))
    add(db, message, mentions)


def of(db: Database, messages: Collection[int]) -> Mapping[int, tuple[MentionedMember, ...]]:
    """Return whom messages mention, by their pk; a message that names nobody by id has no entry."""
    if not messages:
        return {}
    found: dict[int, list[MentionedMember]] = {}
    sql = "SELECT message, member, words FROM mentions WHERE message IN (SELECT value FROM json_each(?))"
    for message, member, words in db.query(sql, ("[" + ",".join(map(str, messages)) + "]",)):
        found.setdefault(message, []).append(MentionedMember(MemberId(member), words))
    return {message: tuple(each) for message, each in found.items()}
