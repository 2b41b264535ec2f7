"""Two people at home, behind routers that let nobody in: a direct link where the routers allow one, and otherwise the
circuit, with nothing lost or late.
"""

from __future__ import annotations

import time

import pytest

from p2pchat.api.client import Client
from tests.lab.topology import Nat
from tests.lab.town import RELAYS, Town

PROMPT = 9.0
"""Seconds in which a message must be there while attempts fail beside it. Three of them take ten, and somebody always
writes when they begin.
"""
TRIED = 60.0
"""Seconds until the first attempt, on a machine that has a lot to do."""


def routes(client: Client) -> list[str | None]:
    """By which way each contact is linked."""
    return [contact["route"] for contact in client.call("contacts")]


def at_home(town: Town, alice: Nat, bob: Nat) -> None:
    """Alice and Bob behind such routers, and linked."""
    town.lab.translate("alice", alice)
    town.lab.translate("bob", bob)
    for relay in RELAYS:
        town.open(relay)
    town.settle("alice", "bob")
    town.befriend("alice", "bob")
    town.until("alice", lambda client: routes(client) != [None])


def test_two_cones_let_a_direct_link_through_and_the_chat_moves_to_it(town: Town) -> None:
    at_home(town, Nat.CONE, Nat.CONE)
    began = time.monotonic()
    town.say("alice", "bob", "by the relay", "delivered")
    for person in ("alice", "bob"):
        town.until(person, lambda client: routes(client) == ["punched"])
    print(f"punch_ms {1000 * (time.monotonic() - began):.0f}")
    assert town.say("alice", "bob", "straight", "delivered")["route"] == "punched"
    assert town.say("bob", "alice", "and back", "delivered")["route"] == "punched"
    for relay in RELAYS:
        town.off(relay)
    assert town.say("bob", "alice", "without any relay", "delivered")["route"] == "punched"
    town.agree("alice", "bob")
    there = town.lab["bob"].seen_as
    connections = town.lab["alice"].run("ss", "-Htn", "state", "established", "dst", there)
    assert len(connections.splitlines()) == 1, "one connection, whoever began"


@pytest.mark.parametrize("bob", [Nat.CONE, Nat.SYMMETRIC])
def test_behind_a_symmetric_nat_the_circuit_stays_and_nothing_waits(town: Town, bob: Nat) -> None:
    at_home(town, Nat.SYMMETRIC, bob)
    routers = [town.lab[f"router-{person}"] for person in ("alice", "bob")]
    refused = [router.refused() for router in routers]
    slowest, number, latest = 0.0, 0, time.monotonic() + TRIED
    while number < 6 or all(router.refused() == before for router, before in zip(routers, refused, strict=True)):
        assert time.monotonic() < latest, "nobody has tried"
        for by, to in (("alice", "bob"), ("bob", "alice")):
            began = time.monotonic()
            assert town.say(by, to, f"{by} says {number}", "delivered", timeout=PROMPT)["route"] == "circuit"
            slowest = max(slowest, time.monotonic() - began)
        number += 1
    print(f"slowest of {2 * number} messages beside attempts: {1000 * slowest:.0f} ms")
    town.agree("alice", "bob")
