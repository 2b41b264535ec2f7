"""A host that ends is started again, ever more slowly, and with what it served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from p2pchat.errors import NodeError
from p2pchat.net.supervisor import FIRST_WAIT, GOOD_RUN, LONGEST_WAIT, Supervisor
from tests.conftest import run
from tests.support.hosts import make, until_apart, works

if TYPE_CHECKING:
    from trio_typing import TaskStatus


class _Flaky:
    """Notes when it starts; runs for `lasts` seconds, then fails."""

    def __init__(self, lasts: float, fail: Exception | None) -> None:
        self._lasts = lasts
        self._fail = fail
        self.starts: list[float] = []

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self.starts.append(trio.current_time())
        task_status.started()
        await trio.sleep(self._lasts)
        if self._fail:
            raise self._fail


def _waits(host: _Flaky, seconds: float, lasts: float) -> list[float]:
    async def main() -> None:
        with trio.move_on_after(seconds):
            await Supervisor(host).run()

    run(main, MockClock(autojump_threshold=0))
    pairs = zip(host.starts, host.starts[1:], strict=False)
    return [round(later - earlier - lasts, 6) for earlier, later in pairs]


def test_it_waits_longer_each_time_up_to_a_minute() -> None:
    host = _Flaky(0.0, OSError())
    assert _waits(host, 300, 0.0)[:9] == [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_an_end_without_an_error_is_one_too() -> None:
    assert _waits(_Flaky(0.0, None), 10, 0.0) == [1, 2, 4]


def test_after_a_good_run_it_is_patient_again() -> None:
    waits = _waits(_Flaky(GOOD_RUN, ExceptionGroup("", [OSError()])), 1500, GOOD_RUN)
    assert set(waits) == {FIRST_WAIT}
    assert len(waits) >= 3


def test_a_first_start_that_fails_is_an_error() -> None:
    class Hopeless:
        async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            await trio.lowlevel.checkpoint()
            raise NodeError("the port is taken")

    async def main() -> None:
        with pytest.raises(NodeError, match="taken"):
            await Supervisor(Hopeless()).run()

    run(main)


def test_a_real_host_comes_back_as_the_same_peer_on_the_same_port() -> None:
    async def main() -> None:
        a, b = make(1), make(2)
        supervisor = Supervisor(b)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await nursery.start(a.run)
                await nursery.start(supervisor.run)
                where = b.addresses()
                assert await works(a, b)
                assert b._running is not None
                b._running.swarm.nursery.start_soon(_break)  # an error in one of libp2p's own tasks
                await until_apart(a, b)
                while supervisor.restarts == 0 or not b.listening:
                    await trio.lowlevel.checkpoint()
                assert b.addresses() == where
                assert await works(a, b)
                nursery.cancel_scope.cancel()

    run(main)


async def _break() -> None:
    await trio.lowlevel.checkpoint()
    raise ZeroDivisionError
