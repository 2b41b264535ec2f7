"""The lab of each test, the mark of all of them, and the page of the matrix once all its cells were played."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import matrix
from tests.lab.topology import Lab, laboratory
from tests.lab.town import Town
from tests.support.processes import SOURCE

HERE = Path(__file__).parent
PAGE = SOURCE / "docs/lab-matrix.md"
_outcomes: dict[matrix.Cell, matrix.Outcome] = {}


def pytest_configure() -> None:
    """Who ends the lab with SIGTERM, as `timeout` does, wants it removed as after Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("lab")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what became of a cell."""
    for name, value in report.user_properties if report.when == "call" and report.passed else ():
        if name == "outcome" and isinstance(value, list):
            cell, outcome = value
            _outcomes[matrix.Cell(*cell)] = matrix.Outcome(*outcome)


def pytest_sessionfinish() -> None:
    """Write the page, if all cells are known: not in a process that plays some of them for another one."""
    if len(_outcomes) == len(matrix.CELLS):
        PAGE.write_text(matrix.page(_outcomes))


@pytest.fixture
def lab() -> Iterator[Lab]:
    with laboratory() as made:
        yield made


@pytest.fixture
def town(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.place.folder / "run"))  # where the nodes' sockets are
    return Town(lab)
