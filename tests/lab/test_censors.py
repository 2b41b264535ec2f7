"""Networks that let connections begin and then drop their packets in silence: everything arrives all the same, once."""

from __future__ import annotations

import time

import pytest

from tests.lab.town import RELAYS, Town

ANOTHER_TRANSPORT = 30.0
"""Seconds in which a message must be with the other side when the way that was in use lets nothing through any more: a
promise of the program."""


def test_an_address_is_blocked_while_they_chat(town: Town) -> None:
    """Carol and Dave are linked directly when nothing gets from one to the other any more; relays are reached."""
    for relay in RELAYS:
        town.open(relay)
    for person in ("carol", "dave"):
        town.lab.public(person)
    town.settle("carol", "dave")
    town.befriend("carol", "dave")
    assert town.say("carol", "dave", "hello", "delivered")["route"] == "direct"
    town.lab.part("carol", "dave")
    began = time.monotonic()
    town.say("carol", "dave", "can you still hear me?")
    town.until_heard("dave", "carol", ANOTHER_TRANSPORT)
    print(f"failover_transport_s {time.monotonic() - began:.1f}")
    town.say("dave", "carol", "yes")
    town.agree("carol", "dave")


@pytest.mark.parametrize("most", ["bytes > 15000", "packets > 25"])
def test_every_connection_freezes_soon(town: Town, most: str) -> None:
    """Whatever Alice connects to lets so much through each way, and then nothing; she and Bob write to each other."""
    for relay in RELAYS:
        town.open(relay)
    town.settle("alice", "bob")
    town.befriend("alice", "bob")
    town.lab.freeze("alice", most)
    began = time.monotonic()
    for number in range(4):
        town.say("alice", "bob", f"alice says {number}")
        town.say("bob", "alice", f"bob says {number}")
    for person, other in (("alice", "bob"), ("bob", "alice")):
        town.until_heard(person, other, 120)
    print(f"frozen after {most}: 8 messages in {time.monotonic() - began:.1f} s")
    town.agree("alice", "bob")
