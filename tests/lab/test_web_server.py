"""A relay behind nginx or Caddy, as deploy/ has it: for all who do not know the path there is nothing but the site."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pchat.net.mailbox import stream
from tests.lab.topology import Lab, Machine, bare
from tests.lab.town import Town
from tests.support.certificates import certificate
from tests.support.processes import SOURCE, Running
from tests.support.steps import make

NAME = "relay.example"
SITE, RELAY, PROBER = "site", "relay", "prober"
"""The machines of a web server with a site alone, of one with a relay behind it, and of a prober."""
PEOPLE = ("alice", "bob")
PATH = "/kb5lvhh6jh5ju2qbmp3v3f4xye"
"""The path in the files of deploy/."""
ADDRESS_BOUND = 8
"""Connections to the relay that come from one address."""
NGINX = """
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def nginx(machine: Machine, folder: Path, text: str, both: Path) -> None:
    """Start nginx with this site in `folder`; it listens when this returns."""
    text, count = re.subn(r"/etc/letsencrypt/live/\S+(?=;)", str(both), text)
    assert count == 2
    (folder / "site.conf").write_text(text)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    machine.run("nginx", "-c", str(folder / "nginx.conf"))


def caddy(machine: Machine, folder: Path, text: str, both: Path) -> None:
    """Start Caddy with this site and an access log in `folder`; it listens when this returns."""
    log = f"log {{\n output file {folder}/access.log\n }}"
    text, count = re.subn(rf"^{NAME} {{", rf"\g<0>\n tls {both} {both}\n {log}", text, flags=re.MULTILINE)
    assert count == 1
    text, count = re.subn(r"\tlog default {", rf"\g<0>\n output file {folder}/error.log", text)
    assert count == 1
    (folder / "Caddyfile").write_text(text)
    homes = [f"{name}={folder}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
    # It goes on in the background, and whoever reads what it says would wait for its end.
    command = f"caddy start --adapter caddyfile --config {folder}/Caddyfile >{folder}/start.log 2>&1"
    machine.run("env", *homes, "sh", "-c", command)


SERVERS: dict[str, tuple[Callable[[Machine, Path, str, Path], None], str]] = {
    "nginx": (nginx, r"(?ms)^    location = .*?^    }\n"),
    "Caddyfile": (caddy, r"(?ms)^\t@relay {.*?^\t}\n|^[^\n]*@relay[^\n]*\n"),
}
"""How each is started, and what of its file in deploy/ is about the relay."""


def probe(lab: Lab, machine: str, requests: list[str], *words: str) -> list[list[Any]]:
    """What a server answers to somebody's requests, each on a connection of its own, without the dates; and what
    tests/lab/web_probe.py says besides.
    """
    command = ("env", f"PYTHONPATH={SOURCE}", sys.executable, "-m", "tests.lab.web_probe")
    told = lab[PROBER].run(*command, lab[machine].address, NAME, *words, given=json.dumps(requests))
    answers, *more = map(json.loads, told.splitlines())
    return [[re.sub(r"(?im)^date: .*\r\n", "", answer) for answer in answers], *more]


def request(path: str, *more: str, method: str = "GET", host: str = NAME) -> str:
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *more, "", ""))


def upgrade(path: str, *more: str, host: str = NAME) -> str:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    words = ("Connection: Upgrade", "Upgrade: websocket", key, "Sec-WebSocket-Version: 13")
    return request(path, *words, *more, host=host)


def guesses(path: str) -> list[str]:
    """What somebody asks who looks for a relay and does not know its path, and the path to one who has it but asks
    otherwise.
    """
    near = path[:-1] + ("a" if path[-1] != "a" else "b")
    return [
        *(request(wanted) for wanted in ("/", "/index.html", "/none", near, "/.well-known/acme-challenge/x")),
        *(request("/", method=method) for method in ("HEAD", "POST", "OPTIONS", "BREW")),
        *(upgrade(wanted) for wanted in ("/", "/none", near, path + "/", path + "a", "/ws" + path, path[:-1])),
        *(upgrade("/", host=host) for host in ("localhost", "127.0.0.1", "127.0.0.1:4001", "other.example")),
        upgrade(near, "X-Forwarded-For: 127.0.0.1"),
        request(path),  # not as a WebSocket
        "\x13/multistream/1.0.0\n",
        "GET / HTTP/9.9\r\n\r\n",
    ]


def open_relay(lab: Lab) -> Running:
    """Start the relay that only the web server of its machine can reach."""
    (lab.place.folder / "token").write_text("let-me-in\n")
    config = lab.place.folder / "relay.toml"
    config.write_text(
        f'token_file = "{lab.place.folder / "token"}"\nlisten = ["/ip4/127.0.0.1/tcp/4001"]\n'
        f'announce = ["/dns/{NAME}/tcp/443/wss"]\nproxies = ["127.0.0.1"]\n'
        f"connections_per_address = {ADDRESS_BOUND}\n"
    )
    data = str(lab.place.folder / RELAY)
    running = lab.place.start(RELAY, "relay", "-v", "--data", data, "--config", str(config))
    assert running.hear()["event"] == "ready"
    return running


def test_nginx_waits_longer_than_an_idle_client_is_silent() -> None:
    text = (SOURCE / "deploy/nginx.conf").read_text()
    times = [int(seconds) for seconds in re.findall(r"^ *proxy_(?:read|send)_timeout (\d+)s;", text, re.MULTILINE)]
    longest = max(stream.PING_AFTER_SECONDS, stream.SHORT_PING_AFTER_SECONDS) + stream.LOST_AFTER_SECONDS
    assert len(times) == 2
    assert min(times) > longest


@pytest.mark.parametrize("file", ["nginx.conf", "Caddyfile"])
def test_a_relay_hides_behind_a_web_server(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice and Bob write to each other through it, one of them away; a prober finds a site without a relay; and no log
    says who was there.
    """
    start, about_relay = SERVERS[file.removesuffix(".conf")]
    with bare() as lab:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(lab.place.folder / "run"))
        town = Town(lab)
        lab.internet()
        for name in (SITE, RELAY, PROBER):
            lab.public(name)
        for name in PEOPLE:
            lab.home(name)
        lab.publish({NAME: lab[RELAY].address})
        alone, both = certificate(lab.place.folder, NAME)
        lab.place.given |= {person: {"SSL_CERT_FILE": str(alone)} for person in PEOPLE}

        running = open_relay(lab)
        status = lab.place.run(RELAY, "--json", "relay", "status", "--data", str(town.folder(RELAY))).object()
        path = status["websocket"]
        town.folder("www").mkdir()
        text = (SOURCE / "deploy" / file).read_text().replace(PATH, path)
        text = text.replace("/var/www/html", str(town.folder("www")))
        (town.folder("www") / "index.html").write_text("<h1>Bees</h1>\n")
        site, count = re.subn(about_relay, "", text)
        assert count
        for machine, words in ((SITE, site), (RELAY, text)):
            folder = town.folder(f"web-{machine}")
            folder.mkdir()
            start(lab[machine], folder, words, both)

        asked = guesses(path)
        for guess, found, expected in zip(asked, *probe(lab, RELAY, asked), *probe(lab, SITE, asked), strict=True):
            assert found == expected, guess
            assert found
        make(lab.place, *PEOPLE)
        for person in PEOPLE:
            town.said[person] = []
            town.on(person)
            (line,) = status["lines"]
            assert line.startswith(f"/dns/{NAME}/tcp/443/wss/p2p/")
            assert lab.place.run(person, "relays", "add", line).code == 0
        town.befriend("alice", "bob")
        town.say("alice", "bob", "hello", "delivered")
        town.off("bob")
        town.say("alice", "bob", "while you are away", "stored")
        town.on("bob")
        town.until_heard("bob", "alice")

        # Whoever comes from one place shares its limit, and nobody else does, whatever is claimed.
        crowd = [upgrade(path, f"X-Forwarded-For: 11.9.9.{number}") for number in range(ADDRESS_BOUND + 1)]
        answers, are_open = probe(lab, RELAY, crowd, "watch")
        assert all(answer.startswith("HTTP/1.1 101 ") for answer in answers)
        assert are_open == [False] + [True] * ADDRESS_BOUND
        town.until_connected(*PEOPLE)

        said = running.end(signal.SIGKILL).err
        ((answer,),) = probe(lab, RELAY, [upgrade(path)])
        assert answer.startswith("HTTP/1.1 502 ")
        logs = {log.name: log.read_text() for log in town.folder("web-relay").glob("*.log")}
        assert lab[PROBER].address in logs["access.log"]  # it asked for other paths
        # Of all who asked for the path itself, Caddy logs the one who asked for no WebSocket.
        assert len(re.findall(rf'[ "]{path}[ "]', "".join(logs.values()))) == (file == "Caddyfile")
        for person in PEOPLE:
            assert not [name for name, text in {**logs, RELAY: said}.items() if lab[person].seen_as in text]
        assert lab[PROBER].address not in said
