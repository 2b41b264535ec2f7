"""Somebody whose every connection goes through a SOCKS5 proxy: no packet goes anywhere else, whatever happens."""

from __future__ import annotations

from p2pchat.net.lan.sockets import PORT as PORT_OF_ANNOUNCEMENTS
from tests.lab.steps import PROXY_PORT, node, proxy
from tests.lab.town import RELAYS, Town
from tests.support.steps import make

NAMES = {relay: f"{relay}.example" for relay in RELAYS}


def test_no_packet_goes_past_the_proxy(town: Town) -> None:
    """Alice knows her relays by name. Dave can be dialled; he writes while she is away, and she while the proxy is."""
    for relay in RELAYS:
        town.open(relay)
    for person in ("proxy", "dave"):
        town.lab.public(person)
    town.settle("dave")
    names = {name: town.lab[relay].address for relay, name in NAMES.items()}
    server = proxy(town.lab, names)
    make(town.lab.place, "alice")
    town.said["alice"] = []
    where = f"socks5://{town.lab['proxy'].address}:{PROXY_PORT}"
    town.running["alice"] = node(town.lab, "alice", "--proxy", where, "--lan", "on")
    assert f":{PORT_OF_ANNOUNCEMENTS}" not in town.lab["alice"].run("ss", "-uan"), "nor is the local network searched"
    for relay in RELAYS:
        address = town.addresses[relay].replace(f"/ip4/{town.lab[relay].address}/", f"/dns4/{NAMES[relay]}/")
        town.lab.place.run("alice", "relays", "add", address)  # which may take longer than the verb waits
    town.until_connected("alice")
    invite = town.invited("dave")
    town.verb("alice", "add", invite, "--name", "dave", "--wait", "accepted")
    for by, to in (("alice", "dave"), ("dave", "alice")):
        town.say(by, to, "hello", "delivered")
        town.give(by, to, "delivered")
    town.off("alice")
    town.say("dave", "alice", "while you are away", "stored")
    server.end()
    town.on("alice")
    town.say("alice", "dave", "without a proxy", "saved")
    proxy(town.lab, names)
    town.agree("alice", "dave")
    town.until_here("alice", "dave")
    town.until_here("dave", "alice")

    alice = town.lab["alice"].address
    met = {end for pair in town.lab["alice"].talked() if alice in pair for end in pair}
    assert met == {alice, town.lab["proxy"].address}
