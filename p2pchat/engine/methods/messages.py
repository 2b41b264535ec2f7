"""Methods for sending, reading and deleting messages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import trio

from p2pchat.core import delivery
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import ChatId, MessageId, direct_contact
from p2pchat.engine.channels import writing
from p2pchat.engine.contents import about
from p2pchat.engine.delivery import outbound
from p2pchat.engine.engine import Engine
from p2pchat.engine.files import transfers
from p2pchat.engine.methods import message_status
from p2pchat.engine.methods.conversation import contact_of, delete_for_both, message_meant
from p2pchat.engine.methods.finding import UNREAD, milliseconds
from p2pchat.engine.runtime import naming, views, withholding
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NotNow, NotReached, P2PChatError, UsageError
from p2pchat.store import channels as store_channels
from p2pchat.store import chats as store_chats
from p2pchat.store import messages as store_messages
from p2pchat.store import partners, remarks
from p2pchat.store import search as store_search
from p2pchat.store.contacts import ContactState
from p2pchat.store.database import Database
from p2pchat.store.messages import MessageRow
from p2pchat.store.search_query import plain

MAX_PAGE = 1000


async def send(
    engine: Engine,
    *,
    chat: str,
    text: str,
    reply_to: str | None = None,
    wait: str = "saved",
    timeout: float = 30,  # noqa: ASYNC109
) -> Json:
    """Save a message, then wait up to `timeout` seconds for the delivery state `wait`. Raises NotReached."""
    return await save_and_wait(engine, wait, timeout, save, chat, text, reply_to)


async def reply(
    engine: Engine,
    *,
    id: str,
    text: str,
    wait: str = "saved",
    timeout: float = 30,  # noqa: ASYNC109
) -> Json:
    """Reply to a message, in its chat; see `send`."""
    return await save_and_wait(engine, wait, timeout, _save_reply, id, text)


async def save_and_wait(
    engine: Engine,
    wait: str,
    timeout: float,  # noqa: ASYNC109
    function: Callable[..., Json],
    *args: object,
    reached: Callable[[Json, DeliveryState], bool] | None = None,
    says: Callable[[Json], str] | None = None,
) -> Json:
    """Save a message with `function(tx, *args, message id)`, and wait for the requested state. reached: whether it is
    reached, by what is answered; says: where the message is, for one who has waited in vain. Both differ for a file.
    """
    reached, says = reached or _reached, says or _where
    goal = DeliveryState(wait)
    message_id = engine.committer.message_ids.new(engine.clock())
    with ExitStack() as stack:
        following = stack.enter_context(engine.events.follow(message_id))
        sent: Json = await engine.committer.submit(function, *args, message_id, brief=True)
        if sent["id"] != message_id.hex():  # the id of a post follows from what was signed
            message_id = MessageId(bytes.fromhex(sent["id"]))
            following = stack.enter_context(engine.events.follow(message_id))
            sent |= await engine.committer.read(_state_of, message_id)
        with trio.move_on_after(timeout):
            while not reached(sent, goal):
                if sent["state"] == DeliveryState.FAILED:
                    break
                await following.moved.wait()
                following.moved.clear()
                if following.newest is None:
                    continue
                sent |= {key: following.newest[key] for key in ("state", "route")}
                if sent["state"] != DeliveryState.FAILED:
                    sent["stored_at"] = sent["stored_at"] or following.newest["at"]
    if reached(sent, goal):
        return sent
    if sent["state"] == DeliveryState.FAILED:
        raise P2PChatError(
            f"Message {message_id.hex()} failed: it can no longer be delivered",
            hint=f"`p2pchat why {message_id.hex()[:12]}` says why.",
            result=sent,
        )
    raise NotReached(
        f"Message {message_id.hex()} was not {wait} within {timeout:g} s; {says(sent)}",
        hint=f"`p2pchat why {message_id.hex()[:12]}` says why.",
        result=sent,
    )


def _state_of(db: Database, message_id: MessageId) -> Json:
    return {"state": store_messages.with_id(db, message_id)[0].state}


def _reached(sent: Json, goal: DeliveryState) -> bool:
    return delivery.reached(sent["state"], goal)


def _where(sent: Json) -> str:
    return _STATE_TEXTS[sent["state"]]


_STATE_TEXTS = {
    "saved": "it is saved here and will be sent as soon as possible",
    "stored": "their relays have it, until their node fetches it",
    "delivered": "it was delivered, and nobody has read it yet",
}


def save(
    tx: Transaction, chat: str, text: str, reply_to: str | None = None, message_id: MessageId | None = None
) -> Json:
    """Save a text, as a reply or not."""
    contact = tx.partner(chat)
    if contact.state == ContactState.CHANNEL:
        return as_sent(_post(tx, contact.chat, text, reply_to))
    answered = None if reply_to is None else store_messages.find_in(tx.db, contact.chat, reply_to)
    return as_sent(outbound.send_text(tx, contact, text, message_id, answered))


def _post(tx: Transaction, chat: ChatId, text: str, reply_to: str | None) -> MessageRow:
    """Write a text in a channel."""
    row = store_channels.get(tx.db, chat)
    if row is None or reply_to is not None:
        raise NotNow("Posts of a channel cannot be answered there")
    return writing.post_text(tx, row, text)


def _save_reply(tx: Transaction, id: str, text: str, message_id: MessageId) -> Json:
    answered = store_messages.find(tx.db, id)
    if store_channels.get(tx.db, answered.chat) is not None:
        raise NotNow("Posts of a channel cannot be answered there")
    return as_sent(outbound.send_text(tx, contact_of(tx, answered), text, message_id, answered))


def as_sent(row: MessageRow) -> Json:
    """Return what is answered to whoever sent a message."""
    return {"id": row.id.hex(), "state": row.state, "route": None, "stored_at": None}


async def log(
    engine: Engine,
    *,
    chat: str,
    limit: int = 50,
    search: str | None = None,
    before: str | None = None,
    after: str | None = None,
    around: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> list[Json]:
    """Return messages of a chat, newest last: the newest, or where a beginning is given (`since`, `after`), those that
    follow.

    `search` and `around` stand alone, and `before` and `after` exclude one another. Where there are fewer `before` one
    in a channel, its relays are asked for more. Raises UsageError.
    """
    places = any(place is not None for place in (before, after, since, until))
    if (before is not None and after is not None) or (search is not None) + (around is not None) + places > 1:
        raise UsageError("Give `search` alone, `around` alone, or not both of `before` and `after`")
    start = since if since in (None, UNREAD) else milliseconds(engine, since)
    end = None if until is None else milliseconds(engine, until)

    def query(db: Database) -> list[Json]:
        contact = partners.find(db, chat)
        here = contact.chat
        most = max(1, min(limit, MAX_PAGE))
        if search is not None:
            words = plain(search)
            rows = [] if words is None else store_search.search(db, words, here, None, most)
        elif around is not None:
            rows = store_messages.page_around(db, here, most, store_messages.find_in(db, here, around))
        else:
            rows = _page(db, here, most, before, after, start, end)
        notes, ahead = remarks.of(db, rows), engine.clock_watch.ahead
        names = naming.of(db, contact, rows, notes)
        return [views.message(row, names, notes.get(row.pk, remarks.NOTHING), ahead) for row in rows]

    shown = await engine.committer.read(query)
    if before is not None and len(shown) < limit and await engine.channels.read_older(await _chat(engine, chat), limit):
        shown = await engine.committer.read(query)
    return engine.files.live.show(shown)


async def _chat(engine: Engine, named: str) -> ChatId:
    return await engine.committer.read(lambda db: partners.find(db, named).chat)


def _page(
    db: Database,
    chat: ChatId,
    limit: int,
    before: str | None,
    after: str | None,
    start: str | int | None,
    end: int | None,
) -> list[MessageRow]:
    """Return a page of a chat between two messages and two times; `start` may be what is unread."""
    earlier, later = (None if id is None else store_messages.find_in(db, chat, id) for id in (after, before))
    if start is None and end is None:
        if earlier is not None:
            return store_messages.page_after(db, chat, limit, earlier.pk)
        return store_messages.page(db, chat, limit, None if later is None else later.pk)
    first = None if start is None else _first(db, chat, start)
    if start is not None and first is None:
        return []
    behind = None if end is None else store_search.first_since(db, chat, end)
    return store_messages.page_between(db, chat, limit, first=first, end=behind, after=earlier, before=later)


def _first(db: Database, chat: ChatId, start: str | int) -> MessageRow | None:
    if isinstance(start, int):
        return store_search.first_since(db, chat, start)
    unread = store_chats.unread(db, chat).first
    return None if unread is None else store_messages.find_in(db, chat, unread.hex())


async def list_messages(
    engine: Engine,
    *,
    chat: str | None = None,
    since: str | None = None,
    position: int | None = None,
    limit: int | None = None,
) -> list[Json]:
    """Return messages of one chat or of all in the order they were saved, each with its position in it.

    After the message `since` or after `position`, or else the newest `limit`. `since` "" and `position` 0 are before
    the first. Unlike an id, a position means one place for ever: a peer can repeat an id, and a message can be deleted.
    """

    def query(db: Database) -> list[Json]:
        wanted = None if chat is None else partners.find(db, chat).chat
        after = position
        if since is not None:
            after = store_messages.find(db, since).pk if since else 0
        if after is not None:
            rows = store_messages.since(db, wanted, after, min(limit or MAX_PAGE, MAX_PAGE))
        else:
            rows = store_messages.newest(db, wanted, min(limit or 0, MAX_PAGE))
        notes, ahead = remarks.of(db, rows), engine.clock_watch.ahead
        names = naming.of_all(db, rows, notes)
        return [
            {
                **views.message(row, names.get(row.chat, "unknown"), notes.get(row.pk, remarks.NOTHING), ahead),
                "position": row.pk,
            }
            for row in rows
        ]

    return engine.files.live.show(await engine.committer.read(query))


async def delete(engine: Engine, *, id: str, for_both: bool = False, chat: str | None = None) -> Json:
    """Delete a message, here or on both sides; one of ours that is in flight is not sent any more."""

    def erase(tx: Transaction) -> MessageId:
        if for_both:
            return delete_for_both(tx, id, chat).id
        row = message_meant(tx.db, id, chat)
        if row.mine:
            about.withdraw(tx, row)
        transfers.deleted(tx, row)
        about.unquote(tx, row)
        store_messages.delete(tx.db, row.pk)
        if not row.mine and row.read_at is None:
            tx.unread[row.chat] = None
            tx.storage_limits.recount(direct_contact(row.chat))
            withholding.recheck(tx, direct_contact(row.chat))
        tx.event("state", id=row.id.hex(), chat=row.chat.hex(), state="deleted", route=None, at=None)
        return row.id

    erased: MessageId = await engine.committer.submit(erase)
    await engine.endings.clean_log()  # only then the words are gone from the log of the database too
    return {"id": erased.hex()}


async def why(engine: Engine, *, id: str) -> Json:
    """Return why a message is not delivered yet, and what happens next."""

    def query(db: Database) -> Json:
        row = store_messages.find(db, id)
        contact_id = direct_contact(row.chat)
        apart = engine.committer.clock_hints.apart(contact_id)
        full = engine.committer.storage_limits.is_told_full(contact_id, engine.clock())
        contact, live = partners.of(db, row.chat), engine.files.live
        return message_status.why(db, row, contact, engine.net, apart, full=full, live=live)

    return await engine.committer.read(query)
