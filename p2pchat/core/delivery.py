"""How far a message of ours has come: a table of transitions.

state       event      → state        what the user sees
saved       stored     → stored       ◷ → ✓    an ack: the next hop has it on disk
saved       delivered  → delivered    ◷ → ✓✓   the receipt, end to end
stored      delivered  → delivered
delivered   read       → read
saved/stored expired   → failed                 30 days without a receipt
failed      delivered  → delivered              a receipt that came late after all
failed      resumed    → saved                  it had failed by a clock that was wrong

Everything may arrive twice and in any order: what is not in the table changes nothing.
"""

from __future__ import annotations

SAVED, STORED, DELIVERED, READ, FAILED, RECEIVED = "saved", "stored", "delivered", "read", "failed", "received"
EXPIRED = "expired"
RESUMED = "resumed"

TRANSITIONS: dict[tuple[str, str], str] = {
    (SAVED, STORED): STORED,
    (SAVED, DELIVERED): DELIVERED,
    (SAVED, READ): READ,
    (SAVED, EXPIRED): FAILED,
    (STORED, DELIVERED): DELIVERED,
    (STORED, READ): READ,
    (STORED, EXPIRED): FAILED,
    (DELIVERED, READ): READ,
    (FAILED, DELIVERED): DELIVERED,
    (FAILED, READ): READ,
    (FAILED, RESUMED): SAVED,
}
_FAR = {SAVED: 0, FAILED: 0, STORED: 1, DELIVERED: 2, READ: 3}


def advance(state: str, event: str) -> str:
    """The state after `event`; the same state where the event says nothing new."""
    return TRANSITIONS.get((state, event), state)


def reached(state: str, goal: str) -> bool:
    """Whether a message in `state` has come at least as far as `goal`."""
    return _FAR.get(state, 0) >= _FAR[goal] and state != FAILED


def target(event: str) -> str:
    """The one state that `event` leads to."""
    return next(after for (_, happened), after in TRANSITIONS.items() if happened == event)


def sources(event: str) -> tuple[str, ...]:
    """The states in which `event` says something new."""
    return tuple(before for before, happened in TRANSITIONS if happened == event)
