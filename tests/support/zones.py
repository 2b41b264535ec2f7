"""The time zone of the machine, and what the environment says of the terminal, as a test needs them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

FAR_EAST = "Pacific/Kiritimati"
"""Where each day begins first, 14 hours before it does in UTC."""

TERMINAL = (
    *("NO_COLOR", "COLORTERM", "TERM", "TERM_PROGRAM", "VTE_VERSION", "TMUX", "STY"),
    *("TEXTUAL_THEME", "TEXTUAL_ANIMATIONS", "P2PCHAT_REDUCED_MOTION", "LC_ALL", "LC_CTYPE", "LANG"),
    *("COLUMNS", "LINES", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"),
)
"""Variables that say what a terminal can do, and what its user wishes."""


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """Let this process be in a time zone meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


@contextmanager
def anywhere() -> Iterator[None]:
    """Let everybody's clock show the same, and nothing be said of the terminal, wherever the tests run."""
    with in_zone("UTC"), pytest.MonkeyPatch.context() as patch:
        for name in TERMINAL:
            patch.delenv(name, raising=False)
        yield
