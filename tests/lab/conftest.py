"""The lab of each test, and the mark of all of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.topology import Lab, laboratory
from tests.lab.town import Town

HERE = Path(__file__).parent


def pytest_configure() -> None:
    """Who ends the lab with SIGTERM, as `timeout` does, wants it removed as after Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("lab")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with laboratory() as made:
        yield made


@pytest.fixture
def town(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.place.folder / "run"))  # where the nodes' sockets are
    return Town(lab)
