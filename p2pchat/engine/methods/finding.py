"""Methods for finding messages: by words, by date, or the first unread one."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from p2pchat.core.ids import ChatId, ContactId
from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NoSuchContact, UsageError
from p2pchat.lib.moments import moment
from p2pchat.store import chats as store_chats
from p2pchat.store import partners, remarks
from p2pchat.store import search as store_search
from p2pchat.store.database import Database
from p2pchat.store.groups import members as store_members
from p2pchat.store.messages import ME
from p2pchat.store.search import Bounds
from p2pchat.store.search_query import Query, parse
from p2pchat.store.snippets import snippet

MAX_HITS = 200
UNREAD, MENTION = "unread", "mention"
"""Given in place of a time: the first unread message of a chat, or the first unread one that mentions the user."""


async def search(
    engine: Engine,
    *,
    query: str,
    chat: str | None = None,
    limit: int = 50,
    before: int | None = None,
    after: int | None = None,
    typing: bool = False,
    context: int = 160,
) -> list[Json]:
    """Return messages that match a query, newest last, each with the part of its text that does.

    limit: how many. before, after: a position; only one of them is given. typing: the last word may go on. context:
    characters around a match, 0 for the whole text. Raises BadQuery and UsageError.
    """
    if before is not None and after is not None:
        raise UsageError("Give only one of `before` and `after`")
    wanted = parse(query, partial(_milliseconds, engine), open_end=typing)
    bounds = Bounds(after=after or 0, forwards=after is not None)
    if before is not None:
        bounds = Bounds(before=before)
    most = max(1, min(limit, MAX_HITS))

    def read(db: Database) -> list[Json]:
        where = None if chat is None else partners.find(db, chat).chat
        rows = store_search.search(db, wanted, where, _senders(db, wanted, where), most, bounds)
        notes, ahead = remarks.of(db, rows), engine.clock_watch.ahead
        names, chats = naming.of_all(db, rows, notes), partners.names(db)
        return [
            {
                **views.message(row, names.get(row.chat, "unknown"), notes.get(row.pk, remarks.NOTHING), ahead),
                "position": row.pk,
                "chat_name": chats.get(row.chat, "unknown"),
                "snippet": [{"text": part.text, "hit": part.hit} for part in snippet(row.text, wanted.terms, context)],
            }
            for row in rows
        ]

    return await engine.committer.read(read)


def _senders(db: Database, query: Query, chat: ChatId | None) -> list[ContactId] | None:
    """Return whose messages a query wants: a contact's, and those of members of that name, in all groups or in one.
    Raises NoSuchContact or AmbiguousName.
    """
    if query.sender is None:
        return None
    if query.sender.casefold() == "me":
        return [ME]
    try:
        partner = partners.find(db, query.sender)
    except NoSuchContact:
        found = store_members.senders(db, query.sender, None, chat)
        if not found:
            raise
        return found
    return [partner.id, *store_members.senders(db, query.sender, partner.id, chat)]


async def locate(engine: Engine, *, chat: str, to: str) -> Json:
    """Return where a jump leads: to the first unread message, one that mentions the user, or the first one at or after
    a date.
    """
    at = None if to in (UNREAD, MENTION) else milliseconds(engine, to)

    def query(db: Database) -> bytes | None:
        here = partners.find(db, chat).chat
        if to == MENTION:
            return next((row.id for row in naming.mentioning(db, here)), None)
        if at is None:
            return store_chats.unread(db, here).first
        row = store_search.first_since(db, here, at)
        return None if row is None else row.id

    message_id = await engine.committer.read(query)
    return {"id": None if message_id is None else message_id.hex()}


def milliseconds(engine: Engine, text: str) -> int:
    """Return the moment that a person typed, in the time zone of this machine. Raises UsageError."""
    try:
        return _milliseconds(engine, text)
    except ValueError as exc:
        raise UsageError(str(exc)) from None


def _milliseconds(engine: Engine, text: str) -> int:
    now = datetime.fromtimestamp(engine.clock() / 1000).astimezone()
    return int(moment(text, now).timestamp() * 1000)
