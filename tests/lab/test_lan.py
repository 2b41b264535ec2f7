"""Two laptops on one switch and nothing else: no router, no relay, no route to anywhere. They find each other and chat,
and what they send shows nothing by which they could be known again.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from pathlib import Path

from p2pchat.core.lan import ANNOUNCEMENT_BYTES
from p2pchat.net.lan.sockets import PORT
from p2pchat.net.multiaddrs import peer_from_id
from tests.lab.steps import node
from tests.lab.topology import Lab, bare
from tests.support.processes import SOURCE
from tests.support.steps import befriended, fine, make, send, texts

UDP_HEADER = 8
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"


def capture(lab: Lab, into: Path) -> subprocess.Popen[bytes]:
    """Write every frame on the switch into a file, until it is ended."""
    with into.open("wb") as file:
        process = subprocess.Popen(
            [*lab["switch"].inside, sys.executable, "-m", "tests.lab.capture", "board"], cwd=SOURCE, stdout=file
        )
    while not into.stat().st_size:
        assert process.poll() is None
    return process


def announced(frames: list[bytes]) -> list[tuple[bytes, bytes]]:
    """All packets to the port of announcements: the Ethernet type, and the payload."""
    to = PORT.to_bytes(2, "big") + (UDP_HEADER + ANNOUNCEMENT_BYTES).to_bytes(2, "big")
    return [(frame[12:14], frame[at + 6 :]) for frame in frames if (at := frame.find(to)) > 0]


def names(person: str, addresses: list[str]) -> list[bytes]:
    """What somebody could be known again by: the transport key, in bytes and as text, and the name."""
    key = peer_from_id(addresses[0].rpartition("/p2p/")[2])
    return [key, addresses[0].rpartition("/")[2].encode(), base64.b32encode(key), person.encode()]


def test_two_on_a_switch_find_each_other_and_nobody_else_knows_them(tmp_path: Path) -> None:
    with bare() as lab:
        lab.switch("alice", "bob")
        here, people = lab.place, ("alice", "bob")
        make(here, *people)
        seen = tmp_path / "frames"
        watcher = capture(lab, seen)
        # All they have is the address that IPv6 gives everybody, which nobody can put into an invite.
        for person in people:
            node(lab, person)
        befriended(here, "alice", "bob")
        send(here, "alice", "bob", "only a cable")
        send(here, "bob", "alice", "and it is enough")
        assert f":{PORT}" in lab["alice"].run("ss", "-uan")
        (contact,) = fine(here.run("alice", "contacts", "--json"))
        assert contact["route"] == "lan"
        # Then IPv4 without IPv6, at addresses that are new, with no restart.
        for number, person in enumerate(people):
            lab[person].run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            lab[person].ip("addr", "add", f"10.9.8.{number + 1}/24", "dev", "lan")
        send(here, "bob", "alice", "the other way too")
        assert texts(here, "bob", "alice") == ["only a cable", "and it is enough", "the other way too"]
        own = []
        for person in people:
            assert lab[person].run("ip", "route", "show", "default") == ""
            own += names(person, here.run(person, "node", "status", "--json").object()["addresses"])
        watcher.terminate()
        watcher.wait()

        frames = [bytes.fromhex(line) for line in seen.read_text().split()[1:] if len(line) % 2 == 0]
        joined = [frame for frame in frames if frame[12:14] == IPV4 and frame[23] == socket.IPPROTO_IGMP]
        assert joined == [], "nobody says that they listen"
        kinds, packets = zip(*announced(frames), strict=True)
        assert set(kinds) == {IPV4, IPV6}
        assert {len(packet) for packet in packets} == {ANNOUNCEMENT_BYTES}
        pieces = [packet[at : at + 8] for packet in packets for at in range(ANNOUNCEMENT_BYTES - 7)]
        assert len(set(pieces)) == len(pieces), "no eight bytes of an announcement are in another one"
        everything = b"\n".join(frames)
        assert [name for name in own if name in everything] == []
