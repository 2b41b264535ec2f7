"""The life of a mapping: renewed, given back, made anew; and what is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from random import Random

import pytest
import trio

from p2pchat.core.network import MappingState, PortMapping
from p2pchat.net.interfaces import Interface
from p2pchat.net.mapping import mapper as mapping
from p2pchat.net.mapping.grants import LIFETIME_SECONDS, Uplink
from p2pchat.net.mapping.mapper import PortMapper, find_uplink
from p2pchat.net.multiaddrs import SocketAddress
from p2pchat.net.network_watch import Exit
from tests.support.gateway import HOME, PUBLIC, Gateway
from tests.support.virtual_time import virtual

EVERYWHERE = (SocketAddress(ip_address("0.0.0.0"), 4001), SocketAddress(ip_address("::"), 4001))
AWAY = Uplink(IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1"))
ADDRESS = f"/ip4/{PUBLIC}/tcp/4001"
SECRET = bytes(32)


@dataclass
class Home:
    """A node at home. told: the addresses that contacts were told, one after the other."""

    gateway: Gateway = field(default_factory=Gateway)
    uplink: Uplink | None = HOME
    bound: tuple[SocketAddress, ...] = EVERYWHERE
    wanted: bool = True
    told: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mapper = PortMapper(
            lambda: self.bound,
            SECRET,
            Random(67).randbytes,
            self.gateway,
            lambda: self.uplink,
            wanted=self.wanted,
        )

    @asynccontextmanager
    async def running(self, seconds: float = 60) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.mapper.run, lambda: self.told.append(self.mapper.addresses()))
            await trio.sleep(seconds)
            yield
            nursery.cancel_scope.cancel()

    @property
    def state(self) -> MappingState:
        return self.mapper.mapping.state


@virtual
async def test_a_port_is_open_while_a_node_runs_and_contacts_are_told_once() -> None:
    home = Home()
    async with home.running():
        assert home.mapper.mapping == PortMapping(MappingState.OPEN, ADDRESS, "PCP")
        assert home.gateway.ports == {4001: 4001}
        assert home.mapper.leads_to("192.168.1.2", 4001) == ADDRESS
        assert home.mapper.leads_to("192.168.1.3", 4001) == home.mapper.leads_to("192.168.1.2", 4002) == ""
        await trio.sleep(7200)
        assert home.told == [(ADDRESS,)]
    assert home.gateway.ports == {}


@pytest.mark.parametrize("seconds", [120, 600, 3600, 0xFFFFFFFF])
@virtual
async def test_it_is_renewed_before_its_time_is_over(seconds: int) -> None:
    home = Home(Gateway(seconds=seconds))
    async with home.running(3600):
        assert home.state == MappingState.OPEN
    renewals = home.gateway.asked.count("PCP 4001 3600")
    assert 3600 / min(seconds, LIFETIME_SECONDS) <= renewals <= 1 + 3600 / 60
    assert len(home.gateway.nonces) == 1, "else it would be another's port (RFC 6887 section 11.3)"


@virtual
async def test_the_next_run_of_the_node_has_the_same_nonce_and_another_home_has_not() -> None:
    gateway = Gateway()
    for _ in range(2):
        async with Home(gateway).running():
            pass
    assert len(gateway.nonces) == 1
    other = Home(gateway)
    other.mapper = PortMapper(lambda: EVERYWHERE, bytes([1]) * 32, Random(1).randbytes, gateway, lambda: HOME)
    async with other.running():
        pass
    assert len(gateway.nonces) == 2


@pytest.mark.parametrize("seconds", [0, 1, 119])
@virtual
async def test_a_port_for_a_moment_is_none(seconds: int) -> None:
    home = Home(Gateway(seconds=seconds))
    async with home.running(600):
        assert (home.state, home.mapper.addresses(), home.told) == (MappingState.REFUSED, (), [])
    assert len(home.gateway.asked) < 20


@pytest.mark.parametrize(
    "named",
    ["192.168.7.2", "10.1.2.3", "100.64.0.9", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1"],
)
@virtual
async def test_nobody_is_told_of_an_address_that_is_not_public(named: str) -> None:
    home = Home(Gateway(public=IPv4Address(named)))
    async with home.running():
        assert (home.state, home.mapper.addresses()) == (MappingState.NOT_PUBLIC, ())
        assert home.gateway.ports == {}, "a port that helps nobody was given back"
    assert home.told == []


@virtual
async def test_nobody_is_sent_to_the_services_below_port_1024() -> None:
    home = Home(Gateway(taken={4001}))
    home.gateway._open = lambda inside, outside, seconds: 25  # type: ignore[method-assign]
    async with home.running():
        assert (home.state, home.mapper.addresses()) == (MappingState.REFUSED, ())


@virtual
async def test_another_address_of_the_router_is_told() -> None:
    home = Home()
    async with home.running():
        home.gateway.public = IPv4Address("11.0.4.2")
        await trio.sleep(mapping.RENEW_SECONDS)
        assert home.told == [(ADDRESS,), ("/ip4/11.0.4.2/tcp/4001",)]


@virtual
async def test_a_router_that_was_restarted_opens_the_port_again() -> None:
    home = Home()
    async with home.running():
        home.gateway.ports.clear()
        await trio.sleep(mapping.RENEW_SECONDS)
        assert home.gateway.ports == {4001: 4001}


@virtual
async def test_a_router_that_goes_silent_is_believed_until_the_time_is_over() -> None:
    home = Home()
    async with home.running():
        home.gateway.speaks = set()
        await trio.sleep(mapping.RENEW_SECONDS + 120)
        assert home.mapper.addresses() == (ADDRESS,)
        await trio.sleep(3600)
        assert home.state == MappingState.SILENT
        assert home.told == [(ADDRESS,), ()]


@virtual
async def test_one_that_gave_nothing_is_asked_less_and_less() -> None:
    home = Home(Gateway(set()))
    async with home.running(24 * 3600):
        assert home.state == MappingState.SILENT
        assert len(home.gateway.asked) < 3 * 32
        home.gateway.speaks = {"NAT-PMP"}
        home.mapper.network_changed()
        await trio.sleep(30)
        assert home.mapper.addresses() == (ADDRESS,), "another network, or a sleep, is a new beginning"


@virtual
async def test_on_another_network_a_new_one_is_made_and_the_old_one_is_told_no_more() -> None:
    home = Home()
    async with home.running():
        home.uplink = None
        home.mapper.network_changed()
        assert home.mapper.addresses() == (), "at once"
        await trio.sleep(10)
        assert (home.state, home.told[-1]) == (MappingState.NO_ROUTER, ())
        home.uplink = HOME
        home.mapper.network_changed()
        await trio.sleep(10)
        assert (home.state, home.told[-1]) == (MappingState.OPEN, (ADDRESS,))
        asked = len(home.gateway.asked)
        home.mapper.network_changed()
        assert home.mapper.addresses() == (ADDRESS,), "a change elsewhere on this machine is none here"
        await trio.sleep(10)
        assert len(home.gateway.asked) == asked + 1


@virtual
async def test_an_answer_that_comes_when_it_is_not_wanted_any_more_is_told_to_nobody() -> None:
    home = Home(Gateway({"NAT-PMP"}))

    def move(packet: bytes) -> bytes:
        home.uplink = None
        home.mapper.network_changed()
        return packet

    home.gateway.lie = move
    async with home.running():
        assert (home.state, home.told) == (MappingState.NO_ROUTER, [])
    home = Home(Gateway({"NAT-PMP"}))

    def turn_off(packet: bytes) -> bytes:
        home.mapper.use(False)
        return packet

    home.gateway.lie = turn_off
    async with home.running():
        assert (home.state, home.told, home.gateway.ports) == (MappingState.OFF, [], {})


@virtual
async def test_whatever_goes_wrong_the_node_goes_on() -> None:
    home = Home()

    def fail(packet: bytes) -> list[bytes]:
        raise RuntimeError

    home.gateway._packet = fail  # type: ignore[method-assign]
    async with home.running():
        assert home.state == MappingState.SILENT
        del home.gateway._packet
        await trio.sleep(600)
        assert home.mapper.addresses() == (ADDRESS,)


@virtual
async def test_another_port_of_the_node_takes_the_uplink_of_the_old_one() -> None:
    home = Home()
    async with home.running():
        home.bound = (SocketAddress(ip_address("192.168.1.2"), 4005),)
        home.mapper.network_changed()
        await trio.sleep(10)
        assert home.gateway.ports == {4005: 4005}


@virtual
async def test_the_user_has_the_last_word() -> None:
    home = Home(wanted=False)
    async with home.running():
        assert (home.state, home.gateway.asked) == (MappingState.OFF, [])
        home.mapper.use(True)
        await trio.sleep(10)
        assert home.gateway.ports == {4001: 4001}
        home.mapper.use(False)
        await trio.sleep(10)
        assert (home.state, home.gateway.ports, home.told) == (MappingState.OFF, {}, [(ADDRESS,), ()])


@pytest.mark.parametrize(
    ("uplink", "bound", "state"),
    [
        (None, EVERYWHERE, MappingState.NO_ROUTER),
        (HOME, (), MappingState.NOT_LISTENING),
        (HOME, (SocketAddress(ip_address("127.0.0.1"), 4001),), MappingState.NOT_LISTENING),
        (HOME, (SocketAddress(ip_address("192.168.1.7"), 4001),), MappingState.NOT_LISTENING),
        (Uplink(IPv4Address("11.0.3.2"), IPv4Address("11.0.3.1")), EVERYWHERE, MappingState.NOT_NEEDED),
        (Uplink(IPv4Address("192.0.2.2"), IPv4Address("192.0.2.1")), EVERYWHERE, MappingState.NO_ROUTER),
    ],
)
@virtual
async def test_nobody_is_asked_where_it_makes_no_sense(
    uplink: Uplink | None, bound: tuple[SocketAddress, ...], state: MappingState
) -> None:
    home = Home(uplink=uplink, bound=bound)
    async with home.running(600):
        assert (home.state, home.gateway.asked, home.told) == (state, [], [])


LAPTOP = (
    Interface("lo", ip_address("127.0.0.1"), 8),
    Interface("wlan0", ip_address("192.168.1.2"), 24),
    Interface("wlan0", ip_address("fe80::2"), 64),
    Interface("docker0", ip_address("172.17.0.2"), 16),
    Interface("wg0", ip_address("10.8.0.2"), 24),
)


@pytest.mark.parametrize(
    ("router", "source", "found"),
    [
        ("192.168.1.1", "192.168.1.2", HOME),
        ("192.168.1.1", "10.8.0.2", None),  # a VPN that carries everything, beside the default route
        ("192.168.1.1", "", None),
        ("192.168.1.2", "192.168.1.2", None),
        ("192.168.2.1", "192.168.1.2", None),
        ("172.17.0.1", "172.17.0.2", None),
        ("10.8.0.1", "10.8.0.2", None),
        ("fe80::1", "192.168.1.2", None),
        ("", "192.168.1.2", None),
        (None, "192.168.1.2", None),
    ],
)
def test_the_router_is_the_one_by_which_packets_leave(router: str | None, source: str, found: Uplink | None) -> None:
    way = None if router is None else Exit(router, "", "")
    assert find_uplink(LAPTOP, lambda: way, lambda: source) == found
