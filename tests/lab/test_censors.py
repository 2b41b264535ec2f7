"""Networks that freeze whatever carries more than a little, either way, and a node that knows them from before."""

from __future__ import annotations

import time

import pytest

from tests.lab.town import RELAYS, Town

PATIENCE = 30.0
"""Seconds in which a message must be with the other side."""


@pytest.mark.parametrize(
    "most",
    [
        ("reply bytes > 15000", "original bytes > 15000"),
        ("reply packets > 25", "original packets > 25"),
    ],
    ids=["bytes", "packets"],
)
def test_every_connection_freezes_soon(town: Town, most: tuple[str, ...]) -> None:
    """Whatever Alice connects to lets so much through, and then nothing; she and Bob write to each other. When her node
    starts there again, it knows that, and has its mail through at once.
    """
    for relay in RELAYS:
        town.open(relay)
    town.settle("alice", "bob")
    town.befriend("alice", "bob")
    town.lab.freeze("alice", *most)
    began = time.monotonic()
    for number in range(4):
        town.say("alice", "bob", f"alice says {number}")
        town.say("bob", "alice", f"bob says {number}")
    for person, other in (("alice", "bob"), ("bob", "alice")):
        town.until_heard(person, other, 60)
    print(f"frozen after {' or '.join(most)}: 8 messages in {time.monotonic() - began:.1f} s")
    town.agree("alice", "bob")
    town.off("alice")
    town.on("alice")
    began = time.monotonic()
    town.say("alice", "bob", "I am back")
    town.until_heard("bob", "alice", PATIENCE)
    there = time.monotonic()
    town.say("bob", "alice", "welcome")
    town.until_heard("alice", "bob", PATIENCE)
    print(f"warm_bad_network_s {max(there - began, time.monotonic() - there):.1f}")
    for number in range(6):
        town.say("bob", "alice", f"bob says more: {number}")
        town.say("alice", "bob", f"alice says more: {number}")
    town.agree("alice", "bob")
