"""Files give way to messages: both need the disk and the processor, and behind some megabytes of a file each commit of
a message takes several times as long.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

PAUSE_SECONDS = 0.006
"""Seconds after a message has come or gone for which files do nothing: it, its receipt or its answer is on its way."""
LONGEST_SECONDS = 0.05
"""Seconds for which files wait at most, however many messages come: then they go on for one step."""


class Precedence:
    """Messages before files. moved_at: when the last message came or went, in seconds of trio's clock."""

    def __init__(self, moved_at: Callable[[], float]) -> None:
        self._moved_at = moved_at

    async def wait(self) -> None:
        """Wait while messages move. No checkpoint where none do."""
        latest = trio.current_time() + LONGEST_SECONDS
        while True:
            until = min(latest, self._moved_at() + PAUSE_SECONDS)
            if until <= trio.current_time():
                return
            await trio.sleep_until(until)
