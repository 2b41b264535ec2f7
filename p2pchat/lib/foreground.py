"""Programs of the user's choice that have the terminal while they run: an editor, a password manager.

A terminal sends an interrupt to us too. It is meant for the program, which may hang, and must not end the screen.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any


def run(command: Sequence[str]) -> int:
    """Run a command without a shell, and return its exit code; a negative one is the signal that ended it. Raises
    OSError if it cannot be started.
    """
    with _interrupts_ignored():
        return _ended(_started(command))


def output_of(command: Sequence[str], seconds: float, max_bytes: int) -> tuple[int, bytes]:
    """Run a command without a shell and without input; it may ask the user at the terminal. Return its exit code, as
    `run` does, and what it wrote to stdout: at most `max_bytes`, behind which it can write no more. Only for the main
    thread.

    Raises OSError if it cannot be started, and TimeoutError, with the command killed, if it has not ended in time.
    """
    reading, writing = os.pipe()
    with open(reading, "rb") as output, _interrupts_ignored():
        try:
            files = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
            ]
            process = _started(command, files)
        finally:
            os.close(writing)
        try:
            with _time_limit(seconds):
                written = output.read(max_bytes)
                output.close()
                return _ended(process), written
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            _ended(process)
            raise


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _started(command: Sequence[str], files: Sequence[tuple[Any, ...]] = ()) -> int:
    # not subprocess: the program would inherit what we ignore, which includes two signals that Python itself ignores
    defaults = [signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ]
    return os.posix_spawnp(command[0], list(command), os.environ, file_actions=files, setsigdef=defaults)


def _ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
