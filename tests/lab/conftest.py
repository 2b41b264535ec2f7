"""The lab of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.topology import Lab, laboratory
from tests.lab.town import Town


@pytest.fixture
def lab() -> Iterator[Lab]:
    with laboratory() as made:
        yield made


@pytest.fixture
def town(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.place.folder / "run"))  # where the nodes' sockets are
    return Town(lab)
