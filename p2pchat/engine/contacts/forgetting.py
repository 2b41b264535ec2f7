"""Deletes a contact with everything that made it one, or the messages of a chat.

Each is one transaction, except that many messages go in several, so that others are served meanwhile. Nobody fetches
what relays hold for the contact or from it any more, and it expires there. Nobody is told. A contact who was forgotten
and uses one of our invites again is a new contact.
"""

from __future__ import annotations

from p2pchat.core.contents import Edit, File, Pin, Reaction, Text
from p2pchat.core.delivery import DeliveryEvent
from p2pchat.core.ids import ChatId, direct_contact, first_device
from p2pchat.engine.contacts import contacts
from p2pchat.engine.delivery import states
from p2pchat.engine.files import taking_back
from p2pchat.engine.runtime import withholding
from p2pchat.engine.runtime.transaction import Transaction, index_messages
from p2pchat.errors import NotNow
from p2pchat.store import channels as store_channels
from p2pchat.store import chats as store_chats
from p2pchat.store import clearing as store_clearing
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store import partners
from p2pchat.store import timers as store_timers
from p2pchat.store import waiting as store_waiting
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.groups import items as store_items

SAID = tuple(payload.KIND.number for payload in (Text, File, Edit, Reaction, Pin))
"""Contents that are not sent any more when their chat is cleared. A delete for both and a timer still are."""


def forget(tx: Transaction, contact: Contact, *, history: bool) -> None:
    """Delete a contact. Without `history` the chat stays under their name, and can only be read. Raises NotNow."""
    if contact.state == ContactState.SELF:
        raise NotNow("Notes to self are not a contact", hint="`p2pchat clear notes` deletes them.")
    if contact.state == ContactState.REQUEST:
        raise NotNow(f"{contact.name} has only asked to become a contact", hint=f"`p2pchat decline {contact.id.hex()}`")
    chat = contact.chat
    if contact.state == ContactState.GROUP:
        raise NotNow(
            f"{contact.name} is a group", hint="`p2pchat group leave` leaves it; then its chat can be deleted."
        )
    if contact.state == ContactState.CHANNEL:
        _forget_channel(tx, contact, history=history)
        return
    if contact.state in (ContactState.FORGOTTEN, ContactState.LEFT):
        if history:
            _forget_chat(tx, chat)
            tx.event("forgotten", id=contact.id.hex(), history=True)
        return
    if not history:
        states.advance(tx, chat, states.unsent(tx, contact), DeliveryEvent.EXPIRED, None)
        store_chats.read(tx.db, chat, None, tx.now, tx.counted)  # nothing is unread of one who is gone
        tx.ends(store_timers.next_end(tx.db))
    stays = not history or store_clearing.takes_long(tx.db, chat)
    if stays:
        store_waiting.forget_chat(tx.db, chat)
        store_outbox.forget_failed_in(tx.db, chat)
        store_chats.leave_behind(tx.db, chat, contact.name)
    if history:
        _forget_chat(tx, chat)
    contacts.remove(tx, contact, keep_chat=stays)
    tx.storage_limits.take_again(contact.id)
    tx.erased = True
    tx.event("forgotten", id=contact.id.hex(), history=history)


def _forget_channel(tx: Transaction, channel: Contact, *, history: bool) -> None:
    """Stop following or writing a channel; its chat is then like that of a contact who was forgotten."""
    chat = channel.chat
    store_channels.remove(tx.db, chat)
    if history:
        _forget_chat(tx, chat)
    else:
        store_chats.read(tx.db, chat, None, tx.now, tx.counted)
        store_chats.leave_behind(tx.db, chat, channel.name)
    tx.memory.named.clear()
    tx.people_changed = tx.channels_changed = True
    tx.event("forgotten", id=channel.id.hex(), history=history)


def _forget_chat(tx: Transaction, chat: ChatId) -> None:
    """Delete a chat: at once or, where much was said, in the transactions of `go_on_clearing`."""
    tx.erased = True
    if store_clearing.takes_long(tx.db, chat):
        store_clearing.begin(tx.db, chat)
        return
    taking_back.note(tx, [row for row in store_files.over_in(tx.db, chat) if row.shared])
    store_messages.forget_chat(tx.db, chat)
    tx.later(None, index_messages)
    tx.memory.logs.pop(chat, None)
    tx.memory.settled.pop(chat, None)
    tx.memory.muted.pop(chat, None)
    store_chats.remove(tx.db, chat)


def clear(tx: Transaction, contact: Contact) -> None:
    """Begin to delete the messages of a chat, on this device only; `go_on_clearing` does the work. Messages not sent
    yet are not sent any more, the draft is deleted, and the chat's settings stay. The chat of a contact who was
    forgotten is deleted entirely, and so is that of a group that was left.
    """
    if contact.state in (ContactState.FORGOTTEN, ContactState.LEFT):
        forget(tx, contact, history=True)
        return
    chat = contact.chat
    if contact.group is not None:
        store_items.withdraw_all(tx.db, chat)
    if contact.state in ACCEPTED:
        store_outbox.clear(tx.db, first_device(contact.id), SAID)
        tx.dropped[contact.id] = None
    store_outbox.forget_failed_in(tx.db, chat)
    store_chats.keep_draft(tx.db, chat, "")
    store_clearing.begin(tx.db, chat)
    go_on_clearing(tx)


def go_on_clearing(tx: Transaction) -> bool:
    """Delete the next part of a chat that is being cleared; return whether there was one. `erased` makes this continue
    in transactions of its own, also after a restart.
    """
    chat = next(iter(store_clearing.under_way(tx.db)), None)
    if chat is None:
        return False
    partner = partners.of(tx.db, chat)
    forgotten = partner is not None and partner.state in (ContactState.FORGOTTEN, ContactState.LEFT)
    taking_back.note(tx, store_files.of(tx.db, store_clearing.next_part(tx.db, chat)).values())
    done = store_clearing.go_on(tx.db, chat, remember=not forgotten)
    tx.erased = True
    if done and forgotten:
        tx.later(None, index_messages)
        if not store_messages.page(tx.db, chat, 1):  # else they were said after it was cleared, and are to be read
            _forget_chat(tx, chat)
            tx.event("forgotten", id=direct_contact(chat).hex(), history=True)
        tx.people_changed = True
    elif done:
        tx.later(None, index_messages)
        tx.storage_limits.recount(direct_contact(chat))
        withholding.recheck(tx, direct_contact(chat))
        tx.unread[chat] = None
        tx.people_changed = True
        tx.event("cleared", chat=chat.hex())
    return True
