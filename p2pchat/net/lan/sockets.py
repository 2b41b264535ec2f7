"""Sends to and receives from everybody on the local networks, by multicast UDP.

The groups are those of all hosts, 224.0.0.1 and ff02::1: no router forwards them, every switch passes them on, and
nobody has to tell the network that they listen, which would show them to it.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import trio

from p2pchat.core.lan import ANNOUNCEMENT_BYTES
from p2pchat.net import interfaces
from p2pchat.net.interfaces import Interface
from p2pchat.net.lan.discovery import Place
from p2pchat.net.multiaddrs import IP, SocketAddress, is_local, neighbourhood

log = logging.getLogger(__name__)

PORT = 24150
GROUPS = {4: "224.0.0.1", 6: "ff02::1"}
MAX_PLACES = 16
IGNORED_SECONDS = 0.02
"""Seconds to wait after a packet that is none of ours, so that a flood of them takes little of this machine's time."""
_ANY: dict[int, IP] = {4: ipaddress.IPv4Address(0), 6: ipaddress.IPv6Address(0)}


class Multicast:
    """`discovery.Medium` with sockets. bound: where this node listens. machine: lists the interfaces; the system's."""

    def __init__(
        self,
        bound: Callable[[], Sequence[SocketAddress]],
        machine: Callable[[], Sequence[Interface]] = interfaces.current,
    ) -> None:
        self._bound = bound
        self._machine = machine
        self._senders: dict[Place, socket.socket] = {}
        self._readers: list[socket.socket] = []
        self._reopened = trio.Event()

    def places(self) -> tuple[Place, ...]:
        """Return where an announcement would be sent from now: every private IPv4 address, and the IPv6 link-local
        one of each interface, where this node listens.
        """
        ports = {endpoint.ip: endpoint.port for endpoint in self._bound()}
        places = []
        for interface in self._machine():
            port = ports.get(interface.ip) or ports.get(_ANY[interface.ip.version])
            if port and is_local(interface.ip) and not interface.ip.is_loopback and not interface.virtual:
                if interface.ip.version == 4:
                    places.append(Place(interface.ip, port))
                elif interface.ip.is_link_local:
                    places.append(Place(ipaddress.IPv6Address(f"{interface.ip}%{interface.name}"), port))
        return tuple(dict.fromkeys(places))[:MAX_PLACES]

    def open(self) -> bool:
        """Open a socket to send from each place, and those that receive on their networks; return whether all could."""
        usable = True
        for place in self.places():
            try:
                self._senders[place] = _sender(place.ip)
            except OSError as error:
                usable = False
                log.info("cannot send on a local network: %s", error.strerror)
        ips = [place.ip for place in self._senders]
        together = [ip for ip in ips if ip.version == 4]
        for joined in [together] * bool(together) + [[ip] for ip in ips if ip.version == 6]:
            try:
                self._readers.append(_reader(joined))
            except OSError as error:
                usable = False
                log.info("cannot listen on a local network: %s", error.strerror)
        self._wake()
        return usable

    def close(self) -> None:
        """Close every socket."""
        for sock in (*self._senders.values(), *self._readers):
            trio.lowlevel.notify_closing(sock.fileno())
            sock.close()
        self._senders, self._readers = {}, []
        self._wake()

    def _wake(self) -> None:
        self._reopened.set()
        self._reopened = trio.Event()

    def send(self, place: Place, packet: bytes) -> None:
        """Send to all hosts on the network of a place; not at all if it is gone or has no room."""
        with suppress(OSError, KeyError):
            self._senders[place].sendto(packet, (GROUPS[place.ip.version], PORT))

    async def receive(self) -> tuple[bytes, IP]:
        """Wait for a packet of an announcement's size from one of our networks."""
        while True:
            for sock in self._readers:
                try:
                    packet, source = sock.recvfrom(ANNOUNCEMENT_BYTES + 1)
                except OSError:
                    continue
                with suppress(OSError):  # the interface that it came by is gone
                    if len(packet) == ANNOUNCEMENT_BYTES and interfaces.is_near(
                        neighbourhood(str(ip := _source(source))), self._machine()
                    ):
                        await trio.lowlevel.checkpoint()
                        return packet, ip
                await trio.sleep(IGNORED_SECONDS)  # what comes meanwhile, the system drops
            async with trio.open_nursery() as nursery:
                for waited in (self._reopened.wait, *(partial(_readable, sock) for sock in self._readers)):
                    nursery.start_soon(_first, waited, nursery.cancel_scope)


async def _first(wait: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()


async def _readable(sock: socket.socket) -> None:
    with suppress(trio.ClosedResourceError):
        if (descriptor := sock.fileno()) >= 0:  # it may have been closed before this task's first turn
            await trio.lowlevel.wait_readable(descriptor)


def _source(came_from: tuple[Any, ...]) -> IP:
    """Return the address in what the system says about a sender; the scope is the interface's name."""
    bare = str(came_from[0]).partition("%")[0]
    if len(came_from) == 4 and came_from[3]:
        return ipaddress.IPv6Address(f"{bare}%{socket.if_indextoname(came_from[3])}")
    return ipaddress.ip_address(bare)


def _sender(ip: IP) -> socket.socket:
    sock = _udp(ip)
    try:
        if isinstance(ip, ipaddress.IPv6Address):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, _index(ip))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            sock.bind((str(ip).partition("%")[0], 0, 0, _index(ip)))
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, ip.packed)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            sock.bind((str(ip), 0))
    except OSError:
        sock.close()
        raise
    return sock


def _reader(ips: Sequence[IP]) -> socket.socket:
    """Return a socket that is bound to the group of these addresses' networks, so that nothing else reaches it. Several
    nodes of a machine can have one. ips: all of version 4, or one of version 6.
    """
    sock, group = _udp(ips[0]), GROUPS[ips[0].version]
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        index = 0
        for ip in ips:
            if isinstance(ip, ipaddress.IPv6Address):
                index = _index(ip)
                joined = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + ip.packed)
        sock.bind((group, PORT, 0, index) if index else (group, PORT))
    except OSError:
        sock.close()
        raise
    return sock


def _udp(ip: IP) -> socket.socket:
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    return sock


def _index(ip: ipaddress.IPv6Address) -> int:
    return socket.if_nametoindex(ip.scope_id or "")
