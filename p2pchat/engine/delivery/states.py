"""The states of our messages, as stored in their rows and as faces are told."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.core import delivery
from p2pchat.core.contents import kind_of
from p2pchat.core.delivery import DeliveryEvent, DeliveryState, Route
from p2pchat.core.ids import ChatId, MessageId, first_device
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups


def unsent(tx: Transaction, contact: Contact) -> list[MessageId]:
    """Return the ids of our messages waiting for a contact, including timer lines, oldest first."""
    waiting = store_outbox.contents_for(tx.db, first_device(contact.id))
    return [message_id for kind, message_id in waiting if kind_of(kind).visible]


def passed_on(tx: Transaction, ids: Iterable[MessageId], route: Route | None) -> None:
    """Note that somebody, or a relay, has messages of ours that were written in groups. Other ids are ignored."""
    ids = list(ids)
    if not ids or not tx.has_groups():
        return
    at = views.timestamp(tx.now)
    for chat, message_id in store_groups.stored(tx.db, ids, tx.now, route):
        tx.event("state", id=message_id.hex(), chat=chat.hex(), state=DeliveryState.STORED, route=route, at=at)


def advance(tx: Transaction, chat: ChatId, ids: Iterable[MessageId], event: DeliveryEvent, route: Route | None) -> None:
    """Apply `event` to the states of our messages, and tell the faces. Unknown ids are ignored."""
    state = delivery.target(event)
    moved_on = store_messages.set_state(tx.db, chat, ids, state, tx.now, came_from=delivery.sources(event), route=route)
    at = views.timestamp(tx.now)
    for message_id in moved_on:
        tx.event("state", id=message_id.hex(), chat=chat.hex(), state=state, route=route, at=at)
