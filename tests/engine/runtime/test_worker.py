"""Where transactions run: at once where the disk is quick, in a thread where it is not."""

from __future__ import annotations

import threading
from contextlib import suppress

import trio

from p2pchat.engine.runtime.worker import BRIEF_SECONDS, Worker


class Disk:
    """A function that takes as long as it is told, by its own clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = BRIEF_SECONDS / 10
        self.worker = Worker(lambda: self.now)

    async def at_once(self, *, brief: bool = True) -> bool:
        """Whether a transaction ran in the loop's own thread."""
        return await self.worker(self._turn, brief=brief) == threading.get_ident()

    def _turn(self) -> int:
        self.now += self.takes
        return threading.get_ident()


def test_a_brief_turn_runs_at_once_and_a_long_one_does_not() -> None:
    async def main() -> None:
        disk = Disk()
        assert await disk.at_once()
        assert not await disk.at_once(brief=False)
        disk.takes = 10 * BRIEF_SECONDS
        assert not await disk.at_once(brief=False)  # what may last says nothing of the disk
        assert await disk.at_once()

    trio.run(main)


def test_on_a_slow_disk_every_turn_goes_to_the_thread() -> None:
    async def main() -> None:
        disk = Disk()
        disk.takes = 2 * BRIEF_SECONDS
        assert await disk.at_once()
        assert not any([await disk.at_once() for _ in range(100)])

    trio.run(main)


def test_a_slow_moment_is_forgotten() -> None:
    async def main() -> None:
        disk = Disk()
        disk.takes = 1.2 * BRIEF_SECONDS  # twice `FADING` makes less than QUICK of it
        assert await disk.at_once()
        disk.takes = BRIEF_SECONDS / 10
        assert not await disk.at_once()
        assert not await disk.at_once()
        assert await disk.at_once()

    trio.run(main)


def test_a_turn_that_fails_was_timed_too() -> None:
    async def main() -> None:
        disk = Disk()

        def fails() -> None:
            disk.now += 2 * BRIEF_SECONDS
            raise ZeroDivisionError

        with suppress(ZeroDivisionError):
            await disk.worker(fails, brief=True)
        assert not await disk.at_once()

    trio.run(main)
