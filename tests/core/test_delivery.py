"""How far a message has come: every state with every event."""

from __future__ import annotations

import json
import re
from itertools import permutations, product

import pytest

from p2pchat.core import delivery
from p2pchat.core.delivery import TRANSITIONS, DeliveryEvent, DeliveryState, advance, reached, sources, target

SAVED, STORED, DELIVERED, READ, FAILED, RECEIVED = DeliveryState
STATES = (SAVED, STORED, DELIVERED, READ, FAILED)
EVENTS = tuple(DeliveryEvent)
# rows are states, columns events; what is written again changes nothing
TABLE = {
    SAVED: (STORED, DELIVERED, READ, FAILED, SAVED),
    STORED: (STORED, DELIVERED, READ, FAILED, STORED),
    DELIVERED: (DELIVERED, DELIVERED, READ, DELIVERED, DELIVERED),
    READ: (READ, READ, READ, READ, READ),
    FAILED: (FAILED, DELIVERED, READ, FAILED, SAVED),
    RECEIVED: (RECEIVED, RECEIVED, RECEIVED, RECEIVED, RECEIVED),
}


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("column", range(len(EVENTS)))
def test_the_whole_table(state: DeliveryState, column: int) -> None:
    assert advance(state, EVENTS[column]) == TABLE[state][column]


def test_the_table_names_no_other_state_or_event() -> None:
    for (state, event), after in TRANSITIONS.items():
        assert state in STATES
        assert event in EVENTS
        assert after in STATES
        assert after != state


def test_the_table_at_the_top_of_the_module_is_the_one_that_is_used() -> None:
    rows = re.findall(r"^(\w+) +(\w+) +→ (\w+)", delivery.__doc__ or "", re.MULTILINE)[1:]
    shown = {(DeliveryState(state), DeliveryEvent(event)): DeliveryState(after) for state, event, after in rows}
    assert shown == TRANSITIONS
    assert len(rows) == len(TRANSITIONS)


def test_states_and_events_are_the_words_that_are_stored_and_told() -> None:
    assert [str(state) for state in DeliveryState] == ["saved", "stored", "delivered", "read", "failed", "received"]
    assert json.dumps({"state": SAVED}) == '{"state": "saved"}'


@pytest.mark.parametrize("state", TABLE)
@pytest.mark.parametrize("event", EVENTS)
def test_what_comes_twice_changes_nothing(state: DeliveryState, event: DeliveryEvent) -> None:
    once = advance(state, event)
    assert advance(once, event) == once


def test_receipts_end_alike_in_any_order() -> None:
    for order in permutations([DeliveryEvent.STORED, DeliveryEvent.DELIVERED, DeliveryEvent.READ]):
        state = SAVED
        for event in order:
            state = advance(state, event)
        assert state == READ


def test_nothing_undoes_a_receipt() -> None:
    for events in product(EVENTS, repeat=4):
        state, told = SAVED, False
        for event in events:
            state = advance(state, event)
            told = told or event in (DeliveryEvent.DELIVERED, DeliveryEvent.READ)
        assert (state in (DELIVERED, READ)) == told


@pytest.mark.parametrize(
    ("state", "goals"),
    [
        (SAVED, {SAVED}),
        (STORED, {SAVED, STORED}),
        (DELIVERED, {SAVED, STORED, DELIVERED}),
        (READ, {SAVED, STORED, DELIVERED, READ}),
        (FAILED, set()),
    ],
)
def test_reached(state: DeliveryState, goals: set[DeliveryState]) -> None:
    assert {goal for goal in (SAVED, STORED, DELIVERED, READ) if reached(state, goal)} == goals


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_leads_to_one_state(event: DeliveryEvent) -> None:
    assert {advance(state, event) for state in sources(event)} == {target(event)}
    assert set(sources(event)) == {state for state in TABLE if advance(state, event) != state}
