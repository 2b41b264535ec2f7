"""Two people at home behind symmetric routers, where no hole can be punched; one router opens a port if it is asked."""

from __future__ import annotations

import pytest

from tests.lab.topology import Nat
from tests.lab.town import RELAYS, Town

ASK = {"P2PCHAT_NO_PORT_MAPPING": ""}


def port(town: Town, person: str) -> str:
    """What the doctor says about the router's port."""
    return str(next(row["detail"] for row in town.verb(person, "doctor") if row["check"] == "port"))


@pytest.mark.parametrize("protocol", ["PCP", "UPnP"])
def test_a_port_that_the_router_opens_leads_straight_to_who_asked(town: Town, protocol: str) -> None:
    lab = town.lab
    for person in ("alice", "bob"):
        lab.translate(person, Nat.SYMMETRIC)
        lab.place.given[person] = ASK
    lab.opens_ports("alice", upnp=protocol == "UPnP", pcp=protocol == "PCP")
    town.open(RELAYS[0])
    town.settle("alice", "bob")
    town.until("alice", lambda _: lab.opened("alice") != [])
    town.befriend("alice", "bob")
    for person in ("alice", "bob"):
        town.until(person, lambda client: [each["route"] for each in client.call("contacts")] == ["direct"])
    town.off(RELAYS[0])
    assert town.say("bob", "alice", "straight in", "delivered")["route"] == "direct"
    assert town.say("alice", "bob", "and back", "delivered")["route"] == "direct"
    said = port(town, "alice")
    assert said.startswith(f"the router has opened a port: others can dial /ip4/{lab['alice'].seen_as}/tcp/")
    assert said.endswith(f"(asked by {protocol})")
    town.agree("alice", "bob")
    assert town.verb("alice", "node", "status")[0]["could_relay"], "bob has come in from outside"
    town.off("alice")
    assert lab.opened("alice") == [], "the node gave it back"
