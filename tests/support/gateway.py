"""A router that opens ports, without sockets: `RouterAccess` for the tests. It speaks what it is told, and can lie."""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import trio

from p2pchat.net.mapping import nat_pmp, upnp
from p2pchat.net.mapping.access import NoRouter
from p2pchat.net.mapping.grants import Uplink
from p2pchat.net.mapping.http import HttpAnswer
from p2pchat.net.mapping.upnp import Location

HOME = Uplink(IPv4Address("192.168.1.2"), IPv4Address("192.168.1.1"))
PUBLIC = IPv4Address("11.0.3.2")
DESCRIBED = Location(5000, "/rootDesc.xml")
CONTROL = Location(5000, "/ctl/IPConn")
SERVICE = upnp.SERVICES[1]
DESCRIPTION = (
    '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><serviceList>{services}</serviceList>'
    "</device></root>"
)
FOUND = (
    "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    "LOCATION: {location}\r\n\r\n"
)


def service(control: str = "/ctl/IPConn", kind: str = SERVICE) -> str:
    """The element of a service in a description."""
    return f"<service><serviceType>{kind}</serviceType><controlURL>{control}</controlURL></service>"


def mapped(ip: IPv4Address) -> bytes:
    """An IPv4 address in the form of PCP."""
    return bytes(10) + b"\xff\xff" + ip.packed


@dataclass
class Gateway:
    """What it does: the protocols that it speaks, the address that it names, the seconds that it gives. ports: those
    that are open, outside → inside. taken: ports outside that belong to somebody else. error: how it refuses, as a PCP
    or NAT-PMP code, or a UPnP error. asked: what came, in short. lie: changes every packet that it sends.
    """

    speaks: set[str] = field(default_factory=lambda: {"PCP", "NAT-PMP", "UPnP"})
    public: IPv4Address = PUBLIC
    seconds: int = 3600
    permanent: bool = False
    error: int = 0
    taken: set[int] = field(default_factory=set)
    ports: dict[int, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    nonces: set[bytes] = field(default_factory=set)
    lie: Callable[[bytes], bytes] = lambda packet: packet

    # --- RouterAccess

    @asynccontextmanager
    async def asking(self, uplink: Uplink, port: int) -> AsyncIterator[_Talk]:
        assert (uplink, port) == (HOME, nat_pmp.PORT)
        yield _Talk(self._packet)

    @asynccontextmanager
    async def searching(self, uplink: Uplink) -> AsyncIterator[_Talk]:
        assert uplink == HOME
        yield _Talk(self._searched)

    async def fetch(
        self, uplink: Uplink, at: Location, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        await trio.lowlevel.checkpoint()
        if at == DESCRIBED and body is None:
            return HttpAnswer(200, self.lie(DESCRIPTION.format(services=service()).encode()))
        if at != CONTROL or body is None:
            raise NoRouter
        return self._act(body, dict(headers or {}))

    # --- what it does

    def _open(self, inside: int, outside: int, seconds: int) -> int:
        """Open or close a port; the port outside."""
        held = next((port for port, leads in self.ports.items() if leads == inside), 0)
        if not seconds:
            self.ports.pop(held, None)
            return 0
        while outside in self.taken:
            outside += 1
        outside = held or outside
        self.ports[outside] = inside
        return outside

    def _packet(self, packet: bytes) -> list[bytes]:
        if packet[0] == 2:
            return [self.lie(answer) for answer in self._pcp(packet)]
        if "NAT-PMP" not in self.speaks:
            return []
        if packet == bytes(2):
            self.asked.append("address")
            return [self.lie(struct.pack("!BBHI4s", 0, 128, self.error, 1, self.public.packed))]
        _, opcode, _, inside, outside, seconds = struct.unpack("!BBHHHI", packet)
        assert opcode == 2
        self.asked.append(f"NAT-PMP {inside} {seconds}")
        if self.error:
            return [self.lie(struct.pack("!BBHIHHI", 0, 130, self.error, 1, inside, 0, 0))]
        outside = self._open(inside, outside, seconds)
        return [self.lie(struct.pack("!BBHIHHI", 0, 130, 0, 1, inside, outside, min(seconds, self.seconds)))]

    def _pcp(self, packet: bytes) -> list[bytes]:
        if "PCP" not in self.speaks:
            return [struct.pack("!BBHI", 0, 129, 1, 1)] if "NAT-PMP" in self.speaks else []
        _, opcode, _, seconds, own, nonce, protocol, inside, outside, _ = struct.unpack("!BBHI16s12sB3xHH16s", packet)
        assert (opcode, own, protocol) == (1, mapped(HOME.own), 6)
        self.asked.append(f"PCP {inside} {seconds}")
        self.nonces.add(nonce)
        if not self.error:
            outside = self._open(inside, outside, seconds)
        head = struct.pack("!BBBBII12x", 2, 129, 0, self.error, min(seconds, self.seconds), 1)
        return [head + struct.pack("!12sB3xHH16s", nonce, 6, inside, outside, mapped(self.public))]

    def _searched(self, packet: bytes) -> list[bytes]:
        to = re.search(rb"HOST: ([0-9.]+):1900", packet)
        assert to is not None
        self.asked.append(f"search {to[1].decode()}")
        if "UPnP" not in self.speaks:
            return []
        location = f"http://{HOME.router}:{DESCRIBED.port}{DESCRIBED.path}"
        return [self.lie(FOUND.format(location=location).encode())]

    def _act(self, body: bytes, headers: dict[str, str]) -> HttpAnswer:
        action = headers["SOAPAction"].strip('"').rpartition("#")[2]
        given = {name.decode(): value.decode() for name, value in re.findall(rb"<(New\w+)>([^<]*)<", body)}
        if action == "GetExternalIPAddress":
            return HttpAnswer(200, f"<r><NewExternalIPAddress>{self.public}</NewExternalIPAddress></r>".encode())
        outside = int(given["NewExternalPort"])
        if action == "DeletePortMapping":
            self.asked.append(f"delete {outside}")
            self.ports.pop(outside, None)
            return HttpAnswer(200, b"<r/>")
        assert (action, given["NewInternalClient"], given["NewProtocol"]) == ("AddPortMapping", str(HOME.own), "TCP")
        self.asked.append(f"UPnP {given['NewInternalPort']} {given['NewLeaseDuration']}")
        error = self.error or (718 if outside in self.taken else 0)
        error = error or (725 if self.permanent and given["NewLeaseDuration"] != "0" else 0)
        if error:
            return HttpAnswer(500, f"<f><errorCode>{error}</errorCode></f>".encode())
        self.ports[outside] = int(given["NewInternalPort"])
        return HttpAnswer(200, b"<r/>")


class _Talk:
    """UDP with it: every packet has its answers at once."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self._answer = answer
        self._send, self._receive = trio.open_memory_channel[bytes](1_000)

    async def send(self, packet: bytes, to: str = "") -> None:
        await trio.lowlevel.checkpoint()
        for answer in self._answer(packet):
            self._send.send_nowait(answer)

    async def receive(self) -> bytes:
        return await self._receive.receive()
