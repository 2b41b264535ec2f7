"""The delivery states of our own messages: a table of transitions.

state       event      → state        what the user sees
saved       stored     → stored       ◷ → ✓    an ack: the next hop has it on disk
saved       delivered  → delivered    ◷ → ✓✓   the receipt, end to end
saved       read       → read                  a receipt of reading overtook the one of delivery
saved       expired    → failed                30 days without a receipt
stored      delivered  → delivered    ✓ → ✓✓
stored      read       → read
stored      expired    → failed
delivered   read       → read
failed      delivered  → delivered             a late receipt
failed      read       → read
failed      resumed    → saved                 it had failed by a clock that was wrong

Everything may arrive twice and in any order: an event that is not in the table changes nothing.
"""

from __future__ import annotations

from enum import StrEnum


class DeliveryState(StrEnum):
    """The delivery state of a message, as the database, events and `--json` have it. `RECEIVED` is the only state of
    messages that others wrote.
    """

    SAVED = "saved"
    STORED = "stored"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    RECEIVED = "received"


class DeliveryEvent(StrEnum):
    """The events that change the state of one of our messages."""

    STORED = "stored"
    DELIVERED = "delivered"
    READ = "read"
    EXPIRED = "expired"
    RESUMED = "resumed"


class Route(StrEnum):
    """How bytes travel to a contact: over a direct connection, over one within a local network, over one through holes
    in both routers, over a circuit through a relay, through a relay's mailbox, or in a parcel; and in a group, with
    what was written before we joined. The connections of the net know `DIRECT` and `CIRCUIT` only.
    """

    DIRECT = "direct"
    LAN = "lan"
    PUNCHED = "punched"
    CIRCUIT = "circuit"
    MAILBOX = "mailbox"
    PARCEL = "parcel"
    HISTORY = "history"


TRANSITIONS: dict[tuple[DeliveryState, DeliveryEvent], DeliveryState] = {
    (DeliveryState.SAVED, DeliveryEvent.STORED): DeliveryState.STORED,
    (DeliveryState.SAVED, DeliveryEvent.DELIVERED): DeliveryState.DELIVERED,
    (DeliveryState.SAVED, DeliveryEvent.READ): DeliveryState.READ,
    (DeliveryState.SAVED, DeliveryEvent.EXPIRED): DeliveryState.FAILED,
    (DeliveryState.STORED, DeliveryEvent.DELIVERED): DeliveryState.DELIVERED,
    (DeliveryState.STORED, DeliveryEvent.READ): DeliveryState.READ,
    (DeliveryState.STORED, DeliveryEvent.EXPIRED): DeliveryState.FAILED,
    (DeliveryState.DELIVERED, DeliveryEvent.READ): DeliveryState.READ,
    (DeliveryState.FAILED, DeliveryEvent.DELIVERED): DeliveryState.DELIVERED,
    (DeliveryState.FAILED, DeliveryEvent.READ): DeliveryState.READ,
    (DeliveryState.FAILED, DeliveryEvent.RESUMED): DeliveryState.SAVED,
}
_ORDER = {
    DeliveryState.SAVED: 0,
    DeliveryState.FAILED: 0,
    DeliveryState.STORED: 1,
    DeliveryState.DELIVERED: 2,
    DeliveryState.READ: 3,
}


def advance(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """Return the state after `event`, which is the same state if the event has no effect."""
    return TRANSITIONS.get((state, event), state)


def reached(state: DeliveryState, goal: DeliveryState) -> bool:
    """Return whether `state` is `goal` or a later state."""
    return _ORDER.get(state, 0) >= _ORDER[goal] and state != DeliveryState.FAILED


def target(event: DeliveryEvent) -> DeliveryState:
    """Return the state to which `event` leads."""
    return next(after for (_, happened), after in TRANSITIONS.items() if happened == event)


def sources(event: DeliveryEvent) -> tuple[DeliveryState, ...]:
    """Return the states in which `event` has an effect."""
    return tuple(before for before, happened in TRANSITIONS if happened == event)
