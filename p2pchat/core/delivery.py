"""How far a message of ours has come: a table of transitions.

state       event      → state        what the user sees
saved       stored     → stored       ◷ → ✓    an ack: the next hop has it on disk
saved       delivered  → delivered    ◷ → ✓✓   the receipt, end to end
saved       read       → read                  a receipt of reading overtook the one of delivery
saved       expired    → failed                30 days without a receipt
stored      delivered  → delivered    ✓ → ✓✓
stored      read       → read
stored      expired    → failed
delivered   read       → read
failed      delivered  → delivered             a receipt that came late after all
failed      read       → read
failed      resumed    → saved                 it had failed by a clock that was wrong

Everything may arrive twice and in any order: what is not in the table changes nothing.
"""

from __future__ import annotations

from enum import StrEnum


class DeliveryState(StrEnum):
    """How far a message has come, as the database, events and `--json` have it. `RECEIVED` is the one state of a
    message that others wrote.
    """

    SAVED = "saved"
    STORED = "stored"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    RECEIVED = "received"


class DeliveryEvent(StrEnum):
    """What can happen to a message of ours."""

    STORED = "stored"
    DELIVERED = "delivered"
    READ = "read"
    EXPIRED = "expired"
    RESUMED = "resumed"


class Route(StrEnum):
    """How bytes travel to a contact: on a connection of our own, on one within a local network, on a circuit by a
    relay, or by a relay's mailbox. The net itself knows direct connections and circuits only.
    """

    DIRECT = "direct"
    LAN = "lan"
    CIRCUIT = "circuit"
    MAILBOX = "mailbox"


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
    """Return the state after `event`; the same state where the event says nothing new."""
    return TRANSITIONS.get((state, event), state)


def reached(state: DeliveryState, goal: DeliveryState) -> bool:
    """Return whether a message in `state` has come at least as far as `goal`."""
    return _ORDER.get(state, 0) >= _ORDER[goal] and state != DeliveryState.FAILED


def target(event: DeliveryEvent) -> DeliveryState:
    """Return the one state that `event` leads to."""
    return next(after for (_, happened), after in TRANSITIONS.items() if happened == event)


def sources(event: DeliveryEvent) -> tuple[DeliveryState, ...]:
    """Return the states in which `event` says something new."""
    return tuple(before for before, happened in TRANSITIONS if happened == event)
