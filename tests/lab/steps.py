"""Steps of the tests in the lab: relays, people, and what they must see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.lab.topology import Lab
from tests.support.certificates import certificate
from tests.support.processes import SOURCE, Place, Running
from tests.support.steps import make

ANYWHERE = "/ip4/0.0.0.0/tcp/4001"
ANNOUNCE = "P2PCHAT_RELAY_ANNOUNCE"
PROXY_PORT = 1080


def relay(lab: Lab, name: str, *, at: str = "", port: int = 4001) -> tuple[Running, str]:
    """Start a relay, its folder named as itself, on its machine or another (`at`); the process and its full address."""
    at = at or name
    lab.place.within[name] = lab[at].inside
    data = str(lab.place.folder / name)
    running = lab.place.start(name, "relay", "--data", data, "--listen", f"/ip4/0.0.0.0/tcp/{port}")
    ready = running.hear()
    assert ready["event"] == "ready"
    (address,) = ready["addresses"]
    assert f"/{lab[at].address}/" in address or ANNOUNCE in lab.place.given.get(name, {})
    return running, address


def lying(here: Place, name: str, lie: str, listen: str) -> tuple[Running, str]:
    """Start a relay that lies (tests/lab/liar.py) where a profile of this name is; the process and its full address."""
    words = ("-m", "tests.lab.liar", lie, "--data", str(here.folder / name), "--listen", listen)
    process = subprocess.Popen(
        [*here.within.get(name, ()), sys.executable, *words],
        env=here.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running = Running(process)
    here.started.append(running)
    (address,) = running.hear()["addresses"]
    return running, address


def helper(lab: Lab, machine: str, module: str, *words: str) -> Running:
    """Start a module of the tests on a machine, which says "ready"."""
    process = subprocess.Popen(
        [*lab[machine].inside, sys.executable, "-m", module, *words],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running = Running(process)
    lab.place.started.append(running)
    assert running.hear() == "ready"
    return running


def web_relay(lab: Lab, name: str) -> tuple[Running, str]:
    """Start a relay that is found by name, behind a web server that adds TLS; the process and its full address."""
    host = f"{name}.example"
    _, both = certificate(lab.place.folder, host)
    lab.place.given[name] = {ANNOUNCE: f"/dns4/{host}/tcp/443/wss"}
    helper(lab, name, "tests.lab.front", "443", "4001", str(both))
    return relay(lab, name)


def proxy(lab: Lab, names: dict[str, str]) -> Running:
    """Start a SOCKS proxy on the machine `proxy`. names: where a name leads."""
    words = [f"{name}={address}" for name, address in names.items()]
    return helper(lab, "proxy", "tests.support.socks", "0.0.0.0", str(PROXY_PORT), *words)


def node(lab: Lab, name: str, *words: str) -> Running:
    """Start somebody's node, which is ready."""
    running = lab.place.start(name, "node", *words)
    assert running.hear()["event"] == "ready"
    return running


def settle(lab: Lab, *names: str) -> list[Running]:
    """Give these people a profile and a node."""
    make(lab.place, *names)
    return [node(lab, name) for name in names]


def wait_for(tail: Running, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until a tail says what is wanted."""
    while not wanted(tail.hear()):
        pass
