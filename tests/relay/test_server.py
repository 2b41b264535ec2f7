"""What joins the relay's parts: its settings become limits, and streams have places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from p2pchat.errors import P2PChatError, UsageError
from p2pchat.net.ports import Stream
from p2pchat.relay import server
from p2pchat.relay.config import Config
from p2pchat.relay.folder import Folder


@dataclass
class Coming:
    """As much of a stream as its place needs."""

    peer: bytes
    route: str


def test_who_comes_by_another_relay_shares_a_place_with_nobody() -> None:
    """Else one of them could use up what all of them may deposit in a day."""
    one, two = (cast(Stream, Coming(bytes([key]) * 32, "circuit")) for key in (1, 2))
    assert server._place_of(one) != server._place_of(two)
    assert server._place_of(one) == server._place_of(cast(Stream, Coming(one.peer, "circuit")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"proxies": ("localhost",)}, "proxies"),
        ({"announce": ("/ip4/0.0.0.0/tcp/4001",)}, "can dial"),
        ({"announce": ("here",)}, "not an address"),
        ({"announce": ("/ip4/192.0.2.1/tcp/1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit",)},
         "can dial"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(P2PChatError, match=said) as caught:
        server._Relay(Config(data=str(tmp_path), **changes), Folder(tmp_path))
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("/ip4/192.168.1.1/tcp/1", False),
        ("/ip4/8.8.8.8/tcp/1", True),
        ("/dns/relay.example.org/tcp/443/wss", True),
    ],
)
def test_it_knows_whether_others_can_dial_it(tmp_path: Path, address: str, public: bool) -> None:
    relay = server._Relay(Config(data=str(tmp_path), announce=(address,)), Folder(tmp_path))
    assert relay._is_public() is public
    assert relay._addresses()[0].startswith(address + "/p2p/")
    relay.store.close()
