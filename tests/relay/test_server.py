"""What joins the relay's parts: its settings become limits, and streams have places."""

from __future__ import annotations

import gc
import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from p2pchat.core.descriptors import MAILBOX, Descriptor, sign_descriptor
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import sign_public
from p2pchat.errors import P2PChatError, UsageError
from p2pchat.net.ports import Stream
from p2pchat.relay import server
from p2pchat.relay.config import BadSetting, RelayConfig
from p2pchat.relay.dialback import DialBack
from p2pchat.relay.folder import Folder
from p2pchat.relay.host_streams import place_of


@dataclass
class Coming:
    """As much of a stream as its place needs."""

    peer: PeerKey
    route: str


def test_who_comes_by_another_relay_shares_a_place_with_nobody() -> None:
    """Else one of them could use up what all of them may deposit in a day."""
    one, two = (cast(Stream, Coming(PeerKey(bytes([key]) * 32), "circuit")) for key in (1, 2))
    assert place_of(one) != place_of(two)
    assert place_of(one) == place_of(cast(Stream, Coming(one.peer, "circuit")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"proxies": ("localhost",)}, "proxies"),
        ({"announce": ("/ip4/0.0.0.0/tcp/4001",)}, "can dial"),
        ({"announce": ("here",)}, "not an address"),
        ({"dht_listen": ("/ip4/127.0.0.1/tcp/0",), "dht_announce": ("here",)}, "not an address"),
        ({"dht_listen": ("/ip4/127.0.0.1/tcp/0",), "dht_peers": ("/ip4/192.0.2.1/tcp/1",)}, "whose address"),
        ({"dht_listen": ("/ip4/127.0.0.1/tcp/0",), "dht_protocol": "kad"}, "begins with /"),
        ({"announce": ("/ip4/192.0.2.1/tcp/1/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB/p2p-circuit",)},
         "can dial"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(P2PChatError, match=said) as caught:
        server._Relay(RelayConfig(data=str(tmp_path), **changes), Folder(tmp_path))
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "limit"),
    [
        (1024, 4096, 500, 1024),
        (1024, 4096, 2000, 2128),
        (1024, 4096, 9000, 4096),
        (1024, resource.RLIM_INFINITY, 9000, 9128),
        (64, 64, 9000, 64),
    ],
)
def test_it_may_open_as_many_files_as_it_has_connections(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    soft: int,
    hard: int,
    connections: int,
    limit: int,
) -> None:
    """Else the last clients would keep the store and the status from opening theirs."""
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: set_to.append(limits))
    fitting = server._with_files_for(connections)
    assert set_to == [(limit, hard)]
    assert fitting == min(connections, max(1, limit - server._SPARE_FILES))
    assert ("only" in caplog.text) == (fitting < connections)


@pytest.mark.parametrize("text", ["let-me.in", "let-me.in\n", "let-me.in\r\n"])
def test_a_token_is_read_from_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(text.encode())
    assert server.mailbox_limits(RelayConfig(token_file=str(file))).token == b"let-me.in"


@pytest.mark.parametrize("text", ["", "\n", "let me in", "t" * 65, "ä", "a#b"])
def test_what_is_no_token_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(text.encode())
    with pytest.raises(BadSetting, match="not hold a valid token") as caught:
        server.mailbox_limits(RelayConfig(token_file=str(file)))
    assert len(text) < 3 or text not in caught.value.line()


def test_a_token_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="cannot be read"):
        server.mailbox_limits(RelayConfig(token_file=str(tmp_path / "token")))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("/ip4/192.168.1.1/tcp/1", False),
        ("/ip4/8.8.8.8/tcp/1", True),
        ("/dns/relay.example.org/tcp/443/wss", True),
    ],
)
def test_it_knows_whether_others_can_dial_it(tmp_path: Path, address: str, public: bool) -> None:
    relay = server._Relay(RelayConfig(data=str(tmp_path), announce=(address,)), Folder(tmp_path))
    assert relay._is_public() is public
    assert relay._found_at()["lines"][0].startswith(address + "/p2p/")
    relay.store.close()


@pytest.mark.parametrize(
    ("settings", "dials"),
    [
        ({"announce": ("/ip4/192.0.2.1/tcp/4001",)}, True),
        ({"announce": ("/ip4/192.0.2.1/tcp/4001",), "proxy": "socks5://127.0.0.1:9050"}, False),
        ({"announce": ("/ip4/192.0.2.1/tcp/4001/pt/obfs4/-",)}, False),
        ({"announce": ("/onion3/2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid:4001",)}, False),
    ],
)
def test_where_nobody_is_to_see_a_relay_it_dials_back_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], dials: bool
) -> None:
    """Else a stranger who announces an address of their own sees where it is, and a name server sees it too."""
    dialling: list[DialBack] = []

    async def dial_back(back: DialBack) -> None:
        dialling.append(back)
        await trio.lowlevel.checkpoint()

    def ready(event: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    seed = bytes(32)
    made = time.time_ns() // 1_000_000_000
    descriptor = Descriptor(PeerKey(sign_public(seed)), 1, made, made + 60, MAILBOX, ("/dns4/a.example/tcp/1",))
    monkeypatch.setattr(DialBack, "run", dial_back)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "set_threshold", lambda *thresholds: None)
    settings = {"data": str(tmp_path), "listen": ("/ip4/127.0.0.1/tcp/0",), **settings}
    relay = server._Relay(RelayConfig(**settings), Folder(tmp_path))
    relay._listing.answer(descriptor.relay, "198.51.100.7", sign_descriptor(seed, descriptor))
    trio.run(relay.run, ready, RelayConfig)
    relay.store.close()
    assert (bool(relay._listing._announced), len(dialling)) == (dials, dials)
