"""A contact who is never shown an address: nothing of it reaches them, neither a packet nor a word."""

from __future__ import annotations

import ipaddress

import pytest

from p2pchat.net.addresses import parse_full
from tests.lab.town import RELAYS, Town
from tests.test_seizure import pages

HIDE = "--hide-address"


def knows(town: Town, person: str, other: str, address: str) -> set[str]:
    """How somebody could know the address of another: by packets, by what their node says, by what it keeps.

    `address`: a full address of the other's, whose transport key is looked for as well.
    """
    machine, key = town.lab[other], parse_full(address)[0]
    told = [town.verb(person, *words) for words in (["contacts"], ["log", other], ["doctor"], ["node", "status"])]
    town.off(person)
    folder = town.lab.place.folder / person
    kept = pages(folder / "profile.db", (folder / "key").read_bytes())
    packed = b"\x04" + ipaddress.IPv4Address(machine.address).packed
    found = {
        "packets": any(machine.address in pair for pair in town.lab[person].talked()),
        "told": machine.address in repr(told),
        "kept": packed in kept or machine.address.encode() in kept,
        "key": key in kept,
    }
    return {how for how, holds in found.items() if holds}


@pytest.mark.parametrize("hides", ["nobody", "carol", "dave"])
def test_only_who_is_not_hidden_is_known(town: Town, hides: str) -> None:
    """Carol invites, Dave joins; either could be dialled by the other."""
    for relay in RELAYS:
        town.open(relay)
    for person in ("carol", "dave"):
        town.lab.public(person)
    town.settle("carol", "dave")
    addresses = {name: town.verb(name, "node", "status")[0]["addresses"][0] for name in ("carol", "dave")}
    invite = town.invited("carol", *([HIDE] if hides == "carol" else []))
    town.verb("dave", "add", invite, "--name", "carol", "--wait", "accepted", *([HIDE] if hides == "dave" else []))
    route = "direct" if hides == "nobody" else "circuit"
    for by, to in (("carol", "dave"), ("dave", "carol")):
        assert town.say(by, to, "hello", "delivered")["route"] == route
    for away, by in (("dave", "carol"), ("carol", "dave")):
        town.off(away)
        town.say(by, away, f"to {away}, who is away", "stored")
        town.on(away)
        town.until_heard(away, by)
    town.agree("carol", "dave")
    for person, other in (("carol", "dave"), ("dave", "carol")):
        known = knows(town, person, other, addresses[other])
        if hides == other:
            assert not known
        elif hides == person:  # may keep what the other one tells, and must not go there
            assert "packets" not in known
        else:  # what is looked for is found where nobody hides
            assert known >= {"packets", "kept", "key"}
