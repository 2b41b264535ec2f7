"""The texts of UPnP's Internet Gateway Device: searching for one (SSDP), its description, and three actions (SOAP).

Every number and word that is sent is ours. What is taken from the router is where it listens, which has to be at the
address that was asked, a public address, and the number of an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple
from urllib.parse import urljoin

from p2pchat.net.mapping.markup import BadMarkup, parse

GROUP, PORT = "239.255.255.250", 1900
MAX_ANSWER_BYTES = 2_048
MAX_SERVICES = 4
MAX_URL = 1_024
DESCRIPTION = "libp2p"
"""What the router shows to its owner: what other hosts of libp2p write, as which this node is seen from outside too."""
CONFLICT, ONLY_SAME_PORT, ONLY_PERMANENT = 718, 724, 725
"""Errors of AddPortMapping: the port is another's; it has to be the same inside and outside; leases have to be endless.
"""
SERVICES = tuple(
    f"urn:schemas-upnp-org:service:{kind}" for kind in ("WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1")
)
_DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:"
_URL = re.compile(r"http://([0-9.]{7,15})(?::([0-9]{1,5}))?(/[!-~]*)?", re.ASCII)
_ENVELOPE = (
    '<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
    '<u:{action} xmlns:u="{service}">{given}</u:{action}></s:Body></s:Envelope>\r\n'
)


class Location(NamedTuple):
    """Something that the router serves by HTTP: at a port of its own, under a path."""

    port: int
    path: str


class IgdService(NamedTuple):
    """A connection to the internet that the router speaks for: one of `SERVICES`, and where it is asked."""

    kind: str
    control: Location


def search(to: str) -> bytes:
    """Return the packet that looks for a router. to: where it is sent, an IP address."""
    return (
        f'M-SEARCH * HTTP/1.1\r\nHOST: {to}:{PORT}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {_DEVICE}1\r\n\r\n'
    ).encode("ascii")


def read_found(packet: bytes, router: IPv4Address) -> Location | None:
    """Return where the router that answered describes itself; None for anything but its answer to `search`."""
    if len(packet) > MAX_ANSWER_BYTES:
        return None
    status, *lines = packet.decode("ascii", "replace").split("\r\n")
    if not re.fullmatch(r"HTTP/1\.[01] 200( .*)?", status):
        return None
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return read_url(headers.get("location", ""), router) if headers.get("st", "").startswith(_DEVICE) else None


def read_url(url: str, router: IPv4Address) -> Location | None:
    """Return where an absolute URL leads; None for all that do not lead to the router's own address."""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None or found[1] != str(router):
        return None
    port = int(found[2] or 80)
    return Location(port, found[3] or "/") if 0 < port < 65_536 else None


def read_description(document: bytes, router: IPv4Address, at: Location) -> list[IgdService]:
    """Return the connections that a description names, at most `MAX_SERVICES`; those served elsewhere than at the
    router's own address are left out. at: where the description was. Raises BadMarkup.
    """
    root = parse(document)
    base = root.word("URLBase") or f"http://{router}:{at.port}{at.path}"
    found = []
    for element in root.walk():
        if element.name == "service" and (kind := element.word("serviceType")) in SERVICES:
            control = element.word("controlURL")
            if len(base) + len(control) <= MAX_URL and (location := _joined(base, control, router)):
                found.append(IgdService(kind, location))
    return sorted(found, key=lambda service: SERVICES.index(service.kind))[:MAX_SERVICES]


def _joined(base: str, url: str, router: IPv4Address) -> Location | None:
    try:
        return read_url(urljoin(base, url), router)
    except ValueError:  # brackets, say
        return None


def ask(action: str, service: str, **given: str | int) -> bytes:
    """Return the body of a request. given: the arguments, in order, of which none has to be escaped."""
    words = "".join(f"<{name}>{value}</{name}>" for name, value in given.items())
    return _ENVELOPE.format(action=action, service=service, given=words).encode("ascii")


def headers(action: str, service: str) -> Mapping[str, str]:
    """Return the headers that go with a request."""
    return {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{service}#{action}"'}


def ask_to_add(own: IPv4Address, service: str, inside: int, outside: int, seconds: int) -> bytes:
    """Return what asks for a TCP port. seconds: 0 for as long as the router remembers."""
    return ask(
        "AddPortMapping",
        service,
        NewRemoteHost="",
        NewExternalPort=outside,
        NewProtocol="TCP",
        NewInternalPort=inside,
        NewInternalClient=str(own),
        NewEnabled=1,
        NewPortMappingDescription=DESCRIPTION,
        NewLeaseDuration=seconds,
    )


def ask_to_delete(service: str, outside: int) -> bytes:
    """Return what ends a mapping."""
    return ask("DeletePortMapping", service, NewRemoteHost="", NewExternalPort=outside, NewProtocol="TCP")


def read_address(body: bytes) -> IPv4Address | None:
    """Return the public address in an answer to GetExternalIPAddress; None if there is none."""
    try:
        return IPv4Address(parse(body).word("NewExternalIPAddress"))
    except (BadMarkup, AddressValueError):
        return None


def read_error(body: bytes) -> int:
    """Return the number of the error that a SOAP fault names; 0 if it names none."""
    try:
        word = parse(body).word("errorCode")
    except BadMarkup:
        return 0
    return int(word) if re.fullmatch(r"[0-9]{1,4}", word) else 0
