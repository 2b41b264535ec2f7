"""Addresses as text and as bytes, and what an IP address says about where it leads.

An *address* is a text with one spelling, of up to four parts:

    /ip4/A/tcp/N  /ip6/A/tcp/N  /dns4/NAME/tcp/N  /dns6/…  /dns/…     where
    /ip6zone/INTERFACE/ip6/A/tcp/N                                    a link-local A; means nothing on another machine
    /onion3/<56 of a-z and 2-7>:N                                     an onion service, for raw TCP through Tor
    (nothing: raw TCP)  /ws  /wss                                     what is spoken there (/tls/ws is read as /wss)
    /pt/NAME/K=V;…                                                    in what disguise, in place of these (`pluggable`)
    /pass/<16 of a-z and 2-7>                                         what opens a relay with a token (`core.names`)
    /p2p/<peer id>/p2p-circuit                                        not the peer itself, but a relay that leads to it

A *full address* has `/p2p/<peer id>` at its end; it is what people see and type. The *line* of a relay is its full
address and, where its operator asks for one, `#` and the token that opens it. A *peer* is the 32-byte Ed25519 public
key of a transport key; its peer id is the key itself, inlined (libp2p peer-ids specification): base58 of
`00 24 08 01 12 20 || key`, and so always begins with `12D3Koo`.

The binary form is the multiaddr specification's, and has at most 192 bytes.

Nothing here imports libp2p: parsing hostile bytes needs only a few lines, and those are stricter.
"""

from __future__ import annotations

import base64
import ipaddress
import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

import base58

from p2pchat.core.ids import PeerKey
from p2pchat.core.names import PASS
from p2pchat.errors import BadAddress, CannotOpen
from p2pchat.net import onions
from p2pchat.net.pluggable import PluggableTransport, read_transport, words_of

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

log = logging.getLogger(__name__)

DEFAULT_LISTEN = ("/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0")

MAX_REMEMBERED = 1024
"""IP addresses whose properties are cached."""
_PEER_ID_PREFIX = bytes.fromhex("002408011220")
_PEER_ID_LENGTH = 52
MAX_PACKED = 192
MAX_TEXT = 384
MIN_PUNCHED_PORT = 1024
"""Routers keep the range of a port (RFC 4787, REQ-3), and no node listens below this by itself."""
_SHOWN = 128

# Names of multiaddr's protocols and their codes, as the unsigned varints that stand in the binary form.
_HOSTS = {"ip4": b"\x04", "ip6": b"\x29", "dns": b"\x35", "dns4": b"\x36", "dns6": b"\x37"}
ONION = "onion3"
_ONION_CODE = b"\xbd\x03"
_ONION_TEXT = re.compile(r"([a-z2-7]{56}):([0-9]{1,5})")
_OVER = {"tcp": b"", "ws": b"\xdd\x03", "wss": b"\xde\x03"}
_TCP, _P2P, _CIRCUIT = b"\x06", b"\xa5\x03\x26", b"\xa2\x02"
_PASS = b"\x81\x80\xc0\x01"  # 0x300001, from the range for private use
_TRANSPORT = b"\x82\x80\xc0\x01"  # 0x300002, from there too
_BY_RELAY = "relay "
_IPV6_PLACE_BYTES = 8
_PASS_TEXT = re.compile(r"[a-z2-7]{16}")
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_ZONE = re.compile(r"[A-Za-z0-9_.:-]{1,15}")
_NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?")

# RFC 1918, 1122 (loopback), 3927 (link-local), 6598 (behind a carrier's NAT); RFC 4291 and 4193 for IPv6
_LOCAL: tuple[IPNetwork, ...] = (
    *map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16")),
    *map(ipaddress.IPv4Network, ("100.64.0.0/10",)),
    *map(ipaddress.IPv6Network, ("::1/128", "fe80::/10", "fc00::/7")),
)
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """Where a TCP connection goes or a socket listens."""

    ip: IP
    port: int

    def text(self) -> str:
        """Return the multiaddr."""
        return f"/ip{self.ip.version}/{self.ip}/tcp/{self.port}"


@dataclass(frozen=True, slots=True)
class Name:
    """A host by its name. `kind`: "dns4" and "dns6" ask DNS for addresses of that version only, "dns" for both. A name
    of kind `ONION`, "….onion", is never looked up: only Tor leads there.
    """

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Target:
    """What an address means: where to connect, the transport ("tcp", "ws", "wss"), the pass (b"": none), and the relay
    to go through (its peer key; None: the peer itself is there). pluggable: the transport that the connection is
    disguised by, without which nothing is dialled; None: without.
    """

    host: IP | Name
    port: int
    over: str = "tcp"
    relay: PeerKey | None = None
    relay_pass: bytes = field(default=b"", repr=False)
    pluggable: PluggableTransport | None = None

    def text(self) -> str:
        """Return the multiaddr, without the peer at its end."""
        if isinstance(self.host, Name):
            kind, host = self.host.kind, self.host.name
        else:
            kind, host = _of(self.host)
        over = "" if self.over == "tcp" else f"/{self.over}"
        if self.pluggable is not None:
            over = f"/pt/{self.pluggable.name}/{self.pluggable.text()}"
        opened = f"/pass/{base64.b32encode(self.relay_pass).decode('ascii').lower()}" if self.relay_pass else ""
        relay = "" if self.relay is None else f"/p2p/{peer_id(self.relay)}/p2p-circuit"
        where = f"{host.removesuffix('.onion')}:{self.port}" if kind == ONION else f"{host}/tcp/{self.port}"
        return f"/{kind}/{where}{over}{opened}{relay}"

    @property
    def by_tor(self) -> bool:
        """Whether only Tor leads there, to the peer or to the relay of a circuit."""
        return isinstance(self.host, Name) and self.host.kind == ONION

    @property
    def dialable(self) -> bool:
        """See `dialable`; a DNS name is judged once it is resolved."""
        return self.port != 0 if isinstance(self.host, Name) else dialable(SocketAddress(self.host, self.port))


def parse(text: str) -> SocketAddress:
    """Read an address that a socket can listen on. Raises BadAddress for anything but /ip4|ip6/…/tcp/N."""
    target = parse_target(text)
    beside = target.over != "tcp" or target.relay is not None or target.relay_pass or target.pluggable is not None
    if isinstance(target.host, Name) or beside:
        raise BadAddress(f"{_shown(text)} is not an address p2pchat can listen on")
    return SocketAddress(target.host, target.port)


def parse_target(text: str) -> Target:
    """Read any address. Raises BadAddress, also for a peer id at its end."""
    parts = text.split("/") if len(text) <= MAX_TEXT else []
    zone = ""
    if parts[1:2] == ["ip6zone"] and parts[3:4] == ["ip6"] and _ZONE.fullmatch(parts[2]):
        zone, parts = parts[2], ["", *parts[3:]]
    onion = _ONION_TEXT.fullmatch(parts[2]) if parts[:2] == ["", ONION] and len(parts) > 2 else None
    if onion is not None:
        parts = ["", ONION, onion[1], "tcp", onion[2], *parts[3:]]
    elif len(parts) < 5 or parts[0] or parts[1] not in _HOSTS or parts[3] != "tcp":
        raise BadAddress(f"{_shown(text)} is not an address p2pchat can use")
    rest = ["wss", *parts[7:]] if parts[5:7] == ["tls", "ws"] else parts[5:]
    over = rest.pop(0) if rest and rest[0] in ("ws", "wss") else "tcp"
    relay, relay_pass, pluggable = None, b"", None
    # with an IP address only: a name would be looked up by a program that we know little of
    if over == "tcp" and len(rest) > 2 and rest[0] == "pt" and parts[1] in ("ip4", "ip6"):
        pluggable, rest = _pluggable(text, rest[1], rest[2]), rest[3:]
    if len(rest) > 1 and rest[0] == "pass" and _PASS_TEXT.fullmatch(rest[1]):
        relay_pass, rest = base64.b32decode(rest[1].upper()), rest[2:]
    if onion is not None and over != "tcp":
        raise BadAddress(
            f"{_shown(text)} is not an address p2pchat can use", hint="An onion service needs no WebSocket."
        )
    if len(rest) == 3 and rest[0] == "p2p" and rest[2] == "p2p-circuit":
        relay = peer_from_id(rest[1])
    elif rest:
        raise BadAddress(f"{_shown(text)} is not an address p2pchat can use")
    if not (parts[4].isascii() and parts[4].isdigit() and len(parts[4]) <= 5 and int(parts[4]) < 65536):
        raise BadAddress(f"{_shown(text)} has no valid port")
    return Target(_host(text, parts[1], parts[2], zone), int(parts[4]), over, relay, relay_pass, pluggable)


def _pluggable(text: str, name: str, arguments: str) -> PluggableTransport:
    try:
        return read_transport(name, arguments)
    except ValueError:
        raise BadAddress(f"{_shown(text)} has no valid pluggable transport") from None


def _host(text: str, kind: str, written: str, zone: str = "") -> IP | Name:
    if kind == ONION:
        try:
            return Name(ONION, onions.name_of(onions.bytes_of(written)))
        except ValueError:
            hint = "Copy it again: Tor has it in the file `hostname`."
            raise BadAddress(f"{_shown(text)} has no valid onion address", hint=hint) from None
    if kind.startswith("dns"):
        name = written.lower()
        if not _NAME.fullmatch(name):
            raise BadAddress(f"{_shown(text)} has no valid name")
        if name.endswith(".onion"):  # RFC 7686: never to be looked up
            raise BadAddress(f"{_shown(text)} names an onion service", hint="Write it as /onion3/NAME:PORT, no .onion.")
        return Name(kind, name)
    try:
        ip: IP = ipaddress.IPv4Address(written) if kind == "ip4" else ipaddress.IPv6Address(written)
    except ValueError:
        raise BadAddress(f"{_shown(text)} has no valid IP address") from None
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
        raise BadAddress(f"{_shown(text)} names an interface of one machine")
    if zone:
        if not ip.is_link_local:
            raise BadAddress(f"{_shown(text)} names an interface for an address that needs none")
        return ipaddress.IPv6Address(f"{ip}%{zone}")
    return ip


def _of(ip: IP) -> tuple[str, str]:
    """Return what stands before an IP address in a multiaddr, and the address."""
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
        return f"ip6zone/{ip.scope_id}/ip6", str(ip).partition("%")[0]
    return f"ip{ip.version}", str(ip)


def parse_full(text: str) -> tuple[PeerKey, str]:
    """Read a full address into (peer, address). Raises BadAddress, also where it cannot be dialled."""
    address, separator, peer_id = text.strip().rpartition("/p2p/")
    if not separator:
        raise BadAddress(f"{_shown(text)} does not say whose address it is", hint="It must end in /p2p/<peer id>.")
    target = parse_target(address)
    if not target.dialable:
        raise BadAddress(f"{_shown(text)} cannot be dialled")
    return peer_from_id(peer_id), target.text()


def parse_relay(text: str) -> tuple[PeerKey, str, bytes]:
    """Read the line of a relay into (peer, address, token); the token is b"" where there is none. Raises BadAddress."""
    line, hash_, token = text.strip().partition("#")
    if hash_ and not is_token(token):
        raise BadAddress(
            "The text after the # is not a relay's token", hint="It has 1 to 64 letters, digits and any of . _ ~ -"
        )
    peer, address = parse_full(line)
    if parse_target(address).relay is not None:
        raise BadAddress(
            f"{_shown(line)} leads to a peer through a relay",
            hint="Give an address at which the relay itself is reached.",
        )
    return peer, address, token.encode("ascii")


def relay_line(peer: PeerKey, address: str, token: bytes = b"") -> str:
    """Return the line that people are given to use a relay, which `parse_relay` reads. token: b"" if it needs none."""
    return full(peer, address) + (f"#{token.decode('ascii')}" if token else "")


def is_token(text: str) -> bool:
    """Return whether `text` can be a relay's token: 1 to 64 characters that need no escaping in a URL."""
    return _TOKEN.fullmatch(text) is not None


def circuit(address: str, relay: PeerKey) -> str:
    """Return the address that leads to a peer by the relay at `address`. Raises BadAddress where that is a circuit
    itself.
    """
    target = parse_target(address)
    if target.relay is not None:
        raise BadAddress(f"{_shown(address)} is a circuit already")
    return replace(target, relay=relay).text()


def with_pass(addresses: Iterable[str], relay_pass: bytes) -> tuple[str, ...]:
    """Return the addresses of a relay with its pass in each; a pass of b"" changes nothing."""
    return tuple(replace(parse_target(address), relay_pass=relay_pass).text() for address in addresses)


def pass_of(addresses: Iterable[str]) -> bytes:
    """Return the pass in the first of a relay's addresses that holds one, b"" where none does."""
    return next(filter(None, (parse_target(address).relay_pass for address in addresses)), b"")


def with_websockets(addresses: Iterable[str], *, chosen: bool = True) -> list[str]:
    """Return, after every raw address, that address with /ws, once each: relays serve WebSocket on the same port. An
    onion service has none, since nothing within Tor hinders raw TCP, and nothing in disguise has one.

    Where the addresses were not `chosen`, somebody else named them. Then a local one gets no twin: no machine in a
    house or a company is sent an HTTP request because a contact says so.
    """
    twins: dict[str, None] = {}
    for target in map(parse_target, addresses):
        twins[target.text()] = None
        plain = target.over == "tcp" and not target.by_tor and target.pluggable is None
        if plain and (chosen or isinstance(target.host, Name) or not is_local(target.host)):
            twins[replace(target, over="ws").text()] = None
    return list(twins)


def full(peer: PeerKey, address: str) -> str:
    """Return `address` with its peer at the end, as people read it."""
    return f"{address}/p2p/{peer_id(peer)}"


def peer_id(peer: PeerKey) -> str:
    """Return the `12D3Koo…` text of a 32-byte key (libp2p peer-ids/peer-ids.md)."""
    return base58.b58encode(multihash(peer)).decode("ascii")


def peer_from_id(text: str) -> PeerKey:
    """Return the 32-byte key inside a peer id. Raises BadAddress where it holds no inlined Ed25519 key."""
    try:
        raw = base58.b58decode(text) if len(text) == _PEER_ID_LENGTH else b""
    except ValueError:
        raw = b""
    peer = peer_from_multihash(raw)
    if peer is None or peer_id(peer) != text:
        raise BadAddress(f"{_shown(text)} is not a peer id p2pchat can use", hint="It begins with 12D3Koo.")
    return peer


def multihash(peer: PeerKey) -> bytes:
    """Return the binary peer id of a 32-byte key."""
    if len(peer) != 32:
        raise ValueError("a transport key has 32 bytes")
    return _PEER_ID_PREFIX + peer


def peer_from_multihash(raw: bytes) -> PeerKey | None:
    """Return the 32-byte key inside a binary peer id, or None where it is not an inlined Ed25519 key."""
    return PeerKey(raw[6:]) if len(raw) == 38 and raw.startswith(_PEER_ID_PREFIX) else None


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


# --- bytes, for invites -------------------------------------------------------------------------------------------


def pack(address: str) -> bytes:
    """Return an address in its short binary form (docs/protocol/encoding.md). Raises BadAddress."""
    target = parse_target(address)
    where = _TCP + target.port.to_bytes(2, "big")
    if isinstance(target.host, Name) and target.by_tor:
        host = _ONION_CODE + onions.bytes_of(target.host.name)
        where = target.port.to_bytes(2, "big")
    elif isinstance(target.host, Name):
        name = target.host.name.encode("ascii")
        host = _HOSTS[target.host.kind] + bytes([len(name)]) + name
    else:
        kind, _ = _of(target.host)
        if kind not in _HOSTS:
            raise BadAddress(f"{_shown(address)} means nothing on another machine")
        host = _HOSTS[kind] + target.host.packed
    relay = b"" if target.relay is None else _P2P + multihash(target.relay) + _CIRCUIT
    disguise = b"" if target.pluggable is None else _TRANSPORT + target.pluggable.packed()
    opened = _PASS + target.relay_pass if target.relay_pass else b""
    packed = host + where + _OVER[target.over] + disguise + opened + relay
    if len(packed) > MAX_PACKED:
        raise BadAddress(f"{_shown(address)} is too long")
    return packed


def pack_full(peer: PeerKey, address: str) -> bytes:
    """Return a full address in the multiaddr format's binary form, for peers with other programs. Raises BadAddress."""
    return pack(address) + _P2P + multihash(peer)


def unpack(raw: bytes) -> str:
    """Return the address in hostile bytes. Raises CannotOpen for every other length, protocol or order, and for an
    address that may not be dialled.
    """
    text = _unpacked(raw) if 0 < len(raw) <= MAX_PACKED else None
    try:
        target = None if text is None else parse_target(text)
    except BadAddress:
        target = None
    if target is None or pack(target.text()) != raw:  # one spelling only
        raise CannotOpen("not an address")
    if not target.dialable:
        raise CannotOpen("an address that cannot be dialled")
    return target.text()


def unpack_known(packed: Iterable[bytes], *, circuits: bool = True) -> tuple[str, ...]:
    """Return those of these hostile addresses that are of a kind known here, without circuits if so wished."""
    addresses = []
    for raw in packed:
        try:
            address = unpack(raw)
        except CannotOpen:
            log.info("an address of a kind not known here was left out")
            continue
        if circuits or parse_target(address).relay is None:
            addresses.append(address)
    return tuple(addresses)


MAX_READ = 32
"""Addresses that are read of all that a peer of the public network names: most are for transports that we lack,"""
MAX_KEPT = 4
"""and kept of these."""


def readable(packed: Sequence[bytes]) -> tuple[str, ...]:
    """Return those of hostile addresses that can be dialled without a relay, Tor or disguise, `MAX_KEPT` at most."""
    addresses: dict[str, None] = {}
    for raw in packed[:MAX_READ]:
        with suppress(CannotOpen):
            address = unpack(raw)
            target = parse_target(address)
            if target.relay is None and not target.by_tor and target.pluggable is None:
                addresses[address] = None
    return tuple(addresses)[:MAX_KEPT]


def _unpacked(raw: bytes) -> str | None:
    start = _unpacked_onion(raw) if raw.startswith(_ONION_CODE) else _unpacked_host(raw)
    if start is None:
        return None
    text, rest = start
    for over in ("ws", "wss"):
        if rest.startswith(_OVER[over]):
            text, rest = f"{text}/{over}", rest[2:]
            break
    if rest.startswith(_TRANSPORT):
        disguise, rest = words_of(rest[len(_TRANSPORT) :])
        text += f"/pt/{disguise}"
    if rest.startswith(_PASS):
        relay_pass, rest = rest[len(_PASS) : len(_PASS) + PASS], rest[len(_PASS) + PASS :]
        text += f"/pass/{base64.b32encode(relay_pass).decode('ascii').lower()}"
    if rest:
        relay = peer_from_multihash(rest[len(_P2P) : -len(_CIRCUIT)])
        if relay is None or not rest.startswith(_P2P) or not rest.endswith(_CIRCUIT):
            return None
        text += f"/p2p/{peer_id(relay)}/p2p-circuit"
    return text


def _unpacked_onion(raw: bytes) -> tuple[str, bytes] | None:
    begin = len(_ONION_CODE)
    end = begin + onions.ONION_BYTES
    onion, port = raw[begin:end], raw[end : end + 2]
    if len(port) != 2:
        return None
    return f"/{ONION}/{onions.letters_of(onion)}:{int.from_bytes(port, 'big')}", raw[end + 2 :]


def _unpacked_host(raw: bytes) -> tuple[str, bytes] | None:
    kind = next((kind for kind, code in _HOSTS.items() if raw[:1] == code), None)
    if kind is None:
        return None
    begin = 1 if kind.startswith("ip") else 2
    end = begin + (4 if kind == "ip4" else 16 if kind == "ip6" else raw[1] if len(raw) > 1 else 0)
    host, tcp, port, rest = raw[begin:end], raw[end : end + 1], raw[end + 1 : end + 3], raw[end + 3 :]
    if len(host) != end - begin or tcp != _TCP or len(port) != 2:
        return None
    if kind.startswith("dns"):
        written = host.decode("ascii", "replace")
    else:
        written = str(ipaddress.IPv4Address(host) if kind == "ip4" else ipaddress.IPv6Address(host))
    return f"/{kind}/{written}/tcp/{int.from_bytes(port, 'big')}", rest


# --- judging ------------------------------------------------------------------------------------------------------


def dialable(endpoint: SocketAddress) -> bool:
    """Return whether we are willing to dial the endpoint.

    Private and loopback addresses are fine: contacts on one network, or one machine, hand them out on purpose.
    Unspecified, multicast, broadcast and reserved ones lead to no single peer; an IPv6 link-local one means nothing
    without its interface; an IPv4 address in IPv6 clothing is a second spelling that hides what it is.
    """
    ip = endpoint.ip
    if endpoint.port == 0 or ip.is_unspecified or ip.is_multicast:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not ip.is_reserved and ip.packed[0] != 0
    return (not ip.is_link_local or ip.scope_id is not None) and ip.ipv4_mapped is None


def punchable(endpoint: SocketAddress) -> bool:
    """Return whether an address may be one at which somebody is seen through a router: a public one, at a port that a
    router gives away. It is dialled at a contact's word, so services below port 1024 are left in peace, and so is what
    leads elsewhere than it says (6to4, Teredo, NAT64).
    """
    return endpoint.port >= MIN_PUNCHED_PORT and dialable(endpoint) and is_public(endpoint.ip)


def is_public(ip: IP) -> bool:
    """Return whether an address is that of one machine on the internet, wherever one is: not local, multicast or
    reserved, and none that leads elsewhere than it says (6to4, Teredo, NAT64, IPv4 in IPv6 clothing).
    """
    if _public(str(ip)) is None or is_local(ip):
        return False
    return ip.version == 4 or (ip in _GLOBAL_IPV6 and ip.sixtofour is None and ip.teredo is None)


def is_local(ip: IP) -> bool:
    """Return whether an address has a different meaning on every network: private, loopback, link-local, or behind
    carrier-grade NAT.
    """
    return local_block(ip) is not None


def is_everywhere(address: str) -> bool:
    """Return whether an address looks like one that can be dialled from the whole internet."""
    host = parse_target(address).host
    return isinstance(host, Name) or host.is_global


def local_block(ip: IP) -> IPNetwork | None:
    """Return the block of local addresses that `ip` is in; None for a public one."""
    return next((block for block in _LOCAL if ip in block), None)


def local_blocks(addresses: Iterable[str]) -> frozenset[IPNetwork]:
    """Return the blocks of local addresses that these addresses are in."""
    hosts = [parse_target(address).host for address in addresses]
    blocks = [local_block(host) for host in hosts if not isinstance(host, Name)]
    return frozenset(block for block in blocks if block is not None)


@lru_cache(MAX_REMEMBERED)
def beyond(addresses: tuple[str, ...], near: frozenset[IPNetwork] = frozenset()) -> tuple[str, ...]:
    """Return those of the addresses that a stranger names which may be dialled and passed on: public ones, names, and
    local ones in the blocks `near`. Whatever else they name is a machine of somebody who does not take part.
    """
    fitting = []
    for address in addresses:
        host = parse_target(address).host
        if isinstance(host, Name) or is_public(host) or local_block(host) in near:
            fitting.append(address)
    return tuple(fitting)


@lru_cache(MAX_REMEMBERED)
def neighbourhood(ip: str) -> str:
    """Return what counts as one place when limiting strangers (`admission.places`): an IPv4 address, also one mapped
    into IPv6, or the 16 hex digits of an IPv6 /64, since one customer has all of those addresses.
    """
    try:
        parsed = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return parsed.packed[:_IPV6_PLACE_BYTES].hex()
        parsed = parsed.ipv4_mapped
    return str(parsed)


def family_of(place: str) -> str:
    """Return `IPv4` or `IPv6` for a place on the network (`neighbourhood`), or "" if it is none."""
    with suppress(ValueError):
        return f"IPv{ipaddress.IPv4Address(place).version}"
    with suppress(ValueError):
        return "IPv6" if len(bytes.fromhex(place)) == _IPV6_PLACE_BYTES else ""
    return ""


def place_of_relay(relay: PeerKey) -> str:
    """Return what counts as the place of whoever comes over a circuit through this relay."""
    return f"{_BY_RELAY}{peer_id(relay)}"


def relay_of(place: str) -> PeerKey:
    """Return the relay whose place `place_of_relay` has named."""
    return peer_from_id(place.removeprefix(_BY_RELAY))


def from_outside(here: str, there: str) -> bool:
    """Return whether a connection from the IP address `there` to `here` proves that we can be reached from the
    internet: both are public, and not in the same network.
    """
    end = _public(here)
    other = None if end is None else _public(there)
    if end is None or other is None or end.version != other.version:
        return False
    near = 3 if end.version == 4 else 6
    return end.packed[:near] != other.packed[:near]


@lru_cache(MAX_REMEMBERED)
def _public(ip: str) -> IP | None:
    """Return the address if it is public, else None."""
    try:
        parsed = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    return parsed if parsed.is_global and not parsed.is_multicast else None
