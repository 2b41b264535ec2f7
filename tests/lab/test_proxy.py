"""Somebody whose every connection goes through a SOCKS5 proxy: no packet goes anywhere else, whatever happens."""

from __future__ import annotations

import subprocess
import sys

from p2pchat.net.lan.sockets import PORT as PORT_OF_ANNOUNCEMENTS
from tests.lab.steps import node
from tests.lab.town import RELAYS, Town
from tests.support.processes import SOURCE, Running
from tests.support.steps import make

PORT = 1080
NAMES = {relay: f"{relay}.example" for relay in RELAYS}


def proxy(town: Town) -> Running:
    """A proxy on a machine of its own, which knows the relays' names."""
    machine = town.lab["proxy"]
    names = [f"{name}={town.lab[relay].address}" for relay, name in NAMES.items()]
    process = subprocess.Popen(
        [*machine.inside, sys.executable, "-m", "tests.support.socks", "0.0.0.0", str(PORT), *names],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running = Running(process)
    town.lab.place.started.append(running)
    assert running.hear() == "ready"
    return running


def test_no_packet_goes_past_the_proxy(town: Town) -> None:
    """Alice knows her relays by name. Dave can be dialled; he writes while she is away, and she while the proxy is."""
    for relay in RELAYS:
        town.open(relay)
    for person in ("proxy", "dave"):
        town.lab.public(person)
    town.settle("dave")
    server = proxy(town)
    make(town.lab.place, "alice")
    town.said["alice"] = []
    where = f"socks5://{town.lab['proxy'].address}:{PORT}"
    town.running["alice"] = node(town.lab, "alice", "--proxy", where, "--lan", "on")
    assert f":{PORT_OF_ANNOUNCEMENTS}" not in town.lab["alice"].run("ss", "-uan"), "nor is the local network searched"
    for relay in RELAYS:
        address = town.addresses[relay].replace(f"/ip4/{town.lab[relay].address}/", f"/dns4/{NAMES[relay]}/")
        town.verb("alice", "relays", "add", address)
    town.until_connected("alice")
    invite = town.invited("dave")
    town.verb("alice", "add", invite, "--name", "dave", "--wait", "accepted")
    for by, to in (("alice", "dave"), ("dave", "alice")):
        town.say(by, to, "hello", "delivered")
    town.off("alice")
    town.say("dave", "alice", "while you are away", "stored")
    server.end()
    town.on("alice")
    town.say("alice", "dave", "without a proxy", "saved")
    proxy(town)
    town.agree("alice", "dave")

    alice = town.lab["alice"].address
    met = {end for pair in town.lab["alice"].talked() if alice in pair for end in pair}
    assert met == {alice, town.lab["proxy"].address}
