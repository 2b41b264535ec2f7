"""A transfer between two real nodes that are killed in the middle of it: it goes on where it was."""

from __future__ import annotations

import os
import signal
from typing import Any

from p2pchat.api.client import Client
from p2pchat.locations import Profile
from tests.support.processes import Place
from tests.support.steps import befriended, fine, make, start, until

SIZE = 40_000_000
CHUNKS = SIZE / 65_519
MAX_LOST = 8
"""Chunks."""


def test_kill_9_on_either_side_loses_next_to_nothing(here: Place) -> None:
    make(here, "alice", "bob")
    alice, bob = start(here, "alice", "bob")
    befriended(here, "alice", "bob")
    fine(here.run("bob", "settings", "fetch_up_to", "100", "--json"))
    big = here.folder / "big.bin"
    big.write_bytes(os.urandom(SIZE))

    def theirs() -> dict[str, Any]:
        with Client.connect(Profile(here.folder / "bob"), start_node=False) as client:
            files: list[dict[str, Any]] = client.call("files", chat="alice")
        return next((one["file"] for one in files if one["id"] == sent["id"]), {"progress": 0.0, "state": "offered"})

    while True:
        (sent,) = fine(here.run("alice", "send", "bob", "--file", str(big), "--json"))
        until(lambda: theirs()["progress"] >= 0.1)
        before = theirs()["progress"]
        bob.end(signal.SIGKILL)
        alice.end(signal.SIGKILL)
        (bob,) = start(here, "bob")
        if (kept := theirs())["state"] != "here":
            break  # else it was over before it could be cut off: others had the processor
        (alice,) = start(here, "alice")
    assert kept["state"] == "waiting"
    until(lambda: theirs()["progress"] >= before - MAX_LOST / CHUNKS)  # shown once its sealed file is open
    start(here, "alice")
    fine(here.run("bob", "save", sent["id"], "--to", str(here.folder / "bob"), "--timeout", "60s", "--json"))
    assert (here.folder / "bob" / "big.bin").read_bytes() == big.read_bytes()
