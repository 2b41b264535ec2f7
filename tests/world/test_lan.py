"""Contacts on one local network and nothing else: both have moved, and no way that either knows leads anywhere."""

from __future__ import annotations

from pathlib import Path

from p2pchat.net import multiaddrs
from tests.support.switch import Switch
from tests.support.world import World, befriend, run_world, until


def test_two_who_both_moved_find_each_other_on_the_local_network(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        switch = Switch()
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)
        for node in (alice, bob):
            await node.stop()
            world.move(node.name)
            address = multiaddrs.parse(world.address(node.name))
            world.media[node.name] = switch.plug(str(address.ip), address.port)
        alice = await world.start("alice")
        sent = await alice.call("send", chat="bob", text="are you on this switch too?")
        bob = await world.start("bob")

        async def delivered() -> bool:
            (message,) = await alice.call("log", chat="bob")
            return (message["id"], message["state"]) == (sent["id"], "delivered")

        await until(delivered, 10)
        doctor = {check["check"]: check["detail"] for check in await alice.call("doctor")}
        assert "1 found" in doctor["lan"]

    run_world(tmp_path, main)


def test_an_invite_is_answered_on_the_local_network(tmp_path: Path) -> None:
    """The address in the invite is that of another network by the time it is used."""

    async def main(world: World) -> None:
        switch = Switch()
        for name in ("alice", "bob"):
            address = multiaddrs.parse(world.address(name))
            world.media[name] = switch.plug(f"{address.ip}", address.port)
        alice, bob = await world.start("alice"), await world.start("bob")
        invite = await alice.call("invite")
        await alice.stop()
        world.move("alice")
        address = multiaddrs.parse(world.address("alice"))
        world.media["alice"] = switch.plug(str(address.ip), address.port)
        alice = await world.start("alice")
        added = await bob.call("add", invite=invite["invite"], wait="accepted", timeout=60)
        assert added["state"] == "contact"

    run_world(tmp_path, main)
