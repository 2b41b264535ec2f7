"""The network interfaces of this machine: which of its addresses to give out, and which addresses of others to dial."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import ifaddr

from p2pchat.net.multiaddrs import IP, Name, SocketAddress, Target, dialable, local_block, parse, parse_target

_MAX_RELAYS = 2
_VIRTUAL = (
    *("docker", "podman", "br-", "veth", "virbr", "vnet", "lxc", "lxdbr", "cni", "flannel", "cali", "kube", "vmnet"),
    *("vboxnet", "tun", "tap", "utun", "wg", "tailscale", "zt", "ppp", "ipsec", "nordlynx", "proton", "mullvad", "ham"),
)


@dataclass(frozen=True, slots=True)
class Interface:
    """One address of one network interface of this machine. prefix: how many of its bits name its network; None where
    the system does not say.
    """

    name: str
    ip: IP
    prefix: int | None = None

    @property
    def virtual(self) -> bool:
        """Whether it belongs to a bridge, a container or a VPN: nobody outside this machine or that VPN can dial it."""
        return self.name.startswith(_VIRTUAL)


def dialled_for_others(ip: IP, here: Collection[Interface], *, relay: bool) -> bool:
    """Return whether an address that somebody else named is dialled from this machine, whose addresses are `here`.
    Without this rule others could have us try the ports of any network that we can reach.

    A local address is dialled where this machine has an address in the same block of private addresses, since people of
    one house or one company meet there; a `relay` must be on the very network. Loopback is dialled by a node that is to
    be found there itself: it is in `here` then.
    """
    block = local_block(ip)
    if block is None:
        return True
    near = [interface for interface in here if interface.ip in block]
    if not relay or ip.is_loopback:
        return bool(near)
    return any(_contains(interface, ip) for interface in near)


INTERFACES_SECONDS = 5.0
"""How long a list of the interfaces is reused, in seconds: the system takes a millisecond to make one, as long as the
rest of a dial.
"""


def _ask_system() -> tuple[Interface, ...]:
    listed = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            listed.append(Interface(adapter.name, ipaddress.ip_address(text.partition("%")[0]), entry.network_prefix))
    return tuple(listed)


class Interfaces:
    """Every address of every network interface, as the system lists them; at most `INTERFACES_SECONDS` old."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        ask: Callable[[], tuple[Interface, ...]] = _ask_system,
    ) -> None:
        self._clock = clock
        self._ask = ask
        self._listed: tuple[Interface, ...] = ()
        self._until = -inf

    def expire(self) -> None:
        """Ask the system at the next call: something has changed."""
        self._until = -inf

    def __call__(self) -> tuple[Interface, ...]:
        """Return the machine's addresses, from the cache while it is fresh."""
        if self._clock() >= self._until:
            with suppress(OSError):  # no file descriptor is free, say: the old list is the best there is
                self._listed = self._ask()
            self._until = self._clock() + INTERFACES_SECONDS
        return self._listed


current = Interfaces()


def is_near(place: str, machine: Sequence[Interface] | None = None) -> bool:
    """Return whether a place (`multiaddrs.neighbourhood`) is in a local network of this machine, on one of its own
    interfaces, so that no router lies between. Loopback is not.
    """
    try:
        ip: IP = (
            ipaddress.IPv6Address(bytes.fromhex(place) + bytes(8)) if len(place) == 16 else ipaddress.IPv4Address(place)
        )
    except ValueError:
        return False
    if local_block(ip) is None or ip.is_loopback:
        return False
    return ip.is_link_local or any(_contains(interface, ip) for interface in machine or current())


def _contains(interface: Interface, ip: IP) -> bool:
    prefix = interface.prefix
    return prefix is not None and ip in ipaddress.ip_network((interface.ip, prefix), strict=False)


def found_here(ours: Iterable[str], machine: Sequence[Interface] | None = None) -> tuple[Interface, ...]:
    """Return this machine's own addresses, for `dialled_for_others`: loopback only where `ours`, at which this node can
    be dialled, has it too.
    """
    alone = any(_is_loopback(parse_target(address)) for address in ours)
    listed = current() if machine is None else machine
    return tuple(interface for interface in listed if alone or not interface.ip.is_loopback)


def _is_loopback(target: Target) -> bool:
    return not isinstance(target.host, Name) and target.host.is_loopback


def expand(bound: Iterable[SocketAddress], here: Sequence[Interface] | None = None) -> tuple[str, ...]:
    """Return the addresses others can dial, best first, of the endpoints we listen on.

    0.0.0.0 and :: become the machine's own addresses of that kind. Loopback remains only where nothing else is left.
    here: for tests; otherwise the system is asked.
    """
    machine = current() if here is None else here
    reachable: dict[SocketAddress, None] = {}
    for endpoint in bound:
        ips: list[IP] = [endpoint.ip]
        if endpoint.ip.is_unspecified:
            ips = [interface.ip for interface in machine if interface.ip.version == endpoint.ip.version]
        for ip in ips:
            if dialable(SocketAddress(ip, endpoint.port)):
                reachable[SocketAddress(ip, endpoint.port)] = None
    beyond = [endpoint for endpoint in reachable if not endpoint.ip.is_loopback]
    virtual = {interface.ip for interface in machine if interface.virtual}
    ranked = sorted(beyond or reachable, key=lambda endpoint: (endpoint.ip in virtual, _rank(endpoint.ip)))
    return tuple(endpoint.text() for endpoint in ranked)


def for_invite(
    candidates: Sequence[str],
    *,
    observed: Sequence[str] = (),
    relays: Sequence[str] = (),
    here: Sequence[Interface] | None = None,
) -> tuple[str, ...]:
    """Choose the few addresses worth the room in an invite (docs/protocol/invite.md): a global IPv6, a public IPv4,
    circuits by at most two relays, a private one.

    candidates: what `Host.addresses` says. observed: public addresses others saw us at, with the port we listen on.
    relays: circuits we can be reached by, best first; one of each relay is taken. Bridges, containers and VPNs are left
    out; loopback and the like are used only where there is nothing else.
    """
    machine = current() if here is None else here
    virtual = {interface.ip for interface in machine if interface.virtual}
    endpoints = [parse(address) for address in (*candidates, *observed)]
    usable = [endpoint for endpoint in endpoints if dialable(endpoint) and endpoint.ip not in virtual]
    chosen: dict[str, SocketAddress] = {}
    for endpoint in sorted(usable, key=lambda endpoint: _rank(endpoint.ip)):
        kind = "private" if not endpoint.ip.is_global else f"public{endpoint.ip.version}"
        if not _last_resort(endpoint.ip):
            chosen.setdefault(kind, endpoint)
    direct = list(chosen.values()) or usable[:1]
    circuits: dict[bytes | None, str] = {}
    for target in map(parse_target, relays):
        if target.dialable and target.relay is not None:
            circuits.setdefault(target.relay, target.text())
    public = [endpoint.text() for endpoint in direct if endpoint.ip.is_global]
    private = [endpoint.text() for endpoint in direct if not endpoint.ip.is_global]
    return (*public, *list(circuits.values())[:_MAX_RELAYS], *private)


def _rank(ip: IP) -> int:
    """Return how suitable an address is for dialling; lower is better."""
    if ip.is_global:
        return 0 if ip.version == 6 else 1
    if _last_resort(ip):
        return 4
    return 2 if ip.version == 4 else 3


def _last_resort(ip: IP) -> bool:
    return ip.is_loopback or ip.is_link_local
