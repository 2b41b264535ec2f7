"""Methods about existing messages, and about timers."""

from __future__ import annotations

from p2pchat.core.contents.timer import MAX_TIMER_SECONDS
from p2pchat.core.groups.settings import TIMER
from p2pchat.core.ids import direct_contact
from p2pchat.engine.channels import writing
from p2pchat.engine.contents import delete, edit, pin, reaction, timer, typing
from p2pchat.engine.delivery import outbound
from p2pchat.engine.engine import Engine
from p2pchat.engine.groups import changes
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json, timestamp
from p2pchat.errors import NoSuchContact, UsageError
from p2pchat.store import channels as store_channels
from p2pchat.store import messages as store_messages
from p2pchat.store import partners, remarks
from p2pchat.store import timers as store_timers
from p2pchat.store.contacts import Contact
from p2pchat.store.database import Database
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.messages import ME, MessageRow

MIN_TIMER_SECONDS = 5
MAX_PINNED = 100


def message_meant(db: Database, id: str, chat: str | None) -> MessageRow:
    """Return the message of an id or the beginning of one: in a chat, or wherever it was here first. Raises
    NoSuchMessage, AmbiguousName or NoSuchContact.
    """
    if chat is None:
        return store_messages.find(db, id)
    return store_messages.find_in(db, partners.find(db, chat).chat, id)


def contact_of(tx: Transaction, row: MessageRow) -> Contact:
    """Return in whose chat a message is. Raises NoSuchContact."""
    partner = tx.contact(direct_contact(row.chat)) or partners.of(tx.db, row.chat)
    if partner is None:
        raise NoSuchContact
    return partner


def own_message(db: Database, id: str, chat: str | None) -> MessageRow:
    """Return the message that is meant, as `message_meant`; of two with one id, in one chat, our own: only that one can
    be changed.
    """
    row = message_meant(db, id, chat)
    ours = None if row.sender == ME else store_messages.get(db, row.chat, ME, row.id)
    return ours or row


def shown(tx: Transaction, row: MessageRow) -> Json:
    """Return a message as it is now, after what was done to it."""
    now = store_messages.get(tx.db, row.chat, row.sender, row.id) or row
    notes = remarks.of_message(tx.db, now)
    return views.message(now, naming.of_one(tx.db, contact_of(tx, row), now, notes), notes, tx.counted - tx.now)


async def edit_message(engine: Engine, *, id: str, text: str, chat: str | None = None) -> Json:
    """Edit one's own text."""

    def change(tx: Transaction) -> Json:
        row = own_message(tx.db, id, chat)
        channel = store_channels.get(tx.db, row.chat)
        if channel is not None:
            writing.edit(tx, channel, row, text)
        else:
            edit.write(tx, contact_of(tx, row), row, text)
        return shown(tx, row)

    result: Json = await engine.committer.submit(change)
    return result


async def react(engine: Engine, *, id: str, emoji: str, chat: str | None = None) -> Json:
    """React to a message, or remove the reaction."""

    def change(tx: Transaction) -> Json:
        row = message_meant(tx.db, id, chat)
        reaction.give(tx, contact_of(tx, row), row, emoji.strip())
        return shown(tx, row)

    result: Json = await engine.committer.submit(change)
    return result


async def pin_message(engine: Engine, *, id: str, pinned: bool = True, chat: str | None = None) -> Json:
    """Pin or unpin a message."""

    def change(tx: Transaction) -> Json:
        row = message_meant(tx.db, id, chat)
        pin.put(tx, contact_of(tx, row), row, pinned=pinned)
        return shown(tx, row)

    result: Json = await engine.committer.submit(change)
    return result


async def pinned(engine: Engine, *, chat: str) -> list[Json]:
    """Return the pinned messages of a chat, in its order."""

    def query(db: Database) -> list[Json]:
        contact = partners.find(db, chat)
        rows = remarks.pinned(db, contact.chat, MAX_PINNED)
        notes = remarks.of(db, rows)
        ahead = engine.clock_watch.ahead
        names = naming.of(db, contact, rows, notes)
        return [views.message(row, names, notes.get(row.pk, remarks.NOTHING), ahead) for row in rows]

    return await engine.committer.read(query)


async def history(engine: Engine, *, id: str, chat: str | None = None) -> list[Json]:
    """Return what a message said before it was edited, and what it says."""

    def query(db: Database) -> list[Json]:
        row = message_meant(db, id, chat)
        return [{"text": version.text, "at": timestamp(version.at)} for version in remarks.versions(db, row)]

    return await engine.committer.read(query)


async def chat_timer(engine: Engine, *, chat: str, seconds: int | None = None) -> Json:
    """Return how many seconds the messages of a chat stay; set first, if `seconds` is given. Raises UsageError."""
    if seconds is not None and seconds != 0 and not MIN_TIMER_SECONDS <= seconds <= MAX_TIMER_SECONDS:
        raise UsageError("A timer has to be between 5 seconds and 366 days, or off")

    def query(db: Database) -> Json:
        contact = partners.find(db, chat)
        here = contact.chat
        timer = store_timers.get(db, here)
        if timer is None:
            return {"chat": here.hex(), "timer": None, "by": None, "at": None}
        by = None if contact.group is not None else "me" if timer.sender == ME else contact.name
        return {"chat": here.hex(), "timer": timer.seconds or None, "by": by, "at": timestamp(timer.at)}

    def change(tx: Transaction, seconds: int) -> None:
        partner = tx.partner(chat)
        row = None if partner.group is None else store_groups.get(tx.db, partner.group)
        if row is not None:
            outbound.check_writable(partner)
            if seconds != tx.timer(partner.chat):
                changes.change_setting(tx, row, TIMER.key, seconds)
            return
        now = store_timers.get(tx.db, partner.chat)
        if seconds != (0 if now is None else now.seconds):  # the same again would only add a line to the chat
            timer.put(tx, partner, seconds)

    if seconds is not None:
        await engine.committer.submit(change, seconds)
    return await engine.committer.read(query)


async def tell_typing(engine: Engine, *, chat: str, writing: bool = True) -> Json:
    """Tell a contact that the user is typing, or has stopped."""

    def tell(tx: Transaction) -> Json:
        return {"told": typing.tell(tx, tx.partner(chat), writing=writing)}

    result: Json = await engine.committer.submit(tell, brief=True)
    return result


def delete_for_both(tx: Transaction, id: str, chat: str | None) -> MessageRow:
    """Delete one's own message on both sides."""
    row = own_message(tx.db, id, chat)
    channel = store_channels.get(tx.db, row.chat)
    if channel is not None:
        writing.withdraw(tx, channel, row)
    else:
        delete.retract(tx, contact_of(tx, row), row)
    return row
