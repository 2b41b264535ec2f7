"""The effects of contents when they arrive: one module, of the same name, for each kind that may come in a session, but
those about groups, which `engine.groups` takes at the end of the transaction (`Kind.deferred`).

`apply` of such a module runs in the transaction that accepts the content, after the envelope is noted as seen and its
receipt is queued. A content that was received before, by (contact, message id), must change nothing.

text, timer, edit, delete, hide, reaction, pin, typing, receipt   the chat
report                                                            to those who moderate a group
file, transfer                                              a file, and what is said of it
profile, addresses, queues, bundle, relay                   the contact
group_meet                                                  which contact of ours a member of a group is
visible   what all visible kinds have in common: saving a message
about     what all remarks have in common: finding their message, or waiting for it
ending    deleting timed messages and clearing chats
lines     lines in the chat of a group, which nobody sent
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from p2pchat.core.content import Content, decode_content
from p2pchat.core.contents import (
    KINDS,
    Addresses,
    AnyPayload,
    ContactProfile,
    NewBundle,
    Payload,
    Queues,
    Receipt,
)
from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, member_of
from p2pchat.engine.runtime.effects import GroupArrival
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import partners
from p2pchat.store import waiting as store_waiting
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import members as store_members

_FOR_GROUPS = (ContactProfile, Addresses, Queues, NewBundle, Receipt)
"""What is taken, besides contents about groups, from somebody who is only known for a group."""
Apply = Callable[[Transaction, Contact, Content, Any, Route], None]


def _defer(tx: Transaction, contact: Contact, content: Content, payload: Payload, route: Route) -> None:
    """Leave it to the end of the transaction: groups are a floor above."""
    tx.group_arrivals.append(GroupArrival(contact.id, payload, route))


@cache
def effect_of(payload: type[AnyPayload]) -> Apply | None:
    """Return what a kind of content does where it arrives; None for a kind that says nothing in a session."""
    if not payload.KIND.in_session:
        return None
    if payload.KIND.deferred:
        return _defer
    effect: Apply = import_module(f"{__name__}.{payload.KIND.name}").apply
    return effect


for known in KINDS.values():  # now, not in the first transaction that needs one
    effect_of(known)


def apply(tx: Transaction, contact: Contact, content: Content, route: Route) -> None:
    """Apply a content. One of an unknown kind is acked and receipted, and otherwise ignored: a newer version may send
    it.
    """
    effect = effect_of(type(content.payload))
    if contact.for_group and not (content.kind.deferred or isinstance(content.payload, _FOR_GROUPS)):
        return  # they are shown nowhere, so they can say nothing
    if effect is not None:
        effect(tx, contact, content, content.payload, route)
    if content.kind.visible and is_waited_for(tx, contact):
        for sender, waited in store_waiting.take(tx.db, contact.chat, content.message_id, contact.id):
            apply(tx, _who(tx, contact, sender), decode_content(waited), route)


def _who(tx: Transaction, contact: Contact, sender: ContactId) -> Contact:
    """Return who said what waited for a message of this contact: in a group, any member."""
    if sender == contact.id or contact.group is None:
        return contact
    member = member_of(sender)
    return partners.member(contact.group, member, store_members.shown_name(tx.db, contact.group, member))


def is_waited_for(tx: Transaction, contact: Contact) -> bool:
    """Return whether anything waits for messages of this contact; asked once, since for almost nobody it does."""
    chat = contact.chat
    known = tx.memory.waiting.get(chat)
    if known is None:
        known = tx.memory.waiting[chat] = store_waiting.any_for(tx.db, chat)
    return known
