"""A router that opens a port: who is told of it, and who is not."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import trio

from p2pchat.core.ids import first_device
from p2pchat.core.invite import read_invite
from p2pchat.net import multiaddrs
from p2pchat.net.mapping.mapper import PortMapper
from p2pchat.net.multiaddrs import SocketAddress
from p2pchat.store import contacts, devices
from tests.support.gateway import HOME, PUBLIC, Gateway
from tests.support.world import World, WorldNode, befriend, run_world, until

ADDRESS = multiaddrs.pack(f"/ip4/{PUBLIC}/tcp/4001")


def at_home(world: World, name: str) -> Gateway:
    """A router for a node that is started later."""
    gateway = Gateway()
    bound = (SocketAddress(ip_address("0.0.0.0"), 4001),)
    world.mappers[name] = PortMapper(lambda: bound, bytes(32), world.entropy.random, gateway, lambda: HOME)
    return gateway


def known(node: WorldNode) -> list[bytes]:
    """The addresses that a node knows of its only contact."""
    (contact,) = contacts.all(node.db)
    return [way.address for way in devices.ways(node.db, first_device(contact.id))]


def test_contacts_are_told_and_told_again_when_it_is_closed(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        gateway = at_home(world, "alice")
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)

        async def told() -> bool:
            return ADDRESS in known(bob)

        await until(told)
        assert gateway.ports == {4001: 4001}
        facts = await alice.call("network")
        assert facts["port_mapping"] == {"state": "open", "address": f"/ip4/{PUBLIC}/tcp/4001", "protocol": "PCP"}
        assert (await alice.call("settings", port_mapping=False))["port_mapping"] is False

        async def told_better() -> bool:
            return ADDRESS not in known(bob)

        await until(told_better)
        assert gateway.ports == {}
        assert (await alice.call("settings", port_mapping=True))["port_mapping"] is True
        await until(told)

    run_world(tmp_path, main)


def test_an_invite_for_one_names_it_and_one_for_many_does_not(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        at_home(world, "alice")
        alice = await world.start("alice")
        await trio.sleep(10)
        for reusable in (False, True):
            made = await alice.call("invite", reusable=reusable)
            invite, _ = read_invite(made["invite"])
            assert (ADDRESS in [way.address for way in invite.ways]) == (not reusable)

    run_world(tmp_path, main)


def test_who_has_dialled_it_proves_that_it_works_for_as_long_as_its_address_is_the_same(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        at_home(world, "alice")
        alice, bob = await world.start("alice"), await world.start("bob")
        await befriend(alice, bob)

        async def reached() -> bool:
            return bool((await alice.call("network"))["reached"])

        async def mapped() -> bool:
            return bool((await alice.call("network"))["port_mapping"]["address"])

        await until(mapped)
        assert not await reached(), "the router says so, and nobody has come by it"
        world.found["alice"] = f"/ip4/{PUBLIC}/tcp/4001"
        await bob.stop()
        await world.start("bob")
        await until(reached)
        assert (await alice.call("offer"))["reachable"]

        await alice.call("settings", port_mapping=False)
        assert not await reached()
        assert (await alice.call("offer"))["reachable"], "the answer to the question stays"
        world.elsewhere["alice"] = world.found["alice"]
        assert await reached(), "it has this address itself"
        world.elsewhere["alice"] = "/ip4/11.0.9.9/tcp/4001"
        assert not await reached()

    run_world(tmp_path, main)


def test_one_from_whom_we_hide_is_not_told(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        at_home(world, "alice")
        alice = await world.start("alice")
        await trio.sleep(10)
        assert ADDRESS in [address for _, address in alice.net.ways()]
        assert ADDRESS not in [address for _, address in alice.net.ways(hidden=True)]
        assert ADDRESS not in [address for _, address in alice.net.ways(mapped=False)]

    run_world(tmp_path, main)
