"""The method network on nodes of the fake world: what is gathered, and that nothing else is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from p2pchat.engine.methods.network import place_of
from p2pchat.errors import NotNow, NotReached
from p2pchat.net.view import NetworkView
from p2pchat.ports import LanMode, Machine, MappingState, PortMapping, ProxyHealth
from tests.support.asking import events_of
from tests.support.mail_worlds import apart
from tests.support.world import World, WorldNode, befriend, run_world
from tests.world.test_hidden import befriend_hidden, people


async def contact(node: WorldNode, name: str) -> dict[str, Any]:
    facts = await node.call("network")
    json.dumps(facts)
    return next(row for row in facts["contacts"] if row["name"] == name)


def test_somebody_who_has_not_accepted_yet(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = (await bob.call("invite"))["invite"]
        await bob.stop()
        with pytest.raises(NotReached):
            await alice.call("add", invite=invite, name="bob")
        facts = await alice.call("network")
        assert facts["contacts"][0]["state"] == "waiting"
        (row,) = [row for row in facts["rows"] if row["about"] == "contacts"]
        assert row["detail"] == "bob: has not accepted yet: your request has not arrived yet"

    run_world(tmp_path, main)


def test_a_link_and_what_becomes_of_it(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        await trio.sleep(90)
        facts = await alice.call("network")
        assert (facts["families"], facts["default_route"], facts["lan"]["mode"]) == (["IPv4"], True, "off")
        assert facts["addresses"] == [{"address": world.address("alice"), "family": "IPv4", "scope": "local"}]
        (row,) = facts["contacts"]
        assert (row["route"], row["relay"], row["stalled"]) == ("direct", None, False)
        assert row["link_seconds"] >= 90
        assert row["waiting"] == {"messages": 0, "at_relays": 0, "other": 0}
        assert {row["about"] for row in facts["rows"]} == {"here", "relays", "contacts", "seen"}
        assert (await alice.call("status"))["trouble"] == ""

        await bob.stop()
        await alice.call("send", chat="bob", text="are you there?")
        await trio.sleep(60)
        row = await contact(alice, "bob")
        assert (row["route"], row["link_seconds"], row["waiting"]["messages"]) == (None, None, 1)
        assert row["ways"]["direct"] == 1
        assert 0 <= row["tried_seconds_ago"] <= 60

    run_world(tmp_path, main)


def test_what_a_mailbox_holds_and_a_relay_that_is_gone(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob, relays = await apart(world)
        await bob.stop()
        await alice.call("send", chat="bob", text="for later")
        await trio.sleep(60)
        facts = await alice.call("network")
        assert [(row["state"], row["used"], row["queues"], row["stored"]) for row in facts["relays"]] == [
            ("connected", True, 1, 1),
            ("connected", True, 1, 1),
        ]
        (row,) = facts["contacts"]
        assert (row["route"], row["relays"]) == ("mailbox", 2)
        assert (row["waiting"]["messages"], row["waiting"]["at_relays"]) == (1, 1)
        relays[0].stop()
        await trio.sleep(5)
        facts = await alice.call("network")
        assert sorted(row["state"] for row in facts["relays"]) == ["connected", "unreachable"]
        assert facts["contacts"][0]["route"] == "mailbox"
        (clock,) = [row["detail"] for row in facts["rows"] if row["check"] == "clock"]
        assert clock.endswith(", and your relay says the same, to the hour")
        relays[1].stop()
        await trio.sleep(5)
        facts = await alice.call("network")
        (clock,) = [row["detail"] for row in facts["rows"] if row["check"] == "clock"]
        assert clock.endswith("; nothing here says whether that is right"), "what it said before says nothing now"
        assert facts["contacts"][0]["route"] is None
        (row,) = [row for row in facts["rows"] if row["check"] == "contact"]
        assert row["state"] == "bad"
        assert "messages wait: none of their relays answers" in row["detail"]
        assert [event["route"] for event in events_of(alice, "contact")][-1] is None
        relays[1].start()
        await trio.sleep(120)
        assert [event["route"] for event in events_of(alice, "contact")][-1] == "mailbox"

    run_world(tmp_path, main)


def test_a_circuit_to_a_hidden_contact_names_its_relay(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        hill = world.relay("hill")
        alice, bob = await people(world, hill)
        await befriend_hidden(alice, bob, hides=alice)
        row = await contact(alice, "bob")
        assert (row["route"], row["hidden"]) == ("circuit", True)
        path = alice.engine.view.path(await alice.id_of("bob"))
        assert path.relay == hill.peer
        assert hill.peer in alice.engine.view.state().hidden_circuits

    run_world(tmp_path, main)


@pytest.mark.parametrize(
    ("connected", "problem", "trouble"),
    [(False, None, "no network"), (True, "it does not answer", "the proxy does not work"), (True, "", "")],
)
def test_what_keeps_a_node_from_everybody_is_in_its_status(
    tmp_path: Path, connected: bool, problem: str | None, trouble: str
) -> None:
    async def ask() -> ProxyHealth:
        await trio.lowlevel.checkpoint()
        return ProxyHealth("[::1]:9050", problem or "")

    async def main(world: World) -> None:
        alice = await world.start("alice")
        alice.net.machine = Machine(("IPv4",) if connected else ())
        alice.engine.ask_proxy = None if problem is None else ask
        if problem is not None:
            alice.engine.use_lan = None
            with pytest.raises(NotNow):
                await alice.call("settings", lan="on")
        assert (await alice.call("status"))["trouble"] == trouble
        facts = await alice.call("network")
        line = next(row["detail"] for row in facts["rows"] if row["check"] == "line")
        assert ("the proxy on this machine" in line) == (problem is not None)

    run_world(tmp_path, main)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/ip4/203.0.113.5/tcp/4001/p2p/12D3", "203.0.113.5:4001"),
        ("/ip6/2001:db8::7/tcp/4001/p2p/12D3", "[2001:db8::7]:4001"),
        ("/dns4/relay.example/tcp/443/wss/p2p/12D3", "relay.example:443"),
        ("/p2p/12D3", "/p2p/12D3"),
    ],
)
def test_the_place_of_a_relay(address: str, place: str) -> None:
    assert place_of(address) == place


@pytest.mark.parametrize("mapper", [None, SimpleNamespace(mapping=PortMapping(MappingState.OFF))])
def test_who_may_not_ask_for_a_port_is_not_told_of_a_setting(mapper: Any) -> None:
    view = NetworkView(lambda: Machine(("IPv4",)), LanMode.OFF, mapper=mapper)
    end: Any = SimpleNamespace(host=SimpleNamespace(addresses=tuple), relays=SimpleNamespace(ways=tuple))
    view.begin(end, end, lambda contact: False, None)
    assert view.state().mapping.state == (MappingState.FORBIDDEN if mapper is None else MappingState.OFF)
