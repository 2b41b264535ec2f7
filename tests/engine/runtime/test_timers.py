"""Alarms ring once each, in time."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from p2pchat.engine.runtime.timers import Timers
from tests.conftest import run


def test_alarms_ring_in_time_and_once() -> None:
    rung: list[tuple[str, float]] = []

    async def main() -> None:
        alarms: Timers[str] = Timers(lambda what: rung.append((what, trio.current_time() - began)))
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            alarms.set("late", 30)
            nursery.start_soon(alarms.run)
            await trio.sleep(1)
            alarms.set("early", 4)
            alarms.set("early", 1)  # it is set already
            alarms.set("never", 3)
            await trio.sleep(1)
            alarms.clear("never")
            alarms.clear("nothing")
            await trio.sleep(60)
            alarms.set("late", 1)
            await trio.sleep(2)
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0))
    assert rung == [("early", 5.0), ("late", 30.0), ("late", 63.0)]
