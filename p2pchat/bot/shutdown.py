"""How a bot ends: SIGTERM and SIGINT end it at once while it waits, and after the running function otherwise.

A second signal ends it in the middle of the function too; the message in hand then comes again at the next start.

Python runs its handler of a signal only between two of its own steps. A signal that comes just before a system call
blocks would go unheard, so what is waited for is always waited for together with a socket into which signals write.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Ended(BaseException):
    """The bot has to end; not an Exception, so that no code treats it as a failure."""


class Ending:
    """Whether the bot has to end, and the waiting that this interrupts."""

    def __init__(self) -> None:
        self.wanted = False
        self._told = False
        self._interruptible = False
        self._waker: socket.socket | None = None
        self._receiver: socket.socket | None = None

    @contextlib.contextmanager
    def by_signals(self) -> Iterator[None]:
        """Signals end the bot, in here; only in the main thread, as Python has it."""
        self._receiver, self._waker = socket.socketpair()
        with self._receiver, self._waker:
            for end in (self._receiver, self._waker):
                end.setblocking(False)
            before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
            previous = {number: signal.signal(number, self._signalled) for number in SIGNALS}
            try:
                yield
            finally:
                for number, handler in previous.items():
                    signal.signal(number, handler)
                signal.set_wakeup_fd(before)
                self._receiver = self._waker = None

    def wait(self, readable: socket.socket | None = None, seconds: float | None = None) -> None:
        """Until the socket can be read or the time is over. Raises Ended as soon as the bot is to end."""
        assert self._receiver is not None
        deadline = None if seconds is None else time.monotonic() + seconds
        sockets = [self._receiver] if readable is None else [self._receiver, readable]
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            found, _, _ = select.select(sockets, [], [], left)
            if self.wanted:
                raise Ended
            if not found or readable in found:
                return
            self._receiver.recv(4096)  # another signal than ours

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """In here a signal raises `Ended` wherever it is: for what waits by itself and not for long."""
        self._interruptible = True
        try:
            if self.wanted:
                raise Ended
            yield
        finally:
            self._interruptible = False

    def ask(self) -> None:
        """The bot is to end; from its own thread or another one."""
        self.wanted = True
        bell = self._waker
        if bell is not None:
            with contextlib.suppress(OSError):  # full, and so heard; or just closed, and so ended
                bell.send(b"\0")

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        again, self._told = self._told, True
        self.wanted = True
        if again or self._interruptible:
            raise Ended
