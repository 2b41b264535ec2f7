"""Contacts on one local network and nothing else: both have moved, and no way that either knows leads anywhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import trio

from p2pchat.core import lan
from p2pchat.core.frames import GONE, USED, Frame, pack
from p2pchat.core.invite import hello_key, read_invite
from p2pchat.core.session import hello_days
from p2pchat.errors import LinkLost, NotReached
from p2pchat.net import multiaddrs
from p2pchat.net.frames import FrameReader
from p2pchat.net.lan.discovery import packed
from p2pchat.net.network import Network
from p2pchat.net.ports import Stream
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


def test_whoever_else_holds_the_invite_is_not_taken_for_its_maker_on_the_local_network(tmp_path: Path) -> None:
    """They can make its announcements, and would answer that it is used."""

    async def main(world: World) -> None:
        switch = Switch()
        address = multiaddrs.parse(world.address("bob"))
        world.media["bob"] = switch.plug(str(address.ip), address.port)
        alice, bob = await world.start("alice"), await world.start("bob")
        written = (await alice.call("invite", reusable=True))["invite"]
        await alice.stop()
        key = hello_key(read_invite(written)[0].secret)
        mallory = world.outsider("mallory")
        place = multiaddrs.parse(world.address("mallory"))
        plug = switch.plug(str(place.ip), place.port)
        plug.open()

        async def lie(stream: Stream) -> None:
            with suppress(LinkLost):
                await FrameReader(stream).read_one()
                await stream.write(pack(Frame(GONE, bytes((USED,)))))

        mallory.answer_to_anything(lie)
        with pytest.raises(NotReached):
            await bob.call("add", invite=written, name="alice", timeout=10)
        source, days = packed(plug.place.ip), hello_days(bob.clock())
        here = lan.Answering(place.port, mallory.peer)
        salt = world.entropy.random(lan.SALT)
        plug.send(plug.place, lan.announce(salt, source, [lan.day_key(key, days[0])], here, world.entropy.random))
        await trio.sleep(60)
        network = bob.engine.net
        assert isinstance(network, Network)
        assert network._discovery is not None
        heard = network._discovery.ways_to_join(await bob.id_of("alice"))
        assert heard == [(mallory.peer, world.address("mallory"))]
        assert mallory.peer not in [dialled for _, dialled, _ in world.dialled]

    run_world(tmp_path, main)
