"""The lab of each test."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab.topology import Lab, laboratory
from tests.lab.town import Town


def pytest_configure() -> None:
    """Who ends the lab with SIGTERM, as `timeout` does, wants it removed as after Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with laboratory() as made:
        yield made


@pytest.fixture
def town(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.place.folder / "run"))  # where the nodes' sockets are
    return Town(lab)
