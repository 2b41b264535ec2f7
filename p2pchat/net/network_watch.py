"""Notices within seconds that this machine is on another network, or that it has slept.

Connections survive neither, and TCP notices that after minutes. The kernel tells of addresses and routes that change
(netlink, `man 7 rtnetlink`); where it may not be asked, and for sleep, one looks every few seconds.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import trio

from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.net import interfaces
from p2pchat.net.multiaddrs import IP
from p2pchat.ports import Machine

LOOK_SECONDS = 3.0
"""Seconds between two comparisons of the clocks."""
SLEPT_SECONDS = 5.0
"""Seconds that a machine has slept at least before its connections are doubted."""
SETTLE_SECONDS = 0.5
"""Seconds until one looks what has changed: an address and its routes come one after the other."""
TOLD_BURST, TOLD_EVERY_SECONDS = 3, 10.0
"""Changes that are told at once, and seconds for each further one. Going to another network makes two or three;
starting containers, or a host that sends ever new prefixes, makes them without end, and each has everybody dialled.
"""
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # links; addresses and routes of IPv4 and IPv6 (linux/rtnetlink.h)
_READ_BYTES = 65_536
_NOWHERE = "00000000"  # an IPv4 address, as the kernel writes it
_PREFIXES = {4: 24, 6: 48}
"""Bits of our address by which a network is recognised, at most, by version of IP: those below them change often."""

Route = tuple[int, int, str, str]
"""(version of IP, metric, interface, gateway or "") of a default route"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where this machine is: its own addresses but for loopback, and its default gateways, each with its interface."""

    addresses: frozenset[str] = frozenset()
    gateways: frozenset[tuple[str, str]] = frozenset()


def look() -> Surroundings:
    """Ask the system."""
    interfaces.current.expire()
    addresses = frozenset(str(own.ip) for own in interfaces.current() if not own.ip.is_loopback)
    with suppress(OSError):
        lines = Path("/proc/net/route").read_text().splitlines()
        return Surroundings(addresses, frozenset(default_gateways(lines)))
    return Surroundings(addresses)


def machine() -> Machine:
    """Return the networks of this machine, for people. Bridges and containers of it do not count as networks."""
    listed = interfaces.current()
    ips = [own.ip for own in listed if not (own.virtual or own.ip.is_loopback or own.ip.is_link_local)]
    try:
        lines = [Path(f"/proc/net/{name}").read_text().splitlines() for name in ("route", "ipv6_route")]
    except OSError:
        return Machine(_families(ips), _families(ip for ip in ips if ip.is_global))
    return Machine(_families(ips), _families(ip for ip in ips if ip.is_global), has_default_route(*lines))


def _families(ips: Iterable[IP]) -> tuple[str, ...]:
    return tuple(f"IPv{version}" for version in sorted({ip.version for ip in ips}))


def has_default_route(routes: Iterable[str], routes6: Iterable[str]) -> bool:
    """Return whether there is a default route in the lines of /proc/net/route, or in those of /proc/net/ipv6_route,
    where the kernel lists one at `lo` for what it does not route.
    """
    ipv4 = (line.split() for line in routes)
    ipv6 = (line.split() for line in routes6)
    return any([*row[1:2], *row[7:8]] == ["0" * 8] * 2 for row in ipv4) or any(
        row[:2] == ["0" * 32, "00"] and row[-1] != "lo" for row in ipv6
    )


def default_gateways(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield (interface, IPv4 address) of the default routes in the lines of /proc/net/route, where addresses are
    hexadecimal, in the byte order of the machine.
    """
    for line in lines:
        name, destination, gateway, *_ = [*line.split(), "", "", ""]
        if destination == "00000000" and gateway not in ("", "00000000"):
            yield name, socket.inet_ntoa(int(gateway, 16).to_bytes(4, sys.byteorder))


@dataclass(frozen=True, slots=True)
class Exit:
    """The network by which this machine's packets leave: the address of the default gateway, "" where the interface
    leads to one other machine only; its link-layer address, "" while the kernel has not learnt it; and the prefix of
    our own address there, or the interface where that has none.
    """

    gateway: str
    hardware: str
    prefix: str


def find_exit() -> Exit | None:
    """Return how packets leave, as the kernel says now; None without a default route, or where it does not say."""
    routes: list[Route] = []
    neighbours: list[str] = []
    for path, parse in (("route", routes_4), ("ipv6_route", routes_6)):
        with suppress(OSError):
            routes += parse(Path("/proc/net", path).read_text().splitlines())
    with suppress(OSError):
        neighbours = Path("/proc/net/arp").read_text().splitlines()
    return exit_by(routes, neighbours, interfaces.current())


def exit_by(routes: Sequence[Route], neighbours: Iterable[str], here: Sequence[interfaces.Interface]) -> Exit | None:
    """Return the exit by the first of these routes, IPv4 before IPv6. neighbours: the lines of /proc/net/arp. here: our
    own addresses.
    """
    if not routes:
        return None
    version, _, name, gateway = min(routes)
    of_gateway = [fields for fields in map(str.split, neighbours) if fields[:1] == [gateway] and fields[-1] == name]
    hardware = next((fields[3] for fields in of_gateway if fields[3].strip("0:")), "")
    own = [each for each in here if each.name == name and each.ip.version == version and not each.ip.is_link_local]
    prefixes = sorted(
        str(ip_network((each.ip, min(each.prefix or _PREFIXES[version], _PREFIXES[version])), strict=False))
        for each in own
    )
    return Exit(gateway, hardware, prefixes[0] if prefixes else name)


def routes_4(lines: Iterable[str]) -> Iterable[Route]:
    """Yield the default routes in the lines of /proc/net/route; see `default_gateways`."""
    for line in lines:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == _NOWHERE:
            gateway = socket.inet_ntoa(int(fields[2], 16).to_bytes(4, sys.byteorder))
            yield 4, int(fields[6]), fields[0], "" if fields[2] == _NOWHERE else gateway


def routes_6(lines: Iterable[str]) -> Iterable[Route]:
    """Yield the default routes in the lines of /proc/net/ipv6_route."""
    for line in lines:
        fields = line.split()
        if len(fields) == 10 and fields[1] == "00" and not int(fields[0], 16) and fields[9] != "lo":
            gateway = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[4]))
            yield 6, int(fields[5], 16), fields[9], "" if gateway == "::" else gateway


def has_slept(before: tuple[float, float], now: tuple[float, float]) -> bool:
    """Return whether the machine slept between two looks at (the clock that counts sleep, the one that does not)."""
    return (now[0] - before[0]) - (now[1] - before[1]) >= SLEPT_SECONDS


def _clocks() -> tuple[float, float]:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)), time.monotonic()


class NetworkWatch:
    """Calls `changed` whenever the surroundings are others, or the machine has slept. look, clocks: for tests, as is
    netlink=False, with which the kernel is not asked to tell of changes.
    """

    def __init__(
        self,
        look: Callable[[], Surroundings] = look,
        clocks: Callable[[], tuple[float, float]] = _clocks,
        *,
        netlink: bool = True,
    ) -> None:
        self._look = look
        self._clocks = clocks
        self._netlink = netlink
        self._around = Surroundings()
        self._told = TokenBucket(TOLD_BURST, 1 / TOLD_EVERY_SECONDS)

    async def run(self, changed: Callable[[], None]) -> None:
        """Watch until cancelled."""
        kernel = _subscribe() if self._netlink else None
        self._around = self._look()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_clocks, changed, kernel is None)
            if kernel is not None:
                nursery.start_soon(self._watch_kernel, changed, kernel)

    async def _watch_clocks(self, changed: Callable[[], None], compares: bool) -> None:
        while True:
            before = self._clocks()
            await trio.sleep(LOOK_SECONDS)
            if has_slept(before, self._clocks()):
                log.info("this machine has slept")
                self._around = self._look()
                changed()
            elif compares:
                await self._compare(changed)

    async def _watch_kernel(self, changed: Callable[[], None], kernel: socket.socket) -> None:
        with closing(kernel):
            while True:
                await trio.lowlevel.wait_readable(kernel.fileno())
                await trio.sleep(SETTLE_SECONDS)
                with suppress(OSError):  # it has said everything; or more than it keeps, which says enough
                    while kernel.recv(_READ_BYTES):
                        pass
                await self._compare(changed)

    async def _compare(self, changed: Callable[[], None]) -> None:
        if self._look() != self._around:
            if not self._told.take(trio.current_time()):
                await trio.sleep(TOLD_EVERY_SECONDS)
                self._told.give(-1)
            self._around = self._look()
            log.info("the network has changed")
            changed()


def _subscribe() -> socket.socket | None:
    """Return a socket on which the kernel tells of changes; None where it does not."""
    try:
        kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        kernel.bind((0, _GROUPS))
    except (AttributeError, OSError):
        return None
    return kernel
