"""The lab is what the stories take it for: homes that nobody can dial, relays that everybody can, lines that break."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.lab.steps import relay, settle, wait_for
from tests.lab.topology import Lab, Nat, laboratory
from tests.support.processes import SOURCE
from tests.support.steps import befriended, failed, fine, following, new_invite, send, texts

DIAL = """
import socket, sys
with socket.socket() as dialled:
    dialled.settimeout(1)
    print(dialled.connect_ex((sys.argv[1], int(sys.argv[2]))) == 0)
"""

REFLECT = """
import socket
with socket.create_server(("0.0.0.0", 4001)) as server:
    print(flush=True)
    while True:
        caller, (_, port) = server.accept()
        caller.sendall(b"%d" % port)
        caller.close()
"""
SEEN_FROM = """
import socket, sys
port, *servers = sys.argv[1:]
for server in servers:
    with socket.socket() as dialled:
        dialled.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        dialled.bind(("0.0.0.0", int(port)))
        dialled.settimeout(5)
        dialled.connect((server, 4001))
        print(dialled.recv(16).decode())
"""

ABANDONED = """
import os, signal
from tests.lab.topology import laboratory
with laboratory() as lab:
    waiting, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    print(lab["alice"].namespace, flush=True)
    os.read(waiting, 1)
"""
"""It waits for a byte, and not with `signal.pause`, which never ends if the signal comes just before it."""


def namespaces() -> set[str]:
    return set(os.listdir("/run/netns"))


def dials(lab: Lab, name: str, address: str, port: int) -> bool:
    """Whether somebody's machine can open a TCP connection."""
    return lab[name].run(sys.executable, "-c", DIAL, address, str(port)) == "True\n"


def reached(lab: Lab, name: str, *addresses: str) -> list[str]:
    """Those of these relays' addresses at which somebody finds them."""
    asked = lab[name].run("env", f"PYTHONPATH={SOURCE}", sys.executable, "-m", "tests.lab.probe", *addresses)
    answers = [json.loads(line) for line in asked.splitlines()]
    return [one["address"] for one in answers if one["address"].endswith(one["relay"] or "nobody")]


def test_nobody_outside_can_dial_into_a_home(lab: Lab) -> None:
    settle(lab, "alice", "bob")
    port = fine(lab.place.run("bob", "node", "status", "--json"))[0]["addresses"][0].split("/")[4]
    assert dials(lab, "bob", lab["bob"].address, int(port))
    before = lab["router-bob"].refused()
    for by in ("alice", "relay1"):
        for address in (lab["bob"].seen_as, lab["bob"].address):
            assert not dials(lab, by, address, int(port)), (by, address)
    assert lab["router-bob"].refused() > before
    invite = new_invite(lab.place, "bob")
    failed(lab.place.run("alice", "add", invite, "--timeout", "5s"), 3)


def test_everybody_reaches_both_relays_over_tcp_and_websocket(lab: Lab) -> None:
    addresses = []
    for name in ("relay1", "relay2"):
        _, address = relay(lab, name)
        where, peer = address.split("/p2p/")
        addresses += [address, f"{where}/ws/p2p/{peer}"]
    for person in ("alice", "bob"):
        assert reached(lab, person, *addresses) == addresses


def test_a_router_hides_who_is_behind_it(lab: Lab) -> None:
    _, address = relay(lab, "relay1")
    assert reached(lab, "alice", address)
    seen = {one for pair in lab["relay1"].talked() for one in pair}
    assert lab["alice"].seen_as in seen
    assert not {one for one in seen if one.startswith("192.168.")}
    assert lab["router-bob"].seen_as not in seen


def ports_of(lab: Lab, name: str, port: int, *servers: str) -> list[int]:
    """From which ports these public machines see somebody who dials all of them from one port."""
    seen = lab[name].run(sys.executable, "-c", SEEN_FROM, str(port), *(lab[server].address for server in servers))
    return [int(line) for line in seen.split()]


def test_what_a_router_does_with_ports_and_who_gets_in(lab: Lab) -> None:
    servers = []
    for name in ("relay1", "relay2"):
        command = [*lab[name].inside, sys.executable, "-c", REFLECT]
        servers.append(subprocess.Popen(command, stdout=subprocess.PIPE))
    try:
        for server in servers:
            assert server.stdout is not None
            server.stdout.readline()
        lab.translate("alice", Nat.CONE)
        assert ports_of(lab, "alice", 4007, "relay1", "relay2") == [4007, 4007]
        first, other = ports_of(lab, "bob", 4007, "relay1", "relay2")
        assert 4007 not in (first, other)
        assert first != other
        for by in ("relay1", "relay2"):
            assert not dials(lab, by, lab["alice"].seen_as, 4007), "only the port that was dialled may answer"
    finally:
        for server in servers:
            server.kill()
            server.wait()


def test_two_in_one_home_talk_without_the_internet(lab: Lab) -> None:
    lab.housemate("carol", of="alice", number=3)
    settle(lab, "alice", "carol")
    befriended(lab.place, "carol", "alice")
    send(lab.place, "alice", "carol", "is there tea?")
    send(lab.place, "carol", "alice", "there is")
    assert texts(lab.place, "alice", "carol") == texts(lab.place, "carol", "alice") == ["is there tea?", "there is"]
    assert not lab["internet"].talked()


def test_a_line_that_is_cut_is_noticed_by_both_and_healed(lab: Lab) -> None:
    """Carol can be dialled, Alice dials her; the line to Alice's home loses everything for a while, in silence."""
    lab.public("carol")
    settle(lab, "alice", "carol")
    befriended(lab.place, "carol", "alice")
    send(lab.place, "alice", "carol", "before")
    send(lab.place, "carol", "alice", "before, too")
    tails = [following(lab.place, *pair, "--events") for pair in (("alice", "carol"), ("carol", "alice"))]
    lab.cut("alice")
    for person, other in (("alice", "carol"), ("carol", "alice")):
        assert lab.place.run(person, "send", other, f"{person} meanwhile").code == 0
    for tail in tails:
        wait_for(tail, lambda one: one.get("event") == "contact" and one["route"] is None)
    lab.mend("alice")
    send(lab.place, "alice", "carol", "after")
    send(lab.place, "carol", "alice", "after, too")
    for person, other in (("alice", "carol"), ("carol", "alice")):
        log = fine(lab.place.run(person, "log", other, "--json"))
        assert {one["state"] for one in log} == {"delivered", "received"}
        for by, said in (
            ("alice", ["before", "alice meanwhile", "after"]),
            ("carol", ["before, too", "carol meanwhile", "after, too"]),
        ):
            assert [one["text"] for one in log if one["from"] == ("me" if by == person else by)] == said


def test_somebody_gets_another_address(lab: Lab) -> None:
    lab.housemate("carol", of="alice", number=3)
    settle(lab, "alice", "carol")
    befriended(lab.place, "carol", "alice")
    send(lab.place, "alice", "carol", "before")
    lab["alice"].move("192.168.1.77")
    began = time.monotonic()
    send(lab.place, "carol", "alice", "where are you?")
    print(f"delivered {time.monotonic() - began:.1f} s after the address had changed")
    send(lab.place, "alice", "carol", "here")
    assert texts(lab.place, "carol", "alice") == ["before", "where are you?", "here"]


def test_a_test_that_fails_leaves_nothing_behind() -> None:
    labs: list[Lab] = []

    def fails() -> None:
        with laboratory() as lab:
            labs.append(lab)
            settle(lab, "alice")
            lab.place.run("bob", "init", "--name", "bob", "--no-passphrase")
            assert lab.place.run("bob", "contacts").code == 0  # has started a node that stays
            assert lab["alice"].pids()
            assert lab["bob"].pids()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    (lab,) = labs
    assert not lab.place.processes()
    assert not {machine.namespace for machine in lab.machines.values()} & namespaces()


def ended(how: int) -> str:
    """A machine of a lab whose process was ended by a signal."""
    with subprocess.Popen([sys.executable, "-c", ABANDONED], cwd=SOURCE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = process.stdout.readline().strip()
        assert left in namespaces()
        process.send_signal(how)
    return left


def test_a_lab_that_is_interrupted_removes_itself() -> None:
    assert ended(signal.SIGINT) not in namespaces()


def test_a_lab_whose_process_was_killed_is_removed_by_the_next() -> None:
    left = ended(signal.SIGKILL)
    with laboratory():
        assert left not in namespaces()
