"""The time zone of the machine, as a test needs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

FAR_EAST = "Pacific/Kiritimati"
"""Where each day begins first, 14 hours before it does in UTC."""


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """Let this process be in a time zone meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()
