"""The relay's own time goes on evenly, whatever is done to the clock of its machine."""

from __future__ import annotations

import pytest

from p2pchat.lib.times import HOUR_MS
from p2pchat.relay.clock import AGREEMENT_SECONDS, ClockRecord, RelayClock
from tests.support.boxes import NOW

DAY_MS, HOUR = 24 * HOUR_MS, NOW // HOUR_MS


class Machine:
    """A clock that can be set, and an uptime that cannot."""

    def __init__(self, wall: int = NOW) -> None:
        self.wall = wall
        self.up = 1000.0

    def start(self, seen: ClockRecord | None = None, *, trust: bool = False) -> RelayClock:
        return RelayClock(lambda: self.wall, lambda: self.up, seen, trust=trust)

    def wait(self, ms: int) -> None:
        self.wall += ms
        self.up += ms / 1000


def old(machine: Machine) -> RelayClock:
    """A relay whose clock was believed for days."""
    clock = machine.start()
    for _ in range(3):
        machine.wait(DAY_MS)
        clock.now()
    return clock


@pytest.mark.parametrize("days", [-400, -40, -1, 1, 40, 400])
def test_a_step_while_it_runs_is_not_followed_until_a_day_agrees(days: int) -> None:
    machine = Machine()
    clock = old(machine)
    before = clock.now()
    machine.wall += days * DAY_MS
    assert abs(clock.now() - before) <= HOUR_MS
    assert (clock.held, clock.step_hours) == (True, 24 * days)
    machine.wait(DAY_MS - HOUR_MS)
    assert abs(clock.now() - before - DAY_MS) <= 2 * HOUR_MS
    assert clock.held
    machine.wait(2 * HOUR_MS)
    clock.now()
    assert (clock.held, clock.now()) == (False, machine.wall)


def test_a_step_back_to_where_it_was_is_believed_at_once() -> None:
    machine = Machine()
    clock = old(machine)
    machine.wall += 40 * DAY_MS
    clock.now()
    machine.wait(HOUR_MS)
    machine.wall -= 40 * DAY_MS
    assert clock.now() == machine.wall
    assert not clock.held


def test_small_steps_again_and_again_do_not_add_up_to_a_large_one() -> None:
    machine = Machine()
    clock = old(machine)
    for _ in range(60):
        machine.wait(60_000)
        machine.wall += 50 * 60_000
        clock.now()
    assert clock.held
    assert abs(clock.now() - (NOW + 3 * DAY_MS + HOUR_MS)) <= HOUR_MS


@pytest.mark.parametrize("days", [-40, 40])
def test_a_start_with_a_wrong_clock_and_then_with_the_right_one(days: int) -> None:
    """Nothing has been deleted, and what was acknowledged meanwhile has the time it was promised."""
    machine = Machine()
    seen = old(machine).seen
    machine.wall += days * DAY_MS
    wrong = machine.start(seen)
    assert wrong.held
    assert wrong.now() // HOUR_MS == seen.hour
    machine.wait(5 * HOUR_MS)
    seen = wrong.seen
    machine.wall -= days * DAY_MS
    right = machine.start(seen)
    assert right.now() == machine.wall
    assert not right.held


def test_a_new_store_with_a_clock_in_the_past_goes_on_by_its_own_time() -> None:
    """There is no telling which clock was right: what was acknowledged for thirty days stays for thirty."""
    machine = Machine(NOW - 40 * DAY_MS)
    first = machine.start()
    promised = first.now() + 30 * DAY_MS
    machine.wait(HOUR_MS // 2)
    seen = first.seen
    machine.wall += 40 * DAY_MS
    clock = machine.start(seen)
    for _ in range(29):
        assert clock.now() < promised
        machine.wait(DAY_MS)
        clock = machine.start(clock.seen)
    machine.wait(2 * DAY_MS)
    assert not clock.held
    assert clock.now() >= promised


@pytest.mark.parametrize("hours", [0, 1])
def test_a_short_pause_is_no_step(hours: int) -> None:
    machine = Machine()
    seen = old(machine).seen
    machine.wait(hours * HOUR_MS)
    clock = machine.start(seen)
    assert (clock.held, clock.now()) == (False, machine.wall)


def test_a_long_pause_counts_after_a_day_and_at_once_where_the_operator_says_so() -> None:
    machine = Machine()
    seen = old(machine).seen
    machine.wait(7 * DAY_MS)
    assert machine.start(seen, trust=True).now() == machine.wall
    clock = machine.start(seen)
    assert clock.now() // HOUR_MS == seen.hour
    machine.wait(int(AGREEMENT_SECONDS * 1000))
    clock.now()
    assert clock.now() == machine.wall


def test_what_the_disk_knows_has_the_precision_of_an_hour() -> None:
    assert Machine().start().seen == ClockRecord(HOUR, 0, None)
    assert old(Machine()).seen == ClockRecord(HOUR + 72, 0, 0)
