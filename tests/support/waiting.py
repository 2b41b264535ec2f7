"""A time limit that says, when it is over, what was waited for: trio's own shows only the line that sets the limit."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

TESTS = Path(__file__).resolve().parents[1]
MAX_WAITS = 10
MAX_FRAMES = 4
"""The innermost ones in the tests, of each who waited."""


@contextmanager
def within(seconds: float) -> Iterator[list[str]]:
    """Fail after so many seconds, like `trio.fail_after`, and say where. The list has it too when all is over."""
    waits = list[str]()
    try:
        with trio.fail_after(seconds):
            try:
                yield waits
            except BaseException as exc:
                waits += _waits(exc)
                raise
    except trio.TooSlowError as exc:
        for wait in waits:
            exc.add_note(wait)
        raise


def _waits(exc: BaseException) -> list[str]:
    """Where each of those was who was cancelled: those alone whom a test itself had wait, if there are any."""
    found = [[frame for frame in trace if TESTS in Path(frame.filename).parents] for trace in _cancelled(exc)]
    tests = [trace for trace in found if any(Path(frame.filename).name.startswith("test_") for frame in trace)]
    said = (", in ".join(map(_place, reversed(trace[-MAX_FRAMES:]))) for trace in tests or found if trace)
    return [f"waited at {places}" for places in list(dict.fromkeys(said))[:MAX_WAITS]]


def _cancelled(exc: BaseException) -> Iterator[traceback.StackSummary]:
    if isinstance(exc, BaseExceptionGroup):
        for each in exc.exceptions:
            yield from _cancelled(each)
    elif isinstance(exc, trio.Cancelled):
        yield traceback.extract_tb(exc.__traceback__)


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).relative_to(TESTS)}:{frame.lineno} `{frame.line}`"
