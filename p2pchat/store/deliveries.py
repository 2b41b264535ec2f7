"""The delivery state of our messages for each device, if there is more than one recipient.

A message in a direct chat has one recipient, and its state is in its own row: it has no rows here. A message in a group
has a row here for each device that it is for, and its own row has the least advanced of their states: it is delivered
once it is delivered everywhere. A device for which it has failed counts only if it has failed for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import ChatId, DeviceId, MessageId
from p2pchat.store import messages
from p2pchat.store.database import ID_LIST, Database, packed

_RANKED = (DeliveryState.SAVED, DeliveryState.STORED, DeliveryState.DELIVERED, DeliveryState.READ)


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """The state of a message for one device; times in ms, None if that state was not reached."""

    device: DeviceId
    state: DeliveryState
    route: Route | None = None
    stored_at: int | None = None
    delivered_at: int | None = None
    read_at: int | None = None


_ADD = """
INSERT INTO deliveries (message, device, state)
SELECT pk, ?, ? FROM messages WHERE id = ? AND chat = ? AND sender = x'' ON CONFLICT DO NOTHING
"""
_OF = """
SELECT device, state, route, stored_at, delivered_at, read_at FROM deliveries WHERE message = ? ORDER BY device
"""
_STATES = "SELECT DISTINCT deliveries.state FROM deliveries JOIN messages ON pk = message WHERE id = ? AND chat = ?"


def begin(db: Database, chat: ChatId, id: MessageId, devices: Iterable[DeviceId]) -> None:
    """Note that a message of ours, which is already saved, is for these devices."""
    db.executemany(_ADD, [(device, DeliveryState.SAVED.value, id, chat) for device in devices])


def of(db: Database, pk: int) -> list[DeliveryRow]:
    """Return the rows of the message with this pk; [] if its own row has its state."""
    return [
        DeliveryRow(device, DeliveryState(state), None if route is None else Route(route), *times)
        for device, state, route, *times in db.query(_OF, (pk,))
    ]


def set_state(
    db: Database,
    chat: ChatId,
    device: DeviceId,
    ids: Iterable[MessageId],
    state: DeliveryState,
    at: int,
    *,
    came_from: Collection[DeliveryState],
    route: Route | None = None,
) -> list[MessageId]:
    """Change our messages of a chat to `state` for one device, if they are in one of the states `came_from`, and then
    each message whose least advanced state has changed.

    `at` (ms) is saved as the time of that state, the first time only. Return the ids of the messages that changed as a
    whole.
    """
    ids = list(dict.fromkeys(ids))
    assign, where, values = messages.transition(state, at, came_from, route)
    sql = (
        f"UPDATE deliveries SET {assign} WHERE device = :device AND {where} AND message IN"
        f" (SELECT pk FROM messages WHERE id IN {ID_LIST.format(':ids')} AND +chat = :chat AND +sender = x'')"
    )
    if not db.execute(sql, {**values, "device": device, "chat": chat, "ids": packed(ids)}):
        return []
    moved = []
    for id in ids:
        whole = _least(DeliveryState(state) for (state,) in db.query(_STATES, (id, chat)))
        if whole is not None:
            others = [other for other in DeliveryState if other != whole]
            moved += messages.set_state(db, chat, [id], whole, at, came_from=others, route=route)
    return moved


def _least(states: Iterable[DeliveryState]) -> DeliveryState | None:
    """Return the state of a message from its states for its devices; None if there are none."""
    known = set(states)
    going = [state for state in _RANKED if state in known]
    return going[0] if going else DeliveryState.FAILED if known else None
