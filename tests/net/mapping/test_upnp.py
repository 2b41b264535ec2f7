"""The texts of UPnP, and where they may lead."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.net.mapping import upnp
from p2pchat.net.mapping.markup import BadMarkup, parse
from p2pchat.net.mapping.upnp import IgdService, Location
from tests.support.gateway import CONTROL, DESCRIBED, DESCRIPTION, FOUND, HOME, SERVICE, service

ROUTER = HOME.router


def described(*services: str, base: str = "") -> list[IgdService]:
    document = DESCRIPTION.format(services="".join(services)).replace("<device>", f"{base}<device>")
    return upnp.read_description(document.encode(), ROUTER, DESCRIBED)


def test_where_a_router_describes_itself_is_read() -> None:
    found = FOUND.format(location="http://192.168.1.1:5000/rootDesc.xml")
    assert upnp.read_found(found.encode(), ROUTER) == DESCRIBED
    assert upnp.read_found(found.replace("LOCATION", "location").encode(), ROUTER) == DESCRIBED
    for wrong in (
        found.replace("200", "404"),
        found.replace("InternetGatewayDevice", "MediaServer"),
        found.replace("HTTP/1.1", "NOTIFY"),
        found + " " * upnp.MAX_ANSWER_BYTES,
        "",
    ):
        assert upnp.read_found(wrong.encode(), ROUTER) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.7/x",
        "http://127.0.0.1:22/x",
        "http://router.example/x",
        "http://192.168.1.1@127.0.0.1/x",
        "http://user@192.168.1.1/x",
        "http://192.168.1.1.example/x",
        "http://192.168.1.1:0/x",
        "http://192.168.1.1:65536/x",
        "http://192.168.1.1:²²/x",
        "http://3232235777/x",
        "http://192.168.001.1/x",
        "https://192.168.1.1/x",
        "file:///etc/passwd",
        "http://192.168.1.1/x y",
        "http://192.168.1.1/x\r\nHost: y",
        "http://192.168.1.1/\u00e9",
        "http://192.168.1.1/" + "x" * upnp.MAX_URL,
        "//192.168.1.1/x",
        "/x",
        "",
    ],
)
def test_only_the_routers_own_address_is_led_to(url: str) -> None:
    assert upnp.read_url(url, ROUTER) is None


def test_the_connections_in_a_description_are_read_and_the_newest_kind_comes_first() -> None:
    services = described(service("/a", upnp.SERVICES[2]), service("/b", "urn:x:service:Y:1"), service("/c"))
    assert services == [IgdService(SERVICE, Location(5000, "/c")), IgdService(upnp.SERVICES[2], Location(5000, "/a"))]
    assert described(service()) == [IgdService(SERVICE, CONTROL)]
    assert described(service("http://192.168.1.1:81/c")) == [IgdService(SERVICE, Location(81, "/c"))]
    base = "<URLBase>http://192.168.1.1:82/base/</URLBase>"
    assert described(service("c"), base=base) == [IgdService(SERVICE, Location(82, "/base/c"))]
    assert len(described(*[service()] * 100)) == upnp.MAX_SERVICES


@pytest.mark.parametrize("control", ["http://127.0.0.1:22/", "//127.0.0.1/x", "http://[", "file:///x", "x" * 2000])
def test_a_description_leads_nowhere_else(control: str) -> None:
    assert described(service(control)) == []
    assert described(service(), base="<URLBase>http://10.0.0.1/</URLBase>") == []


def test_what_is_asked_is_xml_with_our_own_words_alone() -> None:
    body = parse(upnp.ask_to_add(HOME.own, SERVICE, 4001, 4002, 3600))
    (action,) = body.children[0].children
    assert (action.name, [child.text for child in action.children]) == (
        "AddPortMapping",
        ["", "4002", "TCP", "4001", "192.168.1.2", "1", "libp2p", "3600"],
    )
    body = parse(upnp.ask_to_delete(SERVICE, 4002))
    assert [child.text for child in body.children[0].children[0].children] == ["", "4002", "TCP"]
    assert upnp.headers("X", SERVICE)["SOAPAction"] == f'"{SERVICE}#X"'
    assert b"HOST: 239.255.255.250:1900\r\n" in upnp.search(upnp.GROUP)


def test_addresses_and_errors_are_read_strictly() -> None:
    answer = "<r><NewExternalIPAddress> {} </NewExternalIPAddress></r>"
    assert str(upnp.read_address(answer.format("11.0.3.2").encode())) == "11.0.3.2"
    for wrong in ("", "::1", "11.0.3.2/8", "router.example", "11.0.3.256"):
        assert upnp.read_address(answer.format(wrong).encode()) is None
    assert upnp.read_address(b"no") is None
    assert upnp.read_error(b"<s:f xmlns:s='x'><errorCode>718</errorCode></s:f>") == 718
    for wrong in ("", "-1", "99999", "²", "7 1 8"):
        assert upnp.read_error(f"<f><errorCode>{wrong}</errorCode></f>".encode()) == 0
    assert upnp.read_error(b"no") == 0


@given(st.binary(max_size=200), st.text("http:/192.168.1@#?\r\n[]\\", max_size=40))
def test_arbitrary_bytes_do_no_harm(answer: bytes, url: str) -> None:
    upnp.read_found(answer, ROUTER)
    upnp.read_found(FOUND.format(location=url).encode(), ROUTER)
    for found in described(service(url.translate({38: None, 60: None}))):
        assert found.control.path.startswith("/")
    with suppress(BadMarkup):
        upnp.read_description(answer, ROUTER, DESCRIBED)
