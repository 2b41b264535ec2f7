"""Each kind of home against each thing that a network does: everything that was written arrives, once and in order.

P2PCHAT_LAB=all plays every cell; without it those do that prove most.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import astuple

import pytest

from tests.lab import matrix
from tests.lab.matrix import BOTH, CELLS, ONE, Cell
from tests.lab.topology import bare

MOST = [
    Cell("no NAT", BOTH, "addresses dropped"),
    Cell("symmetric", BOTH, "ports dropped"),
    Cell("no NAT", BOTH, "reset on multistream"),
    Cell("symmetric", BOTH, "reset on SNI"),
    Cell("symmetric", BOTH, "only a SOCKS proxy"),
    Cell("symmetric", BOTH, "relay killed"),
    Cell("symmetric", BOTH, "10 of 20 relays killed"),
    Cell("symmetric", ONE, "no internet, but a LAN"),
    Cell("symmetric", BOTH, "clock a day off"),
]
"""What `make lab` plays. Networks that freeze are left to test_censors."""


@pytest.mark.parametrize("cell", CELLS if os.environ.get("P2PCHAT_LAB") == "all" else MOST, ids=str)
def test_everything_arrives(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    with bare() as lab:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.place.folder / "run"))  # where the nodes' sockets are
        outcome = matrix.play(cell, lab)
    print(f"{cell}: {outcome}")
    record_property("outcome", [astuple(cell), astuple(outcome)])
