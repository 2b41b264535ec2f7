"""Where a relay listens and what it announces; one that is an onion service only shows nowhere else where it is."""

from __future__ import annotations

from typing import Any

import pytest

from p2pchat.errors import BadAddress
from p2pchat.relay.addresses import Front, RelayAddresses, addresses_of
from p2pchat.relay.config import LISTEN, BadSetting, RelayConfig

ONION = "/onion3/2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid:4001"
PUBLIC = "/ip4/203.0.113.5/tcp/4001"
LOOPBACK = ("/ip4/127.0.0.1/tcp/4001",)
OTHER = "/ip4/198.51.100.7/tcp/4001/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
DISGUISED = "/ip4/203.0.113.5/tcp/443/pt/obfs4"
COMPLETE = f"{DISGUISED}/cert=abc;iat-mode=0"
PROGRAM = ("/usr/bin/obfs4proxy",)
FRONT = Front("obfs4", ("/ip4/203.0.113.5/tcp/443",), "0.0.0.0:443")
SOCKS = "socks5://127.0.0.1:9050"


@pytest.mark.parametrize(
    ("settings", "addresses"),
    [
        ({}, RelayAddresses(LISTEN, ())),
        ({"announce": (PUBLIC,)}, RelayAddresses(LISTEN, (PUBLIC,))),
        ({"announce": (PUBLIC,), "proxy": SOCKS}, RelayAddresses(LISTEN, (PUBLIC,), open=False)),
        ({"announce": (PUBLIC, ONION)}, RelayAddresses(LISTEN, (PUBLIC, ONION), "tor")),
        ({"announce": (ONION,)}, RelayAddresses(LOOPBACK, (ONION,), "onion", open=False)),
        (
            {"announce": (ONION,), "listen": ("/ip6/::1/tcp/0",)},
            RelayAddresses(("/ip6/::1/tcp/0",), (ONION,), "onion", open=False),
        ),
        (
            {"announce": (ONION,), "others": (OTHER,), "proxy": SOCKS},
            RelayAddresses(LOOPBACK, (ONION,), "onion", open=False),
        ),
        ({"announce": (COMPLETE,)}, RelayAddresses(LOOPBACK, (COMPLETE,), open=False)),
        ({"announce": (DISGUISED,), "transport": PROGRAM}, RelayAddresses(LOOPBACK, (), front=FRONT, open=False)),
        ({"announce": (PUBLIC, DISGUISED), "transport": PROGRAM}, RelayAddresses(LISTEN, (PUBLIC,), front=FRONT)),
        (
            {"announce": (ONION, DISGUISED), "transport": PROGRAM},
            RelayAddresses(LOOPBACK, (ONION,), "tor", FRONT, open=False),
        ),
        (
            {
                "announce": (DISGUISED, "/ip6/2001:db8::5/tcp/443/pt/obfs4"),
                "transport": PROGRAM,
                "transport_listen": "[::]:8443",
            },
            RelayAddresses(
                LOOPBACK,
                (),
                front=Front("obfs4", (*FRONT.addresses, "/ip6/2001:db8::5/tcp/443"), "[::]:8443"),
                open=False,
            ),
        ),
    ],
)
def test_where_it_listens_and_what_it_says(settings: dict[str, Any], addresses: RelayAddresses) -> None:
    assert addresses_of(RelayConfig(**settings)) == addresses


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": (PUBLIC,)}, "loopback"),
        ({"listen": (*LOOPBACK, "/ip4/0.0.0.0/tcp/4002")}, "loopback"),
        ({"dht_listen": ("/ip4/0.0.0.0/tcp/4002",)}, "DHT"),
        ({"others": (OTHER,)}, "proxy"),
    ],
)
def test_an_onion_service_that_would_show_where_it_is_does_not_start(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        addresses_of(RelayConfig(announce=(ONION,), **settings))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"announce": (DISGUISED,)}, "need each other"),
        ({"announce": (PUBLIC,), "transport": PROGRAM}, "need each other"),
        ({"announce": (DISGUISED, f"{PUBLIC}/pt/xor"), "transport": PROGRAM}, "one pluggable transport"),
        ({"announce": ("/dns/a.example/tcp/443/pt/obfs4",), "transport": PROGRAM}, "at IP addresses"),
        ({"announce": (f"{PUBLIC}/ws/pt/obfs4",), "transport": PROGRAM}, "at IP addresses"),
        ({"announce": (DISGUISED,), "transport": PROGRAM, "listen": (PUBLIC,)}, "loopback"),
    ],
)
def test_a_disguise_that_cannot_be_meant(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        addresses_of(RelayConfig(**settings))


def test_an_onion_address_with_a_mistake_in_it_is_not_announced() -> None:
    with pytest.raises(BadAddress, match="onion address"):
        addresses_of(RelayConfig(announce=(ONION.replace("2gzy", "2gzz"),)))
