"""Whether files give way to messages."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from p2pchat.engine.files.precedence import LONGEST_SECONDS, PAUSE_SECONDS, Precedence


def test_files_wait_while_messages_move_but_not_for_ever() -> None:
    async def main() -> None:
        moved = [trio.current_time() - PAUSE_SECONDS]
        precedence = Precedence(lambda: moved[0])

        async def waited() -> float:
            began = trio.current_time()
            await precedence.wait()
            return round(trio.current_time() - began, 6)

        assert await waited() == 0
        moved[0] = trio.current_time()
        assert await waited() == PAUSE_SECONDS

        async def flood() -> None:
            while True:
                moved[0] = trio.current_time()
                await trio.sleep(PAUSE_SECONDS / 3)

        async with trio.open_nursery() as nursery:
            moved[0] = trio.current_time()
            nursery.start_soon(flood)
            assert await waited() == LONGEST_SECONDS
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
