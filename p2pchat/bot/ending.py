"""How a bot ends: SIGTERM and SIGINT end it at once where it waits, and after its function where one runs.

A second signal ends it in the middle of the function too; the message in hand then comes again at the next start.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Ended(BaseException):
    """The bot is to end; not an Exception, so that nothing on the way takes it for a failure."""


class Ending:
    """Whether the bot is to end, and the waiting that this interrupts."""

    def __init__(self) -> None:
        self.wanted = False
        self._waiting = False
        self._told = False

    @contextlib.contextmanager
    def by_signals(self) -> Iterator[None]:
        """Signals end the bot, in here; only in the main thread, as Python has it."""
        previous = {which: signal.signal(which, self._signalled) for which in SIGNALS}
        try:
            yield
        finally:
            for which, handler in previous.items():
                signal.signal(which, handler)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """In here `Ended` is raised as soon as the bot is to end, whatever is being waited for."""
        self._waiting = True
        try:
            if self.wanted:
                raise Ended
            yield
        finally:
            self._waiting = False

    def ask(self) -> None:
        """The bot is to end; from its own thread or another one."""
        self.wanted = True
        main = threading.main_thread()
        if self._waiting and threading.current_thread() is not main and main.ident is not None:
            # To that thread and no other: only there it interrupts what it waits for.
            signal.pthread_kill(main.ident, signal.SIGTERM)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        if self._waiting or self._told:
            raise Ended
        self._told = self.wanted = True
