"""An event that can be armed again: who is woken, and by what."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.lib.wakeup import Wakeup
from tests.conftest import run


def test_a_set_flag_wakes_all_and_stays_until_it_is_cleared() -> None:
    async def main() -> None:
        wakeup, woken = Wakeup(), list[int]()

        async def wait(number: int) -> None:
            await wakeup.wait()
            woken.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, 1)
            nursery.start_soon(wait, 2)
            await wait_all_tasks_blocked()
            assert not wakeup.is_set()
            wakeup.set()
            wakeup.clear()  # those who waited are woken all the same
            await wait_all_tasks_blocked()
            assert sorted(woken) == [1, 2]
            nursery.start_soon(wait, 3)
            await wait_all_tasks_blocked()
            assert len(woken) == 2
            wakeup.set()
        assert woken[2:] == [3]
        await wakeup.wait()  # still set

    run(main)


def test_a_pulse_wakes_those_who_wait_and_nobody_later() -> None:
    async def main() -> None:
        wakeup = Wakeup()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wakeup.wait)
            await wait_all_tasks_blocked()
            wakeup.pulse()
        assert not wakeup.is_set()

    run(main)
