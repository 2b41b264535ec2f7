"""Addresses: as text, as bytes for invites, and which of our own to hand out.

An *address* is the text `/ip4/A/tcp/N` or `/ip6/A/tcp/N`, one spelling for each. A *full address* has `/p2p/<peer id>`
at its end; it is what people see and type. A *peer* is the 32-byte Ed25519 public key of a transport key; its peer id
is the key itself, inlined (libp2p peer-ids specification): base58 of `00 24 08 01 12 20 || key`, and so always begins
with `12D3Koo`.

The binary form is the multiaddr specification's: ip4 = 04 + 4 bytes, ip6 = 29 + 16 bytes, tcp = 06 + 2 bytes.

Nothing here imports libp2p: parsing hostile bytes needs only a few lines, and those are stricter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import base58
import ifaddr

from p2pchat.errors import BadAddress, CannotOpen

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_LISTEN = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")

_PEER_ID_PREFIX = bytes.fromhex("002408011220")
_IP4, _IP6, _TCP = 0x04, 0x29, 0x06
_PACKED_LENGTHS = {_IP4: 8, _IP6: 20}
MAX_PACKED = 20
MAX_TEXT = 128

_VIRTUAL = (
    *("docker", "podman", "br-", "veth", "virbr", "vnet", "lxc", "lxdbr", "cni", "flannel", "cali", "kube", "vmnet"),
    *("vboxnet", "tun", "tap", "utun", "wg", "tailscale", "zt", "ppp", "ipsec", "nordlynx", "proton", "mullvad", "ham"),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a TCP connection goes or a socket listens."""

    ip: IP
    port: int

    def text(self) -> str:
        return f"/ip{self.ip.version}/{self.ip}/tcp/{self.port}"


@dataclass(frozen=True, slots=True)
class Interface:
    """One address of one network interface of this machine."""

    name: str
    ip: IP

    @property
    def virtual(self) -> bool:
        """A bridge, a container or a VPN: nobody outside this machine, or outside that VPN, can dial it."""
        return self.name.startswith(_VIRTUAL)


# --- text ---------------------------------------------------------------------------------------------------------


def parse(text: str) -> Endpoint:
    """Read an address. Raises BadAddress for anything but /ip4|ip6/…/tcp/N, also for a peer id at its end."""
    parts = text.split("/") if len(text) <= MAX_TEXT else []
    if len(parts) != 5 or parts[0] or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp":
        raise BadAddress(f"{_shown(text)} is not an address p2pchat can use")
    try:
        ip: IP = ipaddress.IPv4Address(parts[2]) if parts[1] == "ip4" else ipaddress.IPv6Address(parts[2])
    except ValueError:
        raise BadAddress(f"{_shown(text)} has no valid IP address") from None
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
        raise BadAddress(f"{_shown(text)} names an interface of one machine")
    if not (parts[4].isascii() and parts[4].isdigit() and len(parts[4]) <= 5 and int(parts[4]) < 65536):
        raise BadAddress(f"{_shown(text)} has no valid port")
    return Endpoint(ip, int(parts[4]))


def full(peer: bytes, address: str) -> str:
    """The text for people: `address` with whose it is."""
    return f"{address}/p2p/{peer_id(peer)}"


def peer_id(peer: bytes) -> str:
    """The `12D3Koo…` text of a 32-byte key."""
    return base58.b58encode(multihash(peer)).decode("ascii")


def multihash(peer: bytes) -> bytes:
    """The binary peer id of a 32-byte key."""
    if len(peer) != 32:
        raise ValueError("a transport key has 32 bytes")
    return _PEER_ID_PREFIX + peer


def peer_from_multihash(raw: bytes) -> bytes | None:
    """The key inside a binary peer id, or None where it is not an inlined Ed25519 key."""
    return raw[6:] if len(raw) == 38 and raw.startswith(_PEER_ID_PREFIX) else None


def _shown(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


# --- bytes, for invites -------------------------------------------------------------------------------------------


def pack(address: str) -> bytes:
    """The binary form, 8 or 20 bytes. Raises BadAddress."""
    endpoint = parse(address)
    code = _IP4 if endpoint.ip.version == 4 else _IP6
    return bytes([code]) + endpoint.ip.packed + bytes([_TCP]) + endpoint.port.to_bytes(2, "big")


def unpack(raw: bytes) -> str:
    """The address in hostile bytes. Raises CannotOpen for every other length, protocol or order, or an address that
    may not be dialled."""
    if not raw or len(raw) != _PACKED_LENGTHS.get(raw[0]) or raw[-3] != _TCP:
        raise CannotOpen("not an address")
    packed = raw[1:-3]
    ip: IP = ipaddress.IPv4Address(packed) if raw[0] == _IP4 else ipaddress.IPv6Address(packed)
    endpoint = Endpoint(ip, int.from_bytes(raw[-2:], "big"))
    if not dialable(endpoint):
        raise CannotOpen("an address that cannot be dialled")
    return endpoint.text()


# --- judging ------------------------------------------------------------------------------------------------------


def dialable(endpoint: Endpoint) -> bool:
    """Whether we dial it at all.

    Private and loopback addresses are fine: contacts on one network, or one machine, hand them out on purpose.
    Unspecified, multicast, broadcast and reserved ones lead to no single peer; an IPv6 link-local one means nothing
    without its interface; an IPv4 address in IPv6 clothing is a second spelling that hides what it is.
    """
    ip = endpoint.ip
    if endpoint.port == 0 or ip.is_unspecified or ip.is_multicast:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not ip.is_reserved and ip.packed[0] != 0
    return not ip.is_link_local and ip.ipv4_mapped is None


def neighbourhood(ip: str) -> str:
    """What counts as one place when we limit connections: an IPv4 address, or an IPv6 /64, since one customer has all
    of those."""
    try:
        parsed = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return parsed.packed[:8].hex()


# --- our own ------------------------------------------------------------------------------------------------------


def interfaces() -> tuple[Interface, ...]:
    """Every address of every network interface, as the system lists them."""
    found = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            found.append(Interface(adapter.name, ipaddress.ip_address(text.partition("%")[0])))
    return tuple(found)


def expand(bound: Iterable[Endpoint], here: Sequence[Interface] | None = None) -> tuple[str, ...]:
    """The addresses others can dial, best first, of the endpoints we listen on.

    0.0.0.0 and :: become the machine's own addresses of that kind. Loopback remains only where nothing else is left.
    `here`: for tests; otherwise the system is asked.
    """
    machine = interfaces() if here is None else here
    reachable: dict[Endpoint, None] = {}
    for endpoint in bound:
        ips: list[IP] = [endpoint.ip]
        if endpoint.ip.is_unspecified:
            ips = [interface.ip for interface in machine if interface.ip.version == endpoint.ip.version]
        for ip in ips:
            if dialable(Endpoint(ip, endpoint.port)):
                reachable[Endpoint(ip, endpoint.port)] = None
    beyond = [endpoint for endpoint in reachable if not endpoint.ip.is_loopback]
    virtual = {interface.ip for interface in machine if interface.virtual}
    ranked = sorted(beyond or reachable, key=lambda endpoint: (endpoint.ip in virtual, _rank(endpoint.ip)))
    return tuple(endpoint.text() for endpoint in ranked)


def for_invite(
    candidates: Sequence[str], *, observed: Sequence[str] = (), here: Sequence[Interface] | None = None
) -> tuple[str, ...]:
    """The few addresses worth the room in an invite (protocol, "Invite"): a global IPv6, a public IPv4, a private one.

    `candidates`: what `Host.addresses` says. `observed`: public addresses others saw us at, with the port we listen on.
    Bridges, containers and VPNs are left out; loopback and the like are used only where there is nothing else.
    """
    machine = interfaces() if here is None else here
    virtual = {interface.ip for interface in machine if interface.virtual}
    endpoints = [parse(address) for address in (*candidates, *observed)]
    usable = [endpoint for endpoint in endpoints if dialable(endpoint) and endpoint.ip not in virtual]
    chosen: dict[str, Endpoint] = {}
    for endpoint in sorted(usable, key=lambda endpoint: _rank(endpoint.ip)):
        kind = "private" if not endpoint.ip.is_global else f"public{endpoint.ip.version}"
        if not _last_resort(endpoint.ip):
            chosen.setdefault(kind, endpoint)
    if chosen:
        return tuple(endpoint.text() for endpoint in chosen.values())
    return tuple(endpoint.text() for endpoint in usable[:1])


def _rank(ip: IP) -> int:
    """Lower is better."""
    if ip.is_global:
        return 0 if ip.version == 6 else 1
    if _last_resort(ip):
        return 4
    return 2 if ip.version == 4 else 3


def _last_resort(ip: IP) -> bool:
    return ip.is_loopback or ip.is_link_local
