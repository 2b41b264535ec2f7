"""Nodes that reach a relay by a pluggable transport only, as processes; the transport is one of the tests' own."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from tests.support.pluggable import KEY
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, SOURCE, Place, Running
from tests.support.programs import data
from tests.support.steps import befriended, failed, fine, make, send

PROGRAM = [sys.executable, str(SOURCE / "tests" / "support" / "pluggable.py")]


def start_relay(here: Place) -> tuple[Running, str]:
    """A relay behind the transport's server, with that in its settings; its line."""
    settings = here.folder / "relay.toml"
    settings.write_text(
        f'announce = ["/ip4/127.0.0.1/tcp/{free_port()}/pt/xor"]\nlisten = ["/ip4/127.0.0.1/tcp/{free_port()}"]\n'
        f"transport = {json.dumps(PROGRAM)}\n"
    )
    relay = here.start("unused", "relay", "--data", str(data(here)), "--config", str(settings))
    (line,) = relay.hear()["lines"]
    assert f"/pt/xor/key={KEY:x}/p2p/" in line
    return relay, line


def use(here: Place, name: str, program: list[str]) -> None:
    (here.folder / name / "config.toml").write_text(f"[transports.xor]\ncommand = {json.dumps(program)}\n")


def rows(here: Place, name: str) -> dict[str, Any]:
    """What the doctor says, by what it is about."""
    lines = [json.loads(line) for line in here.run(name, "doctor", "--json").out.splitlines()]
    return {line["check"]: line for line in lines}


def gone(pid: int) -> None:
    """Wait until a process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], PATIENCE)[0]
    finally:
        os.close(descriptor)


def pid_of(folder: Path) -> int:
    """The last process of the transport with this folder."""
    return int((folder / "started").read_text().splitlines()[-1])


def test_people_reach_a_relay_in_disguise_and_never_bare(here: Place) -> None:
    make(here, "alice", "bob", "carol", "dave")
    relay, line = start_relay(here)
    for name in ("alice", "bob"):
        use(here, name, PROGRAM)
        here.start(name, "node", "--listen", "/ip4/127.0.0.1/tcp/0").hear()
        fine(here.run(name, "relays", "add", line, "--json"))
    befriended(here, "alice", "bob")
    first = send(here, "alice", "bob", "hello")
    fine(here.run("bob", "node", "stop", "--json"))
    sent = here.run("alice", "send", "bob", "in disguise", "--wait", "stored", "--timeout", "60s", "--json").object()
    assert sent["state"] == "stored"
    found = rows(here, "alice")
    assert "disguised by xor" in found["relay"]["detail"]
    assert found["transport"]["detail"] == "the pluggable transport xor runs"
    bob = here.node("bob")
    bob.hear()
    tail = here.start("bob", "tail", "alice", "--since", first)
    while tail.hear().get("text") != "in disguise":
        pass

    here.node("carol").hear()
    failed(here.run("carol", "relays", "add", line), 3, "xor, which is not set up", out=here.run("carol", "relays").out)
    use(here, "dave", ["/nowhere/xor"])
    here.node("dave").hear()
    failed(here.run("dave", "relays", "add", line), 3, "no program /nowhere/xor", out=here.run("dave", "relays").out)
    assert not rows(here, "dave")["transport"]["ok"]

    bobs, alices = (pid_of(here.folder / name / "transports" / "xor") for name in ("bob", "alice"))
    servers = pid_of(data(here) / "transport")
    bob.end(signal.SIGKILL)
    gone(bobs)
    fine(here.run("alice", "node", "stop", "--json"))
    gone(alices)
    assert relay.end().code == 0
    gone(servers)
