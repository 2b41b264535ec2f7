"""Methods about whole chats: the list, reading, drafts, settings."""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId, direct_contact
from p2pchat.engine.contacts import forgetting
from p2pchat.engine.delivery import read_receipts
from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json, Names
from p2pchat.errors import DatabaseDamaged, UsageError
from p2pchat.store import channels as store_channels
from p2pchat.store import chats as store_chats
from p2pchat.store import clearing as store_clearing
from p2pchat.store import contacts as store_contacts
from p2pchat.store import messages as store_messages
from p2pchat.store import partners, remarks
from p2pchat.store import timers as store_timers
from p2pchat.store.chats import ChatRow, ListedChat
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.groups import links as store_links
from p2pchat.store.remarks import NOTHING, Remarks
from p2pchat.store.timers import ChatTimer

MUTED_FOREVER_MS = 253_402_300_799_999
"""The last representable time, the end of the year 9999: a chat muted for good is muted until then."""


_Counts = dict[ChatId, int]


async def list_chats(engine: Engine, *, limit: int | None = None) -> list[Json]:
    """Return all chats, or the first `limit`, with what a list shows of them: the pinned ones in their order, then by
    newest activity.
    """

    def query(
        db: Database,
    ) -> tuple[
        list[tuple[Contact, ListedChat]],
        dict[ChatId, Names],
        dict[int, Remarks],
        dict[ChatId, ChatTimer],
        _Counts,
        _Counts,
        set[ChatId],
    ]:
        listed = _in_order(_listed(db)) if limit is None else _first(db, limit)
        last = [row.last for _, row in listed if row.last is not None]
        notes = remarks.of(db, last)
        names = {
            partner.chat: naming.of_one(db, partner, row.last, notes.get(row.last.pk, NOTHING))
            for partner, row in listed
            if row.last is not None
        }
        unread = [partner.chat for partner, row in listed if partner.group is not None and row.unread.count]
        mentions, asking = {chat: naming.mentioned(db, chat) for chat in unread}, store_links.counts(db, Role.ADMIN)
        return listed, names, notes, store_timers.all(db), mentions, asking, store_channels.frozen(db)

    listed, names, notes, timers, mentions, requests, frozen = await engine.committer.read(query)
    ahead, now = engine.clock_watch.ahead, engine.clock()
    return [
        {
            **views.contact(contact, engine.route(contact.id)),
            "kind": row.chat.kind,
            **read_receipts.shown(row.unread),
            "mentions": mentions.get(row.chat.id, 0),
            "requests": requests.get(row.chat.id, 0),
            "frozen": row.chat.id in frozen,
            "last": None
            if (last := row.last) is None
            else views.message(last, names[contact.chat], notes.get(last.pk, NOTHING), ahead),
            "draft": row.chat.draft,
            **_put_away(row.chat, now),
            "timer": timers[row.chat.id].seconds or None if row.chat.id in timers else None,
        }
        for contact, row in listed
    ]


def _listed(db: Database) -> list[tuple[Contact, ListedChat]]:
    """Return the chats of contacts, the one with oneself once there is something in it, and those of contacts
    who were forgotten, but for one that is being deleted.
    """
    rows = store_chats.listed(db)
    going = store_clearing.under_way(db)
    people = {contact.chat: contact for contact in store_contacts.listed(db)}
    pairs = ((people.get(chat) or partners.stand_in(row.chat), row) for chat, row in rows.items())
    return [pair for pair in pairs if _is_listed(*pair, going)]


def _is_listed(partner: Contact, row: ListedChat, going: Collection[ChatId]) -> bool:
    """Return whether a list has this chat; `going` are those that are being deleted."""
    if partner.state in (ContactState.FORGOTTEN, ContactState.LEFT) and row.chat.id in going:
        return False
    unused = partner.state == ContactState.SELF and row.last is None and not row.chat.draft
    hidden = partner.state == ContactState.REQUEST or partner.for_group
    return not hidden and (not unused or row.chat.pinned is not None)


def _in_order(listed: list[tuple[Contact, ListedChat]]) -> list[tuple[Contact, ListedChat]]:
    """Return them as a list shows them."""
    listed.sort(key=lambda pair: (_active(*pair), pair[0].id), reverse=True)
    listed.sort(key=lambda pair: inf if pair[1].chat.pinned is None else pair[1].chat.pinned)
    return listed


def _first(db: Database, limit: int) -> list[tuple[Contact, ListedChat]]:
    """Return the first of the list; of the others, nothing but their order is read."""
    going, listed = store_clearing.under_way(db), list[tuple[Contact, ListedChat]]()
    try:
        for chat in store_chats.in_order(db):
            if len(listed) >= limit:
                break
            row = store_chats.listed_one(db, chat)
            if row is not None:
                pair = (store_contacts.get(db, direct_contact(chat)) or partners.stand_in(row.chat), row)
                listed += [pair] if _is_listed(*pair, going) else []
    except DatabaseDamaged:
        return _in_order(_listed(db))[:limit]
    return listed


def _active(contact: Contact, row: ListedChat) -> int:
    if row.last is None:
        return contact.created_at
    return row.last.received_at or row.last.sent_at  # by our own clock


async def read(engine: Engine, *, chat: str, upto: str | None = None) -> Json:
    """Mark a chat as read, up to a message or completely."""

    def note(tx: Transaction) -> Json:
        contact = tx.partner(chat)
        last = None if upto is None else store_messages.find_in(tx.db, contact.chat, upto).pk
        return read_receipts.shown(read_receipts.read(tx, contact, last))

    return await engine.committer.submit(note)


async def clear(engine: Engine, *, chat: str) -> Json:
    """Delete all messages of a chat, on this device only. Messages saved meanwhile stay, and other calls are served."""

    def act(tx: Transaction) -> tuple[ChatId, Json]:
        partner = tx.partner(chat)
        forgetting.clear(tx, partner)
        return partner.chat, {"id": partner.id.hex(), "name": partner.name}

    here, cleared = await engine.committer.submit(act)

    async def poll() -> bool | None:
        return await engine.committer.read(store_clearing.is_cleared, here) or None

    await engine.committer.watch(poll)
    return cleared


async def pin_chat(engine: Engine, *, chat: str, pinned: bool = True) -> Json:
    """Pin a chat to the top, below those already pinned, or unpin it."""

    def act(tx: Transaction) -> Json:
        here = tx.partner(chat).chat
        row = store_chats.get(tx.db, here)
        if row is None or (row.pinned is not None) == pinned:
            return _shown_after(tx, here)
        return _changed(tx, here, pinned=store_chats.next_pinned(tx.db) if pinned else None)

    result: Json = await engine.committer.submit(act)
    return result


async def archive(engine: Engine, *, chat: str, archived: bool = True) -> Json:
    """Archive a chat, or take it out of the archive; an archived chat stays there when messages arrive."""
    return await _set(engine, chat, archived=int(archived))


async def mute(engine: Engine, *, chat: str, seconds: int | None = None) -> Json:
    """Mute a chat, for a time or for good; 0 unmutes."""
    now = engine.clock()
    until = MUTED_FOREVER_MS if seconds is None else now + min(1000 * seconds, MUTED_FOREVER_MS - now) if seconds else 0
    return await _set(engine, chat, muted_until=until)


async def _set(engine: Engine, chat: str, **fields: int) -> Json:
    def act(tx: Transaction) -> Json:
        return _changed(tx, tx.partner(chat).chat, **fields)

    changed: Json = await engine.committer.submit(act)
    return changed


def _changed(tx: Transaction, chat: ChatId, **fields: int | None) -> Json:
    """Change a chat's settings, and tell the faces."""
    store_chats.update(tx.db, chat, **fields)
    shown = _shown_after(tx, chat)
    unread = read_receipts.shown(store_chats.unread(tx.db, chat))
    tx.event("chat", **shown, **unread, timer=tx.timer(chat) or None)
    return shown


def _shown_after(tx: Transaction, chat: ChatId) -> Json:
    row = store_chats.get(tx.db, chat)
    assert row is not None
    return {"id": chat.hex(), **_put_away(row, tx.now)}


def _put_away(row: ChatRow, now: int) -> Json:
    return {
        "archived": row.archived,
        "pinned": row.pinned is not None,
        "muted_until": views.timestamp(row.muted_until) if row.muted_until > now else None,
    }


async def draft(engine: Engine, *, chat: str, text: str) -> Json:
    """Save the unsent text of a chat. Raises UsageError for invalid Unicode."""

    def keep(tx: Transaction) -> bool:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError("This text is not valid Unicode") from None
        here = tx.partner(chat).chat
        seconds = tx.timer(here)
        ends = tx.counted + 1000 * seconds if seconds and text else None
        tx.ends(ends)
        return store_chats.keep_draft(tx.db, here, text, ends)

    if await engine.committer.submit(keep) and not text:
        # only then the words are gone from the log of the database too
        await engine.endings.clean_log()
    return {}
