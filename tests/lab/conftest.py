"""The lab of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.topology import Lab, laboratory


@pytest.fixture
def lab() -> Iterator[Lab]:
    with laboratory() as made:
        yield made
