"""Which tests are slow: those in `tests/slow.txt`, which is written by a run and marks them for `make quick`.

What counts is processor time, a test's own and that of the processes it waited for: a busy machine makes it little
longer. In the lab, where tests wait for links that have fallen silent, it is the time that passes. A test over the
limit that is not in the list is named at the end of a run and fails nothing.
`P2PCHAT_SLOW=write` writes the list anew, for the tests that ran.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Generator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from tests.support.sampling import SEED

LIST = Path(__file__).resolve().parent.parent / "slow.txt"
MAX_SECONDS = 0.25
LONG_SECONDS = 2.0
"""Tests of so much are begun first."""
TOLERANCE = 2.0
"""Times the limit at which a test that is not in the list is named, so that a slower machine does not name many."""


def listed() -> dict[str, float]:
    """Test function (`path::name`, all its parameters) → seconds of its slowest case."""
    rows = [line.split() for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {name: float(seconds) for seconds, name in rows}


def function_of(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def longest_first(seconds: Sequence[float], workers: int) -> list[int]:
    """Order tests that take these times for so many processes, of which xdist gives each an equal part at first.

    Each part begins with its share of the longest ones: one that began as the last would keep all the others waiting.
    Everything else stays in order, so that what the tests of a file share is made once. Returns indices of `seconds`.
    """
    if workers == 1:
        return list(range(len(seconds)))
    long = sorted((at for at, one in enumerate(seconds) if one >= LONG_SECONDS), key=lambda at: -seconds[at])
    rest = iter([at for at, one in enumerate(seconds) if one < LONG_SECONDS])
    ordered = list[int]()
    for number in range(workers):
        part = long[number::workers]
        size = (len(seconds) - len(ordered)) // (workers - number)
        ordered += [*part, *islice(rest, max(0, size - len(part)))]
    return ordered


class Budget:
    """Mark, measure and tell. With xdist it measures in the workers, and tells in the first process."""

    def __init__(self) -> None:
        self._slow = listed()
        self._began = self._began_at = 0.0
        self._longest: dict[str, float] = defaultdict(float)
        self._by_folder: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if function_of(item.nodeid) in self._slow:
                item.add_marker("slow")
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        seconds = [self._slow.get(function_of(item.nodeid), 0.0) for item in items]
        items[:] = [items[index] for index in longest_first(seconds, workers)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._began, self._began_at = _spent(), time.monotonic()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        try:
            yield
        finally:
            item.user_properties.append(("processor seconds", _spent() - self._began))
            if item.get_closest_marker("lab"):
                item.user_properties.append(("seconds", time.monotonic() - self._began_at))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            return
        measured = dict(report.user_properties)
        seconds = float(str(measured.get("processor seconds", 0.0)))
        name = function_of(report.nodeid)
        self._longest[name] = max(self._longest[name], float(str(measured.get("seconds", seconds))))
        self._by_folder["/".join(name.partition("::")[0].split("/")[:-1][:2])] += seconds

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        folders = ", ".join(f"{folder} {spent:.0f}" for folder, spent in sorted(self._by_folder.items()))
        if terminalreporter.stats.get("failed"):
            terminalreporter.write_line(f"samples of this run: P2PCHAT_SEED={SEED} takes them again")
        terminalreporter.write_line(f"processor seconds: {sum(self._by_folder.values()):.0f} ({folders})")
        if os.environ.get("P2PCHAT_SLOW") == "write":
            self._write()
            return
        for name, seconds in sorted(self._longest.items()):
            if seconds > TOLERANCE * MAX_SECONDS and name not in self._slow:
                terminalreporter.write_line(f"not in {LIST.name}: {name} took {seconds:.2f} s; P2PCHAT_SLOW=write")

    def _write(self) -> None:
        kept = {name: seconds for name, seconds in self._slow.items() if name not in self._longest}
        kept |= {name: seconds for name, seconds in self._longest.items() if seconds > MAX_SECONDS}
        head = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        rows = [f"{seconds:6.2f} {name}" for name, seconds in sorted(kept.items())]
        LIST.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")
