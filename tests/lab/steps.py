"""Steps of the tests in the lab: relays, people, and what they must see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.lab.topology import Lab
from tests.support.processes import Place, Running
from tests.support.steps import make

ANYWHERE = "/ip4/0.0.0.0/tcp/4001"


def relay(lab: Lab, name: str, *words: str) -> tuple[Running, str]:
    """Start a relay on its machine, its folder named as itself; the process and its full address."""
    data = str(lab.place.folder / name)
    running = lab.place.start(name, "relay", "--data", data, "--listen", ANYWHERE, *words)
    ready = running.hear()
    assert ready["event"] == "ready"
    (address,) = ready["addresses"]
    assert f"/{lab[name].address}/" in address
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
