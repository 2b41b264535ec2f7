"""A node whose every connection goes through a SOCKS5 proxy, as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.processes import SOURCE, Done, Place, Running
from tests.support.programs import start as start_relay
from tests.support.steps import failed, fine, make, new_invite, texts

NAME = "relay.example"


@pytest.fixture
def here(here: Place) -> Place:
    make(here, "alice", "bob")
    return here


def proxy(here: Place, port: int) -> Running:
    """A proxy that knows where the relay is, and says what it is asked for."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.socks", "127.0.0.1", str(port), f"{NAME}=127.0.0.1"],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running = Running(process)
    here.started.append(running)
    assert running.hear() == "ready"
    return running


def check(here: Place, name: str) -> dict[str, Any]:
    """What the doctor says of one thing."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in here.run("alice", "doctor", "--json").out.splitlines()]
    return {line["check"]: line for line in lines}[name]


def test_everything_goes_through_the_proxy_and_nothing_without_it(here: Place) -> None:
    _, address = start_relay(here)
    _, _, _, _, relay_port, _, peer = address.split("/")
    port = free_port()
    url = f"socks5://127.0.0.1:{port}"
    server = proxy(here, port)
    alice = here.start("alice", "node", "--proxy", url)
    assert alice.hear() == {"event": "ready", "addresses": []}
    bob = here.node("bob")
    bob.hear()
    fine(here.run("bob", "relays", "add", address, "--json"))
    fine(here.run("alice", "relays", "add", f"/dns4/{NAME}/tcp/{relay_port}/p2p/{peer}", "--json"))
    assert server.hear()[:2] == [NAME, int(relay_port)]
    assert check(here, "proxy")["ok"]
    assert check(here, "listening")["ok"]

    invite = new_invite(here, "bob")
    assert here.run("alice", "add", invite, "--name", "bob", "--wait", "accepted").code == 0
    sent = here.run(
        "alice", "send", "bob", "by the proxy", "--wait", "delivered", "--timeout", "60s", "--json"
    ).object()
    assert sent["state"] == "delivered"
    alice.end()

    # A verb starts the next node: it was told of the proxy once, and goes nowhere without it.
    server.end()
    fine(here.run("alice", "send", "bob", "waits", "--json"))
    assert here.run("alice", "node", "status", "--json").object()["proxy"] == f"127.0.0.1:{port}"
    assert not check(here, "proxy")["ok"]
    assert check(here, "contact")["detail"].startswith("bob: no link; the proxy does not work; 1 message waiting")
    assert "the proxy on this machine" in check(here, "line")["detail"]
    assert "reaches nobody: the proxy does not work" in here.run("alice", "node", "status").err
    proxy(here, port)
    fine(here.run("alice", "send", "bob", "and this", "--wait", "delivered", "--timeout", "60s", "--json"))
    assert texts(here, "bob", "alice") == ["by the proxy", "waits", "and this"]


def test_a_proxy_is_kept_and_ended_by_one_option(here: Place) -> None:
    config = here.folder / "alice" / "config.toml"
    config.write_text("# mine\nkeep_receiving = true\n")

    def started(*words: str) -> dict[str, Any]:
        node = here.node("alice", "--listen", "/ip4/127.0.0.1/tcp/0", *words)
        node.hear()
        status: dict[str, Any] = here.run("alice", "node", "status", "--json").object()
        node.end()
        return status

    assert started("--proxy", "socks5://127.0.0.1:9")["proxy"] == "127.0.0.1:9"
    assert config.read_text() == '# mine\nkeep_receiving = true\nproxy = "socks5://127.0.0.1:9"\n'
    assert started()["proxy"] == "127.0.0.1:9"
    assert started("--proxy", "none")["proxy"] == ""
    assert config.read_text() == '# mine\nkeep_receiving = true\nproxy = ""\n'
    assert started()["proxy"] == ""


def test_a_node_that_would_go_past_its_proxy_does_not_start(here: Place) -> None:
    failed(here.run("alice", "node", "--proxy", "http://127.0.0.1:9"), 2, "--proxy", "socks5://")
    anywhere = ("--listen", "/ip4/0.0.0.0/tcp/0")
    failed(here.run("alice", "node", "--proxy", "socks5://127.0.0.1:9", *anywhere), 1, "loopback")
    (here.folder / "alice" / "config.toml").write_text("")
    environment = here.environment()

    def named(url: str) -> Done:
        words = here.command("alice", "contacts")
        done = subprocess.run(
            words, env=environment | {"P2PCHAT_PROXY": url}, capture_output=True, text=True, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    failed(named("127.0.0.1:9"), 2, "P2PCHAT_PROXY", "socks5://")
    node = here.node("alice")
    node.hear()
    failed(here.run("alice", "node", "--proxy", "socks5://127.0.0.1:9"), 4, "Another node is running")
    assert (here.folder / "alice" / "config.toml").read_text() == ""
    failed(named("socks5://127.0.0.1:9"), 1, "does not use the proxy", "node stop")
    node.end()
