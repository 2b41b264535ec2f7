"""A relay that is an onion service, as a process; what Tor does is done by a proxy that knows this one name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage

from p2pchat.core import names
from p2pchat.core.descriptors import open_descriptor
from p2pchat.core.invite import read_invite
from p2pchat.lib.proxy_address import ProxyAddress
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.relays.lists import ask_list
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.net.transport.proxy import Proxy
from tests.support.ports import free_port
from tests.support.processes import SOURCE, Place, Running
from tests.support.programs import data, run
from tests.support.steps import befriended, failed, fine, make, new_invite, texts

ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid"
WHERE = f"/onion3/{ONION}:4001"


def start_relay(here: Place) -> tuple[Running, str, int]:
    """A relay whose settings name an onion address and nothing else of where it is; its line, and its port."""
    port = free_port()
    settings = here.folder / "relay.toml"
    settings.write_text(f'announce = ["{WHERE}"]\nlisten = ["/ip4/127.0.0.1/tcp/{port}"]\n')
    relay = here.start("unused", "relay", "--data", str(data(here)), "--config", str(settings))
    ready = relay.hear()
    assert ready["addresses"] == ready["lines"]
    (line,) = ready["lines"]
    assert line.startswith(f"{WHERE}/p2p/")
    return relay, line, port


def start_tor(here: Place, relay_port: int) -> tuple[Running, int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.socks", "127.0.0.1", str(port), f"{ONION}.onion=127.0.0.1:{relay_port}"],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    tor = Running(process)
    here.started.append(tor)
    assert tor.hear() == "ready"
    return tor, port


def test_two_meet_at_an_onion_service_and_who_has_no_tor_is_told(here: Place) -> None:
    make(here, "alice", "bob", "carol")
    _, line, relay_port = start_relay(here)
    tor, port = start_tor(here, relay_port)
    for name in ("alice", "bob"):
        node = here.start(name, "node", "--proxy", f"socks5://127.0.0.1:{port}")
        assert node.hear() == {"event": "ready", "addresses": []}
        fine(here.run(name, "relays", "add", line, "--json"))
    befriended(here, "alice", "bob")
    for by, to in (("alice", "bob"), ("bob", "alice")):
        sent = here.run(by, "send", to, f"from {by}", "--wait", "delivered", "--timeout", "60s", "--json").object()
        assert sent["state"] == "delivered"
    assert texts(here, "alice", "bob") == texts(here, "bob", "alice") == ["from alice", "from bob"]

    here.node("carol").hear()
    failed(here.run("carol", "relays", "add", line), 3, "through Tor only", out=here.run("carol", "relays").out)
    invite, _ = read_invite(new_invite(here, "alice"))
    assert WHERE in [multiaddrs.unpack(way.address) for way in invite.ways]
    asked = [json.loads(line) for line in tor.end().out.splitlines()]
    assert {(host, port) for host, port, _ in asked} == {(f"{ONION}.onion", 4001)}
    assert len({user for *_, user in asked} - {""}) >= 2


def listening(pid: int) -> set[str]:
    """The IP addresses at which a process listens for TCP."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    found = set()
    for file in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{file}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in inodes:
                packed = bytes.fromhex(fields[1].partition(":")[0])
                words = b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
                found.add(socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words))
    return found


def test_an_onion_service_says_nowhere_where_it_is(here: Place) -> None:
    """Neither by what it listens at, nor to whoever asks it what can be asked."""
    relay, line, relay_port = start_relay(here)
    _, port = start_tor(here, relay_port)
    assert listening(relay.pid) == {"127.0.0.1"}
    peer, where = multiaddrs.parse_full(line)
    access = RelayAccess((where,))
    own = [interface.ip for interface in interfaces.current() if not interface.ip.is_loopback]

    async def main() -> None:
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            client = LibP2PHost(os.urandom(32), (), proxy=Proxy(ProxyAddress("127.0.0.1", port), os.urandom))
            await nursery.start(client.run)
            (own_descriptor,) = await ask_list(client, peer, access)
            assert open_descriptor(own_descriptor).addresses == (where,)
            stream = await client.open(peer, [where], names.HOP)
            stack.push_async_callback(stream.close)
            await circuit_messages.write_message(stream, HopMessage(type=HopMessage.RESERVE))
            reserved = await circuit_messages.read_message(stream, HopMessage)
            assert [bytes(way) for way in reserved.reservation.addrs] == [multiaddrs.pack_full(peer, where)]
            asked = await client.open(peer, [where], str(IDENTIFY))
            said = b""
            while piece := await asked.read(65536):
                said += piece
            heard = [own_descriptor, reserved.SerializeToString(), said]
            with pytest.raises(Exception, match="no") as refused:
                await client.open(peer, [where], "/nonsense")
            heard.append(str(refused.value).encode())
            for ip in own:
                assert not any(ip.packed in each or str(ip).encode() in each for each in heard)
            assert multiaddrs.pack("/ip4/127.0.0.1/tcp/4001")[:5] not in own_descriptor
            nursery.cancel_scope.cancel()

    run(main)
    log = relay.end().err
    assert not any(str(ip) in log for ip in own)
    assert "circuit" not in log, "each client came by a circuit of its own"
