"""Applies the content timer: how long new messages of the chat stay. The newest counts, whoever set it."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.content import Content, newest_message_id
from p2pchat.core.contents import Timer
from p2pchat.core.delivery import Route
from p2pchat.engine.contents.visible import insert
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS
from p2pchat.store import remarks
from p2pchat.store import timers as store_timers
from p2pchat.store.contacts import Contact
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.timers import ChatTimer


def apply(tx: Transaction, contact: Contact, content: Content, payload: Timer, route: Route) -> None:
    """Show who set it, and apply it if it is the newest."""
    insert(tx, contact, content, route)
    _settle(tx, contact, ChatTimer(payload.seconds, contact.id, content.message_id, content.sent_at))


def put(tx: Transaction, contact: Contact, seconds: int) -> MessageRow:
    """Set the timer of a chat to so many seconds (0: none), and tell the contact. Raises NotNow."""
    before = store_timers.get(tx.db, contact.chat)
    message_id = tx.new_id_above(None if before is None else before.id)
    row = outbound.send(tx, contact, Timer(seconds), message_id)
    _settle(tx, contact, ChatTimer(seconds, ME, message_id, tx.now))
    return row


def _settle(tx: Transaction, contact: Contact, timer: ChatTimer) -> None:
    """Apply the rule of `news.is_new`: an id from the future counts as one of tomorrow, and a noted one from later as
    none.
    """
    chat = contact.chat
    known, tomorrow = store_timers.get(tx.db, chat), newest_message_id(tx.now + DAY_MS)
    if known is not None and timer.id <= known.id <= tomorrow:
        return
    if known is None:
        remarks.unquote_absent(tx.db, chat)
        tx.erased = True
    store_timers.put(tx.db, chat, replace(timer, id=min(timer.id, tomorrow)))
    tx.memory.seconds[chat] = timer.seconds
    tx.unread[chat] = None  # faces are told of the chat
    if timer.seconds:  # what was begun before it was set ends too
        ends = tx.counted + 1000 * timer.seconds
        store_timers.end_draft_by(tx.db, chat, ends)
        tx.ends(ends)
