"""Noticing that the network has changed, or that the machine has slept."""

from __future__ import annotations

import socket
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address
from itertools import count

import pytest
import trio
from trio.testing import MockClock

from p2pchat.net import interfaces, network_watch
from p2pchat.net.interfaces import Interface, Interfaces
from p2pchat.net.network_watch import (
    LOOK_SECONDS,
    SETTLE_SECONDS,
    SLEPT_SECONDS,
    TOLD_BURST,
    TOLD_EVERY_SECONDS,
    Exit,
    NetworkWatch,
    Surroundings,
    default_gateways,
    exit_by,
    has_default_route,
    routes_4,
    routes_6,
)
from tests.conftest import run

ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 FE01A8C0 0003 0 0 600 00000000 0 0 0
wlan0 0001A8C0 00000000 0001 0 0 600 00FFFFFF 0 0 0
wg0 00000000 00000000 0001 0 0 50 00000000 0 0 0

short"""


def test_gateways_are_read_from_the_table_of_routes() -> None:
    assert list(default_gateways(ROUTES.splitlines())) == [("wlan0", "192.168.1.254")]


ROUTES_6 = """00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 \
00000400 00000001 00000000 00000003 wlan0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 \
ffffffff 00000001 00000000 00200200 lo"""
NEIGHBOURS = """IP address HW type Flags HW address Mask Device
192.168.1.254 0x1 0x2 02:00:00:00:00:09 * wlan0
192.168.1.254 0x1 0x2 02:00:00:00:00:08 * eth0"""
HERE = (
    Interface("wlan0", IPv4Address("192.168.1.7"), 25),
    Interface("wlan0", IPv6Address("fe80::2"), 64),
    Interface("wlan0", IPv6Address("2001:db8:1:2::7"), 64),
    Interface("wg0", IPv4Address("10.8.0.2"), 32),
)


def test_a_network_is_known_by_its_router_and_prefix() -> None:
    routes, neighbours = list(routes_4(ROUTES.splitlines())), NEIGHBOURS.splitlines()
    by_router = [route for route in routes if route[2] == "wlan0"]
    home = Exit("192.168.1.254", "02:00:00:00:00:09", "192.168.1.0/24")
    assert exit_by(by_router, neighbours, HERE) == home
    assert exit_by(by_router, [NEIGHBOURS.replace("02:00:00:00:00:09", "00:00:00:00:00:00")], HERE) == Exit(
        "192.168.1.254", "", "192.168.1.0/24"
    )
    assert exit_by(routes, neighbours, HERE) == Exit("", "", "10.8.0.0/24")  # its metric is the lower one
    routes_of_6 = list(routes_6(ROUTES_6.splitlines()))
    assert exit_by(routes_of_6, (), HERE) == Exit("fe80::1", "", "2001:db8:1::/48")
    assert exit_by([*routes_of_6, *by_router], neighbours, HERE) == home
    assert exit_by(by_router, (), ()) == Exit("192.168.1.254", "", "wlan0")
    assert exit_by([], neighbours, HERE) is None


def test_whether_there_is_a_default_route() -> None:
    nowhere6 = f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200 lo"
    assert has_default_route(ROUTES.splitlines(), [])
    assert has_default_route([], [nowhere6.replace(" lo", " eth0")])
    assert not has_default_route(ROUTES.splitlines()[:1] + ROUTES.splitlines()[2:3], [nowhere6, "", "short"])


def test_another_network_and_a_sleep_are_told_once_each() -> None:
    home = Surroundings(frozenset({"192.168.1.2"}), frozenset({("wlan0", "192.168.1.1")}))
    around, slept = [home], [0.0]
    told: list[float] = []

    async def main() -> None:
        def clocks() -> tuple[float, float]:
            return trio.current_time() + slept[0], trio.current_time()

        watch = NetworkWatch(lambda: around[0], clocks, netlink=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run, lambda: told.append(trio.current_time()))
            await trio.sleep(100)
            assert told == []
            around[0] = Surroundings()
            await trio.sleep(100)
            slept[0] += SLEPT_SECONDS - 1
            await trio.sleep(100)
            assert len(told) == 1
            assert told[0] <= trio.current_time() - 200 + LOOK_SECONDS
            slept[0] += 3600
            await trio.sleep(100)
            assert len(told) == 2
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0))


def test_what_changed_in_a_sleep_is_told_with_the_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel may not be asked, too: then the surroundings are compared."""
    around, slept = [Surroundings()], [0.0]
    told: list[float] = []
    monkeypatch.setattr(network_watch, "_subscribe", lambda: None)

    async def main() -> None:
        def clocks() -> tuple[float, float]:
            return trio.current_time() + slept[0], trio.current_time()

        watch = NetworkWatch(lambda: around[0], clocks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run, lambda: told.append(trio.current_time()))
            await trio.sleep(10)
            slept[0], around[0] = 3600, Surroundings(frozenset({"10.0.0.2"}))
            await trio.sleep(100)
            assert len(told) == 1
            around[0] = Surroundings()
            await trio.sleep(100)
            assert len(told) == 2
            nursery.cancel_scope.cancel()

    run(main, MockClock(autojump_threshold=0))


def test_what_the_kernel_tells_is_looked_at_once_it_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    around, looked = [Surroundings()], [0]
    told: list[tuple[float, Surroundings]] = []
    kernel, system = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    kernel.setblocking(False)
    monkeypatch.setattr(network_watch, "_subscribe", lambda: kernel)

    def look() -> Surroundings:
        looked[0] += 1
        return around[0]

    async def main() -> None:
        watch = NetworkWatch(look, lambda: (0.0, 0.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run, lambda: told.append((trio.current_time(), around[0])))
            await trio.sleep(100)
            assert looked == [1]  # no look without a word of the kernel
            at, half = trio.current_time(), frozenset({"192.168.1.2"})
            for step in (Surroundings(half), Surroundings(half, frozenset({("wlan0", "192.168.1.1")}))):
                around[0] = step
                system.send(b"an address, then a route")
                await trio.sleep(0.4 * SETTLE_SECONDS)
            await trio.sleep(100)
            assert [(when - at, surroundings) for when, surroundings in told] == [(SETTLE_SECONDS, around[0])]
            nursery.cancel_scope.cancel()

    with closing(system):
        run(main, MockClock(autojump_threshold=0))


def test_a_look_does_not_go_by_an_old_list_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    ips = ["127.0.0.1", "192.168.1.2"]
    listed = Interfaces(lambda: 0.0, lambda: tuple(Interface("eth0", IPv4Address(ip), 24) for ip in ips))
    monkeypatch.setattr(interfaces, "current", listed)
    assert network_watch.look().addresses == {"192.168.1.2"}
    ips[1] = "192.168.7.2"
    assert network_watch.look().addresses == {"192.168.7.2"}


def test_changes_without_end_are_told_now_and_then() -> None:
    looks = count()
    told: list[float] = []

    async def main() -> None:
        watch = NetworkWatch(lambda: Surroundings(frozenset({str(next(looks))})), lambda: (0.0, 0.0), netlink=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run, lambda: told.append(trio.current_time()))
            await trio.sleep(600)
            nursery.cancel_scope.cancel()
        assert 600 / (TOLD_EVERY_SECONDS + LOOK_SECONDS) <= len(told) <= TOLD_BURST + 600 / TOLD_EVERY_SECONDS

    run(main, MockClock(autojump_threshold=0))
