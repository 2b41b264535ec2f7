"""Relays that announce themselves are dialled back, and nobody else is dialled because of what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from p2pchat.core.descriptors import LIFE_SECONDS, Descriptor
from p2pchat.core.ids import PeerKey
from p2pchat.core.names import mailbox_name
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.net import multiaddrs
from p2pchat.net.ports import Stream
from p2pchat.relay.dialback import AT_ONCE, CAUSED_BURST, PAUSE_SECONDS, PLACE_BURST, DialBack
from p2pchat.relay.limits import NETWORK_FACTOR
from p2pchat.relay.listing import PROVEN_AGAIN_MS, Announced, RelayListing
from tests.support.world import FakeHost, World, run_world


class Here:
    """A relay that dials back, at these addresses of its own."""

    def __init__(self, world: World, folder: Path, own: str = "/ip4/40.0.0.1/tcp/4001") -> None:
        self.world = world
        self.sources = 0
        random = world.entropy.random
        self.listing = RelayListing(random(32), folder / "descriptor", tuple, world.now, random)
        self.back = DialBack(self.listing, self.new_host, lambda: (own,), lambda stream: "", random)

    @asynccontextmanager
    async def new_host(self) -> AsyncIterator[FakeHost]:
        host = FakeHost(self.world, "dialling back", self.world.entropy.random(32), listens=False)
        host.nursery = self.world._nursery
        yield host

    async def places(self, relay: FakeHost, *addresses: str) -> list[str]:
        """Where a relay has answered that names these addresses."""
        self.sources += 1
        return await self.back._places(Announced(self.descriptor(relay, *addresses), b"", f"20.{self.sources}.0.1"))

    def descriptor(self, relay: FakeHost, *addresses: str) -> Descriptor:
        made = self.world.now() // 1000
        return Descriptor(relay.peer, made, made, made + LIFE_SECONDS, 3, addresses)

    async def announce(self, relay: FakeHost, source: str, *addresses: str) -> None:
        """Have a relay announce itself from an IP address, and be dialled back."""
        self.listing._take(self.descriptor(relay, *addresses), b"", source, 1)
        await trio.sleep(AT_ONCE * PAUSE_SECONDS)

    def dialled(self) -> list[str]:
        return [address for _, _, addresses in self.world.dialled for address in addresses]


def relay_at(world: World, name: str, address: str) -> FakeHost:
    """A relay that answers there."""

    async def hello(stream: Stream) -> None:
        await stream.close()

    world.elsewhere[name] = address
    host = world.outsider(name)
    host.handle(mailbox_name(host.peer, b""), hello)
    return host


def run_here(folder: Path, main: Callable[[Here], Awaitable[None]], own: str = "/ip4/40.0.0.1/tcp/4001") -> None:
    async def inside(world: World) -> None:
        await main(Here(world, folder, own))

    run_world(folder, inside)


def test_a_relay_counts_where_it_has_answered_and_only_if_it_answers_everywhere(tmp_path: Path) -> None:
    async def main(here: Here) -> None:
        where, other = "/ip4/50.0.0.1/tcp/4001", "/ip4/51.0.0.1/tcp/4001"
        relay = relay_at(here.world, "relay", where)
        relay_at(here.world, "victim", other)
        assert await here.places(relay, where) == ["50.0.0.1"]
        assert await here.places(relay, where, "/ip6/2a01::1/tcp/4001", "/ip4/1.1.1.1/udp/1/quic-v1") == ["50.0.0.1"]
        assert await here.places(relay, where, f"/ip4/52.0.0.1/tcp/1/p2p/{multiaddrs.peer_id(relay.peer)}/p2p-circuit")
        assert await here.places(relay, where, f"{where}/pt/obfs4/-") == ["50.0.0.1"]
        assert await here.places(relay, f"{where}/pt/obfs4/-") == []
        assert await here.places(relay, where, other) == []
        assert await here.places(relay, other) == []

    run_here(tmp_path, main)


def test_nothing_is_dialled_in_a_local_network_or_where_an_address_means_another(tmp_path: Path) -> None:
    """Dial-back SSRF."""
    inside = (
        *("/ip4/127.0.0.1/tcp/6379", "/ip4/192.168.0.1/tcp/80", "/ip4/169.254.169.254/tcp/80", "/ip4/100.64.0.1/tcp/1"),
        *("/ip6/::1/tcp/1", "/ip6/fd00::1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip4/224.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1"),
        *("/ip6/64:ff9b::7f00:1/tcp/1", "/ip6/2002:7f00:1::/tcp/1", "/ip6/::ffff:127.0.0.1/tcp/1"),
    )

    async def main(here: Here) -> None:
        where = "/ip4/50.0.0.1/tcp/4001"
        relay = relay_at(here.world, "relay", where)
        for address in inside:
            assert await here.places(relay, where, address) == [], address
        assert here.dialled() == []

    run_here(tmp_path, main)


def test_where_all_is_in_one_local_network_relays_are_dialled_there(tmp_path: Path) -> None:
    async def main(here: Here) -> None:
        relay = relay_at(here.world, "relay", "/ip4/127.0.0.1/tcp/4001")
        assert await here.places(relay, "/ip4/127.0.0.1/tcp/4001") == ["127.0.0.1"]
        assert await here.places(relay, "/ip4/10.0.0.1/tcp/4001") == []

    run_here(tmp_path, main, "/ip4/127.0.0.1/tcp/1")


def test_a_crowd_that_names_one_address_has_it_dialled_a_few_times_a_day(tmp_path: Path) -> None:
    """Amplification. Each of them has another key, so that nothing else bounds them."""

    async def main(here: Here) -> None:
        crowd = [relay_at(here.world, f"sybil {number}", f"/ip4/50.0.{number}.1/tcp/1") for number in range(40)]
        for sybil in crowd:
            assert await here.places(sybil, "/ip4/60.0.0.1/tcp/22") == []
        assert len(here.dialled()) == PLACE_BURST
        await trio.sleep(DAY_SECONDS)
        for sybil in crowd:
            await here.places(sybil, "/ip4/60.0.0.1/tcp/22")
        assert len(here.dialled()) <= 3 * PLACE_BURST

    run_here(tmp_path, main)


def test_who_names_a_relays_address_does_not_keep_it_out_of_the_list(tmp_path: Path) -> None:
    """Neither one who comes from one network, nor, once it is listed, a crowd."""

    async def main(here: Here) -> None:
        where, other = "/ip4/60.0.0.1/tcp/4001", "/ip4/60.0.0.9/tcp/4001"
        relay, sybil = relay_at(here.world, "relay", where), here.world.outsider("sybil")
        here.world.soon(here.back.run)
        for number in range(40):  # each has another key, and an address in a /24 of its own
            await here.announce(relay_at(here.world, f"sybil {number}", other), f"50.0.{number}.1", where)
        assert len(here.dialled()) == CAUSED_BURST
        for number in range(40):
            await here.announce(here.world.outsider(f"in /24 {number}"), "50.0.0.1", f"/ip4/60.0.0.{number}/tcp/1")
        assert len(here.dialled()) <= CAUSED_BURST * NETWORK_FACTOR
        await here.announce(relay, "60.0.0.1", where, f"{where}/ws", "/ip4/60.0.0.1/tcp/443")
        assert len(here.listing) == 0  # it does not answer at the last of these
        await here.announce(relay, "60.0.0.1", where)
        assert len(here.listing) == 1
        for gone in (False, True):
            await trio.sleep(PROVEN_AGAIN_MS / 1000)
            for _ in range(40):
                await here.places(sybil, where)
            if gone:
                del here.world.listening[relay.peer]
            before, day = len(here.dialled()), here.world.now()
            for _ in range(3):  # beside what the crowd has used up there is one try a day
                await here.announce(relay, "60.0.0.1", where)
            assert len(here.dialled()) == before + 1
            assert (here.listing._known[relay.peer].proven_at >= day) is not gone

    run_here(tmp_path, main)


def test_what_fails_ends_nothing(tmp_path: Path) -> None:
    async def main(here: Here) -> None:
        async def fails(announced: Announced) -> list[str]:
            raise RuntimeError

        asked: list[PeerKey] = []
        nobody = Announced(Descriptor(PeerKey(bytes(32)), 1, 1, 2, 3, ()), b"", "")

        async def announced() -> Announced:
            if len(asked) == 20:
                await trio.sleep_forever()
            asked.append(nobody.descriptor.relay)
            return nobody

        here.back._places = fails  # type: ignore[method-assign]
        here.listing.announced = announced  # type: ignore[method-assign]
        here.world.soon(here.back.run)
        await trio.sleep(600)
        assert len(asked) == 20

    run_here(tmp_path, main)
